// Whole connectors over real gRPC and real sockets, both types of service.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import type { ServiceType } from "../../src/model/service.ts";
import { keptAlive } from "../support/tcp_timers.ts";
import {
  echo,
  exposeThrough,
  randomBytes,
  readAll,
  reportOf,
  serveTcp,
  startConnector,
  startPair,
  turnsAway,
  until,
  writeAll,
} from "../support/world.ts";

const TYPES: ServiceType[] = ["local", "remote"];

for (const type of TYPES) {
  Deno.test(`${type}: bytes come back as they were sent`, async () => {
    await using pair = await startPair();
    await using server = serveTcp(echo);
    const { port } = await exposeThrough(pair, { type, destination: server.port });
    using conn = await Deno.connect({ port });
    const sent = randomBytes(300_000);
    const [received] = await Promise.all([
      readAll(conn),
      writeAll(conn, sent).then(() => conn.closeWrite()),
    ]);
    deepStrictEqual(received, sent);
  });

  Deno.test(`${type}: a server may speak first`, async () => {
    await using pair = await startPair();
    await using server = serveTcp(async (conn) => {
      await writeAll(conn, new TextEncoder().encode("220 ready\r\n"));
      await readAll(conn);
    });
    const { port } = await exposeThrough(pair, { type, destination: server.port });
    using conn = await Deno.connect({ port });
    const buffer = new Uint8Array(100);
    const count = await conn.read(buffer);
    strictEqual(new TextDecoder().decode(buffer.subarray(0, count ?? 0)), "220 ready\r\n");
  });

  Deno.test(`${type}: an answer that follows the client's half-close arrives whole`, async () => {
    await using pair = await startPair();
    const answer = randomBytes(1024 * 1024);
    const counts: number[] = [];
    await using server = serveTcp(async (conn) => {
      counts.push((await readAll(conn)).length);
      await writeAll(conn, answer);
    });
    const { port } = await exposeThrough(pair, { type, destination: server.port });
    using conn = await Deno.connect({ port });
    await writeAll(conn, randomBytes(5 * 1024 * 1024));
    await conn.closeWrite();
    deepStrictEqual(await readAll(conn), answer);
    deepStrictEqual(counts, [5 * 1024 * 1024]);
  });

  Deno.test(`${type}: a destination that refuses closes the visitor at once`, async () => {
    await using pair = await startPair();
    const { port } = await exposeThrough(pair, { type, destination: 1 });
    const started = performance.now();
    strictEqual(await turnsAway(port), true);
    strictEqual(performance.now() - started < 1000, true);
  });

  Deno.test(`${type}: nothing is left when a service is removed`, async () => {
    await using pair = await startPair();
    await using server = serveTcp(echo);
    const { port, id } = await exposeThrough(pair, { type, destination: server.port });
    await pair.local.connector.destroy(id);
    deepStrictEqual(pair.local.connector.list(), []);
    await until(() => pair.remote.connector.list().length === 0, "the peer has removed it");
    await until(
      () =>
        Deno.connect({ port }).then((conn) => {
          conn.close();
          return false;
        }, () => true),
      "the port refuses",
    );
  });
}

for (const type of TYPES) {
  Deno.test(`${type}: connections, bytes and failures are counted on both sides`, async () => {
    await using pair = await startPair();
    await using server = serveTcp(echo);
    const { port, id } = await exposeThrough(pair, { type, destination: server.port });
    {
      using conn = await Deno.connect({ port });
      await writeAll(conn, new Uint8Array(1000));
      await conn.closeWrite();
      strictEqual((await readAll(conn)).length, 1000);
    }
    await server[Symbol.asyncDispose]();
    strictEqual(await turnsAway(port), true);
    for (const side of [pair.local, pair.remote]) {
      const stats = () => reportOf(side, id)?.connections;
      await until(
        () => stats()?.failed === 1 && stats()?.open === 0,
        "both connections are counted",
      );
      const { lastClose, ...counted } = stats() ?? {};
      deepStrictEqual(counted, {
        open: 0,
        total: 2,
        failed: 1,
        refused: 0,
        resuming: 0,
        resumed: 0,
        notResumed: 0,
        bytesIn: 1000,
        bytesOut: 1000,
      });
      match(lastClose ?? "", /connection refused/);
    }
  });
}

Deno.test("a service survives that another one of its peer is removed while it is exposed", async () => {
  await using pair = await startPair();
  await using server = serveTcp(echo);
  const first = await exposeThrough(pair, { type: "local", destination: server.port });
  const exposing = exposeThrough(pair, { type: "remote", destination: server.port });
  await pair.local.connector.destroy(first.id);
  const { port } = await exposing;
  using conn = await Deno.connect({ port });
  await conn.closeWrite();
  strictEqual((await readAll(conn)).length, 0);
});

Deno.test("nothing is exposed by a connector that has closed", async () => {
  const pair = await startPair();
  await pair[Symbol.asyncDispose]();
  await rejects(exposeThrough(pair, { type: "remote", destination: 1 }), /shutting down/);
});

Deno.test("a connector can expose to itself: it is one service, and a connection counts once", async () => {
  await using one = await startConnector();
  await using server = serveTcp(echo);
  const { port, id } = await exposeThrough({ local: one, remote: one }, {
    type: "local",
    destination: server.port,
  });
  {
    using conn = await Deno.connect({ port });
    await writeAll(conn, new Uint8Array(10));
    await conn.closeWrite();
    strictEqual((await readAll(conn)).length, 10);
  }
  const sides = () => one.connector.list().filter((report) => report.id === id);
  await until(() => sides().every(({ connections }) => connections.open === 0), "it has ended");
  deepStrictEqual(sides().map(({ connections }) => connections.total), [1]);
});

Deno.test(
  "the system watches over visitors, destinations and links that say nothing",
  { ignore: Deno.build.os !== "linux" },
  async () => {
    await using server = serveTcp(echo);
    await using pair = await startPair();
    const { port } = await exposeThrough(pair, { type: "local", destination: server.port });
    using visitor = await Deno.connect({ port });
    await writeAll(visitor, new Uint8Array(1));
    await visitor.read(new Uint8Array(1));
    // The visitor's own end and the destination's are theirs to watch over.
    await until(async () => (await keptAlive(port)).kept === 1, "the visitor is watched");
    await until(async () => (await keptAlive(server.port)).kept === 1, "the destination is");
    await until(
      async () => (await keptAlive(pair.remote.server.address.port)).kept === 2,
      "the link is, from both ends",
    );
  },
);
