// An HTTP server that never listens itself: it is given its connections. Used by api/serve_http.ts.
//
// What is wrong: a server of node:http that does not listen ends every connection after its first answer, though it has
// told the client that it keeps it. Seen in Deno 2.9.6.
// Upstream: no report found. To reproduce: emit "connection" of a server with a socket that something else has accepted,
// and send two requests.
// Once mended: delete this file and its call.

import type { Server } from "node:http";

/** Has a server keep its connections between two requests for as long as it is `open`. */
export function keepConnections(server: Server, open: () => boolean): void {
  Object.defineProperty(server, "listening", { get: open });
}
