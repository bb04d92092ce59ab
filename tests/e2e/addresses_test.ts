// Addresses as users write them: IPv6 in brackets and host names, for peers, destinations and visitors.

import { strictEqual } from "node:assert/strict";
import { exposeService, spawnPair } from "../support/processes.ts";

Deno.test("addresses of both families and names", async (t) => {
  await using pair = await spawnPair({
    local: { grpcBind: ":0", httpBind: ":0" },
    remote: { grpcBind: ":0", httpBind: "[::1]:0" },
  });
  await using overIpv4 = serveHttp("127.0.0.1");
  await using overIpv6 = serveHttp("::1");
  const peer = pair.remote.grpcPort;

  const cases = [
    { to: `[::1]:${peer}`, type: "local", destination: `[::1]:${overIpv6.addr.port}` },
    { to: `[::1]:${peer}`, type: "remote", destination: `[::1]:${overIpv6.addr.port}` },
    { to: `localhost:${peer}`, type: "local", destination: `localhost:${overIpv4.addr.port}` },
    { to: `localhost:${peer}`, type: "remote", destination: `localhost:${overIpv4.addr.port}` },
  ] as const;
  for (const { to, type, destination } of cases) {
    await t.step({
      name: `${type}, peer ${to.replace(/\d+$/, "port")}, destination ${
        destination.replace(/\d+$/, "port")
      }, visitors of both families`,
      // The processes outlive the step; the sanitizers watch over the whole test.
      sanitizeOps: false,
      sanitizeResources: false,
      async fn() {
        const { port } = await exposeService(pair.local, { to, type, destination });
        for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
          const answer = await fetch(`http://${host}:${port}/`);
          strictEqual(await answer.text(), "here I am", host);
        }
      },
    });
  }

  await t.step({
    name: "the REST API answers on both families",
    sanitizeOps: false,
    sanitizeResources: false,
    async fn() {
      for (const host of ["127.0.0.1", "[::1]", "localhost"]) {
        const answer = await fetch(`http://${host}:${pair.local.httpPort}/health`);
        strictEqual(await answer.text(), "OK", host);
      }
    },
  });
});

function serveHttp(hostname: string): Deno.HttpServer<Deno.NetAddr> {
  const options = { hostname, port: 0, onListen: () => {} };
  return Deno.serve(options, () => new Response("here I am"));
}
