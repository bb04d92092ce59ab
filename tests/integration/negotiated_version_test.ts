// The version that an acceptor answers over real gRPC, by what it was offered.

import { strictEqual } from "node:assert/strict";
import { describePeer } from "../../src/certs/identity/description.ts";
import { ConnectorError } from "../../src/errors.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { GrpcServer } from "../../src/grpc/server.ts";
import { DEFAULT_LIMITS } from "../../src/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { settle } from "../support/world.ts";

Deno.test("an acceptor that speaks version 3 answers each dialler with what it can speak", async () => {
  const greeting = hello(DEFAULT_LIMITS);
  const server = await GrpcServer.listen({
    bind: { host: "127.0.0.1", port: 0 },
    tls: undefined,
    hello: { ...greeting, version: "3" },
    describePeer,
    onRefused: () => {},
    control: {
      expose: () => Promise.reject(new TypeError("nothing is exposed here")),
      destroy: () => Promise.resolve(),
      list: () => [],
    },
    onLink: () => {},
  });
  for (const [offered, answered] of [["1", "1"], ["2", "2"], ["3", "3"], ["9", "3"]] as const) {
    const link = dialLink(server.address, {
      secure: secureChannels(),
      hello: { ...greeting, version: offered },
      describePeer,
    });
    strictEqual((await link.hello)?.version, answered, `${offered} was offered`);
    link.abort(new ConnectorError("cancelled", "it was asked"));
  }
  server.close();
  await settle();
});
