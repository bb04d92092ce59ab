// Links to names, and servers that are bound to one: the addresses come from names.ts, like all others of the process.

import { match, rejects, strictEqual } from "node:assert/strict";
import { createServer } from "node:http2";
import { describePeer } from "../../src/certs/identity/description.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { GrpcServer, type GrpcServerOptions } from "../../src/grpc/server.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { makeCertificate } from "../support/certificates.ts";
import { listenForLinks } from "../support/grpc_links.ts";
import { pemOf } from "../support/mtls.ts";
import { soon } from "../support/soon.ts";
import { settle } from "../support/world.ts";

const GREETING = hello(DEFAULT_LIMITS);
const OVER = new ConnectorError("cancelled", "the test is over");
/** Below a top-level domain that no name server knows; the label is too long for the system to ask one. */
const NO_NAME = `${"x".repeat(64)}.invalid`;

Deno.test("a link to a name below localhost asks no name server, tries both families and says the name", async () => {
  const { promise: asked, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.on("stream", (_stream, headers) => resolve(headers[":authority"]));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("it has a port");
  const link = dialLink({ host: "web.localhost", port: address.port }, {
    secure: secureChannels(),
    hello: GREETING,
    describePeer,
  });
  strictEqual(await soon(asked, "the call has arrived"), `web.localhost:${address.port}`);
  link.abort(OVER);
  await link.closed;
  await new Promise((resolve) => server.close(resolve));
  await settle();
});

for (const name of ["web.localhost", "other.localhost"]) {
  const fits = name === "web.localhost";
  Deno.test(`a link to web.localhost takes ${fits ? "the" : "no other"} certificate of ${name}`, async () => {
    const root = await makeCertificate({ ca: true });
    const leaf = await makeCertificate({ names: [{ type: "dns", value: name }] }, root);
    const tls = pemOf(root, leaf);
    await using listener = await listenForLinks({ answer: GREETING, tls });
    const link = dialLink({ host: "web.localhost", port: listener.port }, {
      secure: secureChannels(tls),
      hello: GREETING,
      describePeer,
    });
    if (fits) {
      await soon(listener.next(), "the link is open");
      link.abort(OVER);
    }
    const end = await soon(link.closed, "the link has ended");
    if (!fits) match(end?.message ?? "", /web\.localhost/);
  });
}

Deno.test("a link to a name that does not exist ends with that reason", async () => {
  const link = dialLink({ host: NO_NAME, port: 1 }, {
    secure: secureChannels(),
    hello: GREETING,
    describePeer,
  });
  const end = await soon(link.closed, "it has ended");
  strictEqual(end?.message, `no such name: "${NO_NAME}"`);
  strictEqual(end?.code, "unavailable");
  await settle();
});

Deno.test("a server is bound to the addresses of its name, or says that there are none", async () => {
  const options: Omit<GrpcServerOptions, "bind"> = {
    tls: undefined,
    hello: GREETING,
    describePeer,
    onRefused: () => {},
    control: {
      expose: () => Promise.reject(OVER),
      destroy: () => Promise.reject(OVER),
      list: () => [],
    },
    onLink: () => {},
  };
  const server = await GrpcServer.listen({ bind: { host: "web.localhost", port: 0 }, ...options });
  (await Deno.connect({ hostname: "127.0.0.1", port: server.address.port })).close();
  server.abort();
  await settle();
  await rejects(GrpcServer.listen({ bind: { host: NO_NAME, port: 0 }, ...options }), (error) => {
    strictEqual(
      String(error),
      `ConnectorError: Cannot listen for gRPC on ${NO_NAME}:0: no such name: "${NO_NAME}"`,
    );
    return true;
  });
});
