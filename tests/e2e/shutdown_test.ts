// SIGINT and SIGTERM end a connector in order: exit code 0 within a few seconds even with open tunnels, visitors
// let go, every port free right after.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { exposeService, spawnConnector, spawnPair } from "../support/processes.ts";
import { echo, serveTcp, writeAll } from "../support/world.ts";

/** How long the end may take, in milliseconds. */
const END_MS = 3000;

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} ends connectors with open tunnels in order`, async () => {
    await using server = serveTcp(echo);
    await using pair = await spawnPair();
    const exposed = await Promise.all(
      (["local", "remote"] as const).map((type) =>
        exposeService(pair.local, { to: pair.remote.address, type, destination: server.port })
      ),
    );
    using visitors = new DisposableStack();
    const open = await Promise.all(exposed.map(async ({ port }) => {
      const visitor = visitors.use(await Deno.connect({ port }));
      await writeAll(visitor, new Uint8Array([7]));
      strictEqual(await visitor.read(new Uint8Array(10)), 1);
      return visitor;
    }));

    const started = performance.now();
    const ends = await Promise.all([pair.local.stop(signal), pair.remote.stop(signal)]);
    const took = performance.now() - started;
    deepStrictEqual(ends, [{ code: 0, signal: null }, { code: 0, signal: null }]);
    for (const { logs } of [pair.local, pair.remote]) {
      match(
        logs(),
        /connector stopped connections=2 refused=0 resumed=0 notResumed=0 bytesIn=2 bytesOut=2\n$/,
      );
    }
    ok(took < END_MS, `${took} ms`);
    for (const visitor of open) {
      strictEqual(await visitor.read(new Uint8Array(10)).catch(() => null), null);
    }
    const ports = [pair.local, pair.remote].flatMap((each) => [each.grpcPort, each.httpPort]);
    for (const port of [...ports, ...exposed.map((each) => each.port)]) {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
    }
  });
}

Deno.test("a connector that has lost its peer ends in order too", async () => {
  await using remote = await spawnConnector();
  await using local = await spawnConnector();
  await exposeService(local, { to: remote.address, type: "remote", destination: 1 });
  await remote.stop("SIGKILL");
  const started = performance.now();
  deepStrictEqual(await local.stop("SIGTERM"), { code: 0, signal: null });
  const took = performance.now() - started;
  ok(took < END_MS, `${took} ms`);
});
