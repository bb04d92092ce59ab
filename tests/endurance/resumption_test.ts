// Links that are lost under load: 10,000 open connections go on, and a download ends whole however often its link is cut.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { delay } from "../../src/delay.ts";
import { Child } from "../support/child.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { exposeService, ROOT, spawnPair } from "../support/processes.ts";
import { randomBytes, serveTcp, until, writeAll } from "../support/world.ts";

const VISITORS = 10_000;
/** Visitors on their way at once while they come. */
const COMING_AT_ONCE = 100;
/** This only guards against hanging: a small machine that is busy takes its time. */
const PATIENCE = { timeoutMs: 60_000 };
/** Of a download, in bytes, and how often its link is cut, in milliseconds. */
const DOWNLOAD_BYTES = 1024 ** 3;
const CUT_EVERY_MS = 2000;

/** Other systems have not as many ports to connect from. */
const onLinux = { ignore: Deno.build.os !== "linux" };

Deno.test("10,000 open connections go on when their link is lost", onLinux, async () => {
  await using upstream = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-net", "bench/echo_upstream.ts"],
    cwd: ROOT,
  });
  const [, destination] = await upstream.waitFor(/echo (\d+) stuck/);
  await using pair = await spawnPair();
  await using relay = new FaultRelay(pair.remote.grpcPort);
  const { port } = await exposeService(pair.local, {
    to: relay.address,
    type: "local",
    destination: Number(destination),
  });
  using visitors = new DisposableStack();
  const conns: Deno.TcpConn[] = [];
  await inTurns(async () => {
    const conn = visitors.use(await Deno.connect({ port }));
    conns.push(conn);
    await echoes(conn);
  });
  const counted = () =>
    Promise.all(
      [pair.local, pair.remote].map(async ({ rest }) => (await rest.list())[0]?.connections),
    );
  const memory = () => [pair.local, pair.remote].map(({ pid }) => residentBytes(pid));
  const before = memory();
  const lostAt = performance.now();
  relay.cut();
  await until(
    async () => (await counted()).every((each) => each?.resumed === VISITORS),
    "all are resumed",
    PATIENCE,
  );
  const tookMs = performance.now() - lostAt;
  const after = memory();
  const grown = after.map((bytes, side) => bytes - (before[side] ?? 0));
  console.log(
    `${VISITORS} connections resumed in ${Math.round(tookMs)} ms; memory grew by ${
      grown.map((bytes) => Math.round(bytes / 1024 ** 2)).join(" and ")
    } MiB`,
  );
  // Nothing is exchanged for each of them.
  ok(tookMs < 10_000, `${tookMs} ms`);
  for (const bytes of grown) ok(bytes < 64 * 1024 ** 2, `${bytes} bytes more`);
  let next = 0;
  await inTurns(async () => {
    const conn = conns[next++];
    if (conn) await echoes(conn);
  });
  for (const each of await counted()) {
    deepStrictEqual([each?.open, each?.failed], [VISITORS, 0]);
  }
});

Deno.test("a download of 1 GiB ends whole though its link is cut every 2 s", async () => {
  const block = randomBytes(1024 ** 2);
  const wanted = createHash("sha256");
  for (let sent = 0; sent < DOWNLOAD_BYTES; sent += block.length) wanted.update(block);
  await using server = serveTcp(async (conn) => {
    for (let sent = 0; sent < DOWNLOAD_BYTES; sent += block.length) await writeAll(conn, block);
    await conn.closeWrite();
  });
  await using pair = await spawnPair();
  await using relay = new FaultRelay(pair.remote.grpcPort);
  const { port } = await exposeService(pair.local, {
    to: relay.address,
    type: "local",
    destination: server.port,
  });
  // As fast as a good path is, so that it takes a while on any machine.
  relay.bytesPerSecond = 64 * 1024 ** 2;
  const over = new AbortController();
  let cuts = 0;
  const cutting = (async () => {
    for (;;) {
      await delay(CUT_EVERY_MS, { signal: over.signal });
      if (over.signal.aborted) return;
      relay.cut();
      cuts += 1;
    }
  })();
  const started = performance.now();
  using visitor = await Deno.connect({ port });
  const received = createHash("sha256");
  const buffer = new Uint8Array(256 * 1024);
  let length = 0;
  for (let count = await visitor.read(buffer); count !== null; count = await visitor.read(buffer)) {
    received.update(buffer.subarray(0, count));
    length += count;
  }
  const tookMs = performance.now() - started;
  over.abort();
  await cutting;
  console.log(`1 GiB in ${(tookMs / 1000).toFixed(1)} s, with ${cuts} losses of its link`);
  strictEqual(length, DOWNLOAD_BYTES);
  strictEqual(received.digest("hex"), wanted.digest("hex"));
  ok(cuts >= 5, `${cuts} losses`);
});

/** Has all visitors come, so many at once. */
async function inTurns(visit: () => Promise<void>): Promise<void> {
  let left = VISITORS;
  await Promise.all(
    Array.from({ length: COMING_AT_ONCE }, async () => {
      while (left-- > 0) await visit();
    }),
  );
}

async function echoes(conn: Deno.TcpConn): Promise<void> {
  const sent = randomBytes(16);
  await writeAll(conn, sent);
  const received = new Uint8Array(sent.length);
  for (let at = 0; at < sent.length;) {
    const count = await conn.read(received.subarray(at));
    if (count === null) throw new Error("the connection has ended");
    at += count;
  }
  deepStrictEqual(received, sent);
}

/** Resident memory of a process, in bytes. */
function residentBytes(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
