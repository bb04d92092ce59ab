// A peer that dies and comes back: nobody hangs meanwhile, and every service works again by itself.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { exposeService, spawnConnector, untilComplete } from "../support/processes.ts";
import { echo, randomBytes, readAll, serveTcp, until, writeAll } from "../support/world.ts";

Deno.test("services of both types work again after the peer was killed and started again", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector();
  await using remote = await spawnConnector();
  const expose = (type: "local" | "remote") =>
    exposeService(local, { to: remote.address, type, destination: server.port, name: type });
  const services = [await expose("local"), await expose("remote")];
  for (const { port } of services) await roundTrip(port);

  using visitors = new DisposableStack();
  const open = await Promise.all(services.map(async ({ port }) => {
    const visitor = visitors.use(await Deno.connect({ port }));
    await writeAll(visitor, new Uint8Array([7]));
    strictEqual(await visitor.read(new Uint8Array(10)), 1);
    return visitor;
  }));
  await remote.stop("SIGKILL");

  // Who was connected is let go, and whoever comes meanwhile does not hang.
  for (const visitor of open) {
    strictEqual(await visitor.read(new Uint8Array(10)).catch(() => null), null);
  }
  await until(
    async () => (await local.rest.list()).every((service) => service.status === "PENDING"),
    "the services are pending",
  );
  const port = services[1]?.port ?? 0;
  const started = performance.now();
  using meanwhile = await Deno.connect({ port });
  strictEqual(await meanwhile.read(new Uint8Array(1)).catch(() => null), null);
  ok(performance.now() - started < 1000, `${performance.now() - started} ms`);

  await using again = await spawnConnector({ grpcBind: `127.0.0.1:${remote.grpcPort}` });
  for (const { id, port } of services) {
    await untilComplete(local, id);
    await roundTrip(port);
  }
  deepStrictEqual(
    (await again.rest.list()).map((service) => service.id).sort(),
    services.map((service) => service.id).sort(),
  );
});

async function roundTrip(port: number): Promise<void> {
  const sent = randomBytes(100_000);
  using visitor = await Deno.connect({ port });
  const [received] = await Promise.all([
    readAll(visitor),
    writeAll(visitor, sent).then(() => visitor.closeWrite()),
  ]);
  deepStrictEqual(received, sent);
}
