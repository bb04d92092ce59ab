// A day of visitors in a minute: ten thousand that come and leave in every way, while links are cut. What is left
// after them, in descriptors and in the heap of a process that holds both connectors, is what was there before.

import { ok, strictEqual } from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { delay } from "../../src/delay.ts";

import { FaultRelay } from "../support/fault_relay.ts";
import {
  echo,
  exposeThrough,
  reportOf,
  roundTrip,
  serveTcp,
  settle,
  startPair,
  until,
} from "../support/world.ts";

/** Visitors of each type of service. */
const VISITORS = 5000;
/** Of those, visitors at once. */
const AT_ONCE = 100;
/** A cut after so many. */
const CUT_EVERY = 500;
/** How long a visitor waits for what it waits for, in milliseconds. */
const PATIENCE_MS = 5000;
/** What the heap may have grown by, in bytes: caches of the runtime, not a byte a visitor. */
const MAX_HEAP_GROWTH = 8 * 1024 * 1024;

/** In every way that a visitor may leave; how many bytes it sends before. */
const WAYS: readonly ((socket: Socket) => Promise<void>)[] = [
  // Silent, in order.
  (socket) => end(socket),
  // Silent, by a reset.
  (socket) => reset(socket),
  // Half-closed, and gone before the answer.
  async (socket) => {
    await write(socket, 1000);
    socket.end();
    await reset(socket);
  },
  // In the middle of a transfer.
  async (socket) => {
    await write(socket, 200_000);
    await reset(socket);
  },
  // With an answer that is not read.
  async (socket) => {
    socket.pause();
    await write(socket, 50_000);
    socket.destroy();
  },
  // As it should be.
  async (socket) => {
    await write(socket, 10_000);
    await end(socket);
  },
];

for (const type of ["local", "remote"] as const) {
  Deno.test(`${type}: ${VISITORS} visitors that leave in every way, under cut links, leave nothing behind`, async () => {
    await using server = serveTcp(echo);
    await using pair = await startPair();
    await using relay = new FaultRelay(pair.remote.server.address.port);
    const through = { ...pair, remote: { ...pair.remote, address: relay.address } };
    const { port, id } = await exposeThrough(through, { type, destination: server.port });
    // What is made once, and kept, is made before.
    await churn(port, { count: 500, relay });
    await calm(pair, { id, port });
    const before = await usage();

    await churn(port, { count: VISITORS, relay });
    await calm(pair, { id, port });
    const after = await usage();

    for (const side of [pair.local, pair.remote]) {
      strictEqual(reportOf(side, id)?.connections.open, 0);
    }
    strictEqual(after.descriptors, before.descriptors, "descriptors");
    const grown = after.heap - before.heap;
    ok(grown < MAX_HEAP_GROWTH, `the heap has grown by ${grown} bytes`);
    console.log(
      `${type}: descriptors ${before.descriptors} before, ${after.descriptors} after; ` +
        `heap ${before.heap} and ${after.heap} bytes`,
    );
  });
}

async function churn(
  port: number,
  { count, relay }: { count: number; relay: FaultRelay },
): Promise<void> {
  let started = 0;
  const visitor = async () => {
    while (started < count) {
      const turn = started++;
      if (turn % CUT_EVERY === CUT_EVERY - 1) relay.cut();
      await visit(port, WAYS[turn % WAYS.length] ?? end);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, visitor));
}

/** Comes, does as it is told, and is gone. Whatever the connectors do to it is no failure of its own. */
async function visit(port: number, way: (socket: Socket) => Promise<void>): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {});
  socket.resume();
  await new Promise<void>((resolve) => socket.once("connect", resolve).once("close", resolve));
  const gone = new AbortController();
  await Promise.race([way(socket), closed, delay(PATIENCE_MS, { signal: gone.signal })]);
  gone.abort();
  socket.destroy();
  await closed;
}

function write(socket: Socket, count: number): Promise<void> {
  return new Promise((resolve) => socket.write(new Uint8Array(count), () => resolve()));
}

/** Ends in order: waits for the other side's end. */
function end(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("end", resolve);
    socket.end();
  });
}

function reset(socket: Socket): Promise<void> {
  socket.resetAndDestroy();
  return Promise.resolve();
}

/** Waits until the link is up and nobody is there any more. */
async function calm(
  pair: Awaited<ReturnType<typeof startPair>>,
  { id, port }: { id: string; port: number },
): Promise<void> {
  const sides = [pair.local, pair.remote];
  await until(
    () => sides.every((side) => reportOf(side, id)?.status === "complete"),
    "the link is up",
    { timeoutMs: 30_000 },
  );
  await roundTrip(port);
  await until(
    () => sides.every((side) => reportOf(side, id)?.connections.open === 0),
    "nobody is there",
    { timeoutMs: 30_000 },
  );
  await settle();
}

/** What this process uses, once what can be freed is freed. */
async function usage(): Promise<{ descriptors: number; heap: number }> {
  // Whatever ends late has ended when the count stays.
  let descriptors = -1;
  await until(
    async () => {
      const last = descriptors;
      descriptors = 0;
      for await (const _ of Deno.readDir("/proc/self/fd")) descriptors += 1;
      await delay(500);
      return descriptors === last;
    },
    "descriptors stay",
    { timeoutMs: 30_000 },
  );
  // The task starts the runtime with --expose-gc.
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new TypeError("want --v8-flags=--expose-gc");
  for (let round = 0; round < 3; round += 1) {
    gc();
    await delay(50);
  }
  return { descriptors, heap: Deno.memoryUsage().heapUsed };
}
