// A link that is given up while it is opened leaves nothing behind: no timer, which the runner would tell of, and no
// connection.

import { ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { makeTls } from "../support/grpc_links.ts";
import { soon } from "../support/soon.ts";

for (const security of ["plaintext", "mTLS"] as const) {
  for (const when of ["as it connects", "once it has spoken"] as const) {
    Deno.test(`${security}: a link to a peer that says nothing, given up ${when}, leaves no timer and no connection`, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      // It listens over TCP.
      const { port } = server.address() as AddressInfo;
      const link = dialLink({ host: "127.0.0.1", port }, {
        secure: secureChannels(security === "mTLS" ? await makeTls() : undefined),
        hello: hello(DEFAULT_LIMITS),
        describePeer: () => {
          throw new Error("nobody has shown a certificate");
        },
      });
      const [socket]: Socket[] = await once(server, "connection");
      ok(socket);
      socket.on("error", () => {});
      if (when === "once it has spoken") await once(socket, "data");
      else socket.resume();
      const ended = once(socket, "close");
      link.abort(new ConnectorError("cancelled", "nobody waits for it"));
      strictEqual((await link.closed)?.message, "nobody waits for it");
      await soon(ended, "its connection has ended");
      server.close();
      await once(server, "close");
    });
  }
}
