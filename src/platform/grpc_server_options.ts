// Options of node:http2 for the servers that grpc-js makes, and the servers themselves. Used by grpc/server.ts.
//
// What is wrong: grpc-js hands its own few options on and keeps its HTTP/2 servers to itself. So a server's receive windows
// are HTTP/2's 64 KiB, which stalls every upload; a client's can be set. And the runtime keeps a socket whose handshake has
// failed, 27 KB each, until `handshakeTimeout` is over, whose default is two minutes. Seen in grpc-js 1.14.7, Deno 2.9.6.
// Upstream: https://github.com/grpc/grpc-node/pull/3058 for the windows; no report of the others found.
// Once mended: the windows become an option of grpc-js, as for clients. This file goes when grpc-js takes all options.

import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Http2Server, SessionOptions } from "node:http2";

/** The members of grpc-js's server that it keeps private. */
interface ServerInternals {
  commonServerOptions: SessionOptions & { handshakeTimeout?: number };
  createHttp2Server(credentials: ServerCredentials): Http2Server;
}

/**
 * Gives a server's HTTP/2 servers these options, on top of grpc-js's own, and tells of each as it is made.
 * `handshakeTimeout` is in milliseconds.
 */
export function withHttp2Options(
  server: Server,
  { options, onHttp2Server }: {
    options: SessionOptions & { handshakeTimeout: number };
    onHttp2Server: (server: Http2Server) => void;
  },
): Server {
  // Private in its types, plain properties in fact: tests/integration/windows_test.ts fails when they change.
  const internals = server as unknown as ServerInternals;
  const { commonServerOptions } = internals;
  Object.assign(commonServerOptions, options, {
    settings: { ...commonServerOptions.settings, ...options.settings },
  });
  const create = internals.createHttp2Server.bind(server);
  internals.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    onHttp2Server(http2Server);
    return http2Server;
  };
  return server;
}
