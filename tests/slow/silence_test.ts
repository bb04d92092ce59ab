// A path between two processes that goes silent without closing anything, for as long as it takes to be noticed; and a
// peer that is away for so long that it is hardly dialled any more.

import { match, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { BulkVisitors, serveBulk } from "../support/bulk.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import {
  type ConnectorProcess,
  exposeBoth,
  spawnConnector,
  untilComplete,
} from "../support/processes.ts";
import { secured, SECURITIES } from "../support/security.ts";
import { echo, freePort, refuses, roundTrip, serveTcp, until, writeAll } from "../support/world.ts";

for (const security of SECURITIES) {
  Deno.test(`${security}: a path that swallows everything is noticed within 15 s by both ends, and back as soon as it delivers`, async () => {
    await using certificates = await secured(security);
    const { options } = certificates;
    await using server = serveTcp(echo);
    await using local = await spawnConnector(options);
    const args = ["--takeover-grace=1s", "--resume-timeout=0s"];
    await using remote = await spawnConnector({ ...options, args });
    await using relay = new FaultRelay(remote.grpcPort);
    const services = await exposeBoth(local, relay.address, server.port);
    relay.swallow();
    const started = performance.now();
    const dialler = until(
      async () => (await local.rest.list()).every(({ status }) => status === "PENDING"),
      "the dialler shows the truth",
      { timeoutMs: 20_000 },
    ).then(() => performance.now() - started);
    const acceptor = until(
      async () => (await remote.rest.list()).every(({ status }) => status !== "COMPLETE"),
      "the acceptor shows the truth",
      { timeoutMs: 20_000 },
    ).then(() => performance.now() - started);
    const took = await Promise.all([dialler, acceptor]);
    ok(Math.max(...took) < 15_000, took.join(" and "));
    await until(async () => (await remote.rest.list()).length === 0, "nothing is listed any more");
    await until(() => refuses(services[0]?.port ?? 0), "its port is free");

    relay.deliver();
    const back = performance.now();
    for (const { id, port } of services) {
      await untilComplete(local, id);
      await roundTrip(port);
    }
    // A try over the silent path is given up after 5 s, and one that waits is not made before its time.
    ok(performance.now() - back < 10_000, `${performance.now() - back} ms`);
  });
}

for (const way of ["there", "back"] as const) {
  Deno.test(`a path that is silent in one direction (${way}) is noticed within 15 s by both ends, though the other is full`, async () => {
    await using server = serveBulk();
    await using local = await spawnConnector();
    await using remote = await spawnConnector({
      args: ["--takeover-grace=1s", "--resume-timeout=0s"],
    });
    await using relay = new FaultRelay(remote.grpcPort);
    const services = await exposeBoth(local, relay.address, server.port);
    await using visitors = new BulkVisitors();
    for (const { port } of services) await visitors.start(port, { downloads: 1, uploads: 1 });
    relay.swallow([way]);
    const started = performance.now();
    const unlinked = async (connector: ConnectorProcess) =>
      (await connector.rest.list()).every(({ status }) => status !== "COMPLETE");
    for (const connector of [local, remote]) {
      await until(() => unlinked(connector), "the silence is noticed", { timeoutMs: 20_000 });
    }
    const took = performance.now() - started;
    ok(took < 15_000, `${took} ms`);
    await until(() => visitors.cuts.length === 4, "every visitor is told");
  });
}

Deno.test("a path that swallows everything for 20 s costs a connection nothing but the pause", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector();
  await using remote = await spawnConnector();
  await using relay = new FaultRelay(remote.grpcPort);
  const services = await exposeBoth(local, relay.address, server.port);
  using visitors = new DisposableStack();
  const open = await Promise.all(services.map(async ({ port }) => {
    const visitor = visitors.use(await Deno.connect({ port }));
    await writeAll(visitor, new Uint8Array([1]));
    strictEqual(await visitor.read(new Uint8Array(10)), 1);
    return visitor;
  }));
  relay.swallow();
  for (const visitor of open) await writeAll(visitor, new Uint8Array([2]));
  await until(
    async () => (await local.rest.list()).every(({ status }) => status === "PENDING"),
    "the silence is noticed",
    { timeoutMs: 20_000 },
  );
  await delay(6000);
  relay.deliver();
  for (const visitor of open) {
    const received = new Uint8Array(10);
    strictEqual(await visitor.read(received), 1);
    strictEqual(received[0], 2);
  }
  for (const { connections } of await local.rest.list()) {
    strictEqual(connections.resumed, 1);
    strictEqual(connections.failed, 0);
  }
});

Deno.test("a peer that was away for long is found within 2 s of its health, however long the wait is by then", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector({ args: ["--resume-timeout=0s"] });
  await using remote = await spawnConnector({ grpcBind: `127.0.0.1:${freePort()}` });
  const services = await exposeBoth(local, remote.address, server.port);
  await remote.stop("SIGKILL");
  // The wait has grown so far that 2 s would be luck.
  const retry = /no link to the peer.*retryMs=([5-9]\d{3}|10000)/;
  await until(() => retry.test(local.logs()), "the wait is above 5 s", { timeoutMs: 30_000 });
  const [entry] = await local.rest.list();
  match(entry?.message ?? "", /^no link to the peer: connection refused$/);
  ok(new Date(entry?.retry_at ?? 0).getTime() > Date.now() + 2000, "it is not tried for 2 s");

  await using _again = await spawnConnector({ grpcBind: `127.0.0.1:${remote.grpcPort}` });
  const healthy = performance.now();
  for (const { id, port } of services) {
    await untilComplete(local, id);
    await roundTrip(port);
  }
  const took = performance.now() - healthy;
  ok(took < 2000, `${took} ms`);
});

Deno.test("a try to open a link that nobody answers is given up after 5 s, and the reason is listed", async () => {
  await using local = await spawnConnector();
  await using remote = await spawnConnector();
  await using relay = new FaultRelay(remote.grpcPort);
  relay.swallow();
  const started = performance.now();
  const { status, body } = await local.rest.request("POST", "/expose?wait=9", {
    body: {
      name: "test",
      source_port: freePort(),
      remote_connector_addr: relay.address,
      destination_addr: "127.0.0.1:1",
      type: "local",
    },
  });
  strictEqual(status, 504);
  match(
    body,
    /no link to the peer: the peer did not answer, although its port accepted the connection: is this the gRPC port of a connector\?\n$/,
  );
  ok(performance.now() - started > 5000);
});
