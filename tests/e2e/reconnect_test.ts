// Links that are lost and come back, between processes and through a path that fails: how fast services work again,
// who waits meanwhile, and what is listed. Both types of service, in plaintext and mTLS.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { exposeBoth, spawnConnector, untilComplete } from "../support/processes.ts";
import { secured, SECURITIES } from "../support/security.ts";
import { soon } from "../support/soon.ts";
import { echo, freePort, refuses, roundTrip, serveTcp, until, writeAll } from "../support/world.ts";

for (const security of SECURITIES) {
  Deno.test(`${security}: a peer killed and restarted: both types work within 2 s of its health, and visitors have waited`, async () => {
    await using certificates = await secured(security);
    const { options } = certificates;
    await using server = serveTcp(echo);
    await using local = await spawnConnector(options);
    await using remote = await spawnConnector({ ...options, grpcBind: `127.0.0.1:${freePort()}` });
    const services = await exposeBoth(local, remote.address, server.port);
    for (const { port } of services) await roundTrip(port);

    using visitors = new DisposableStack();
    const open = await Promise.all(services.map(async ({ port }) => {
      const visitor = visitors.use(await Deno.connect({ port }));
      await writeAll(visitor, new Uint8Array([7]));
      strictEqual(await visitor.read(new Uint8Array(10)), 1);
      return visitor;
    }));
    await remote.stop("SIGKILL");

    const letGo = open.map((visitor) => readEnd(visitor));
    await until(
      async () => (await local.rest.list()).every((service) => service.status === "PENDING"),
      "the services are pending",
    );
    // The port of the remote service is this side's: who comes meanwhile waits.
    const waiting = roundTrip(services[1]?.port ?? 0);

    await using again = await spawnConnector({
      ...options,
      grpcBind: `127.0.0.1:${remote.grpcPort}`,
    });
    const healthy = performance.now();
    for (const { id, port } of services) {
      await untilComplete(local, id);
      await roundTrip(port);
    }
    const took = performance.now() - healthy;
    ok(took < 2000, `${took} ms`);
    await waiting;
    // The new process knows nothing of those who were connected.
    for (const each of letGo) strictEqual(await soon(each, "it is let go"), null);
    deepStrictEqual(
      (await again.rest.list()).map((service) => service.id).sort(),
      services.map((service) => service.id).sort(),
    );
  });
}

for (const security of SECURITIES) {
  Deno.test(`${security}: a link that is cut is back within 1 s, and its port never refuses`, async () => {
    await using certificates = await secured(security);
    const { options } = certificates;
    await using server = serveTcp(echo);
    await using local = await spawnConnector(options);
    await using remote = await spawnConnector(options);
    await using relay = new FaultRelay(remote.grpcPort);
    const services = await exposeBoth(local, relay.address, server.port);
    const before = relay.accepted;
    relay.cut();
    const started = performance.now();
    do {
      for (const { port } of services) strictEqual(await refuses(port), false);
      await delay(5);
    } while (relay.accepted === before);
    // The link is not up yet: they wait for it.
    await Promise.all(services.map(({ port }) => roundTrip(port)));
    const took = performance.now() - started;
    ok(took < 1000, `${took} ms`);
    for (const { id } of services) await untilComplete(local, id);
  });
}

Deno.test("a new service for a peer that is away is tried at once", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector();
  // It takes the connection and ends it, so that nothing but the clock or a new service leads to another try.
  await using dead = serveTcp(() => Promise.resolve());
  await using toDead = new FaultRelay(dead.port);
  const body = (name: string, source_port: number) => ({
    name,
    source_port,
    remote_connector_addr: toDead.address,
    destination_addr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  await local.rest.request("POST", "/expose", { body: body("one", 20_001) });
  await until(() => /retryMs=[2-9]\d{3}/.test(local.logs()), "it waits for seconds");
  const before = toDead.accepted;
  await local.rest.request("POST", "/expose", { body: body("two", 20_002) });
  await until(() => toDead.accepted > before, "it is tried again", { timeoutMs: 1000 });
});

async function readEnd(conn: Deno.TcpConn): Promise<number | null> {
  return await conn.read(new Uint8Array(10)).catch(() => null);
}
