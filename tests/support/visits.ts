// Streams of every temper over two sessions: what each end writes, reads, finishes and resets, from a seed; and the check
// that what comes out is what went in.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import type { ByteChannel } from "../../src/byte_channel.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Session } from "../../src/mux/session.ts";
import type { SessionOptions } from "../../src/mux/session_options.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { seeded, turn } from "./memory_link.ts";
import { type SessionPair, type SessionPairOptions, TINY_LIMITS } from "./session_pair.ts";

type Role = SessionOptions["role"];

/** What one end of a stream does. */
interface Side {
  /** Bytes of each write. */
  writes: number[];
  /** What follows the writes. */
  end: "finish" | "reset";
  /** The most turns between two reads, and between two writes. */
  pause: number;
}

/** One stream. */
interface Visit {
  opener: Role;
  /** The egress answers with a reset. */
  refused: boolean;
  /** The ingress cuts it off after so many turns, whatever it is at: the service was removed. */
  cutAfter: number | undefined;
  ingress: Side;
  egress: Side;
}

const side: fc.Arbitrary<Side> = fc.record({
  writes: fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 6, size: "max" }),
  end: fc.oneof(
    { weight: 4, arbitrary: fc.constant("finish" as const) },
    { weight: 1, arbitrary: fc.constant("reset" as const) },
  ),
  pause: fc.nat({ max: 3 }),
});

const visit: fc.Arbitrary<Visit> = fc.record({
  opener: fc.constantFrom("dialler" as const, "acceptor" as const),
  refused: fc.oneof(
    { weight: 9, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  cutAfter: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.nat({ max: 15 }) },
  ),
  ingress: side,
  egress: side,
});

/** Streams of all kinds, with tiny buffers. */
export const scenario = fc.record({
  seed: fc.integer(),
  /** Messages that the link holds each way. */
  bound: fc.integer({ min: 1, max: 5 }),
  /** The most turns that a message takes. */
  slowness: fc.nat({ max: 3 }),
  limits: fc.record({
    streams: fc.integer({ min: 1, max: 4 }),
    opens: fc.constantFrom(1, 1, 2, 4),
    window: fc.integer({ min: 1024, max: 3000 }),
    maxWindow: fc.integer({ min: 1024, max: 9000 }),
    // Eight streams at their first window, and as much again for growth: no reader is slow enough to be reset.
    budget: fc.integer({ min: 48_000, max: 96_000 }),
  }),
  visits: fc.array(visit, { minLength: 1, maxLength: 10, size: "max" }),
});

/** What happens over a pair. */
export type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never;

/** The bytes of one direction of one visit: the same for all, at other offsets. */
const CONTENT = new Uint8Array(2 ** 16).map((_, index) => (index * 167 + (index >> 8) * 13) & 0xff);

/** What an end of a stream has received, and whether its end was in order. */
interface Received {
  chunks: Uint8Array[];
  inOrder: boolean;
}

/** Runs one end of a stream until both directions have ended there. Only a ConnectorError may end it early. */
async function runSide(
  stream: ByteChannel,
  { side, random, offset }: { side: Side; random: (limit: number) => number; offset: number },
): Promise<Received> {
  const pause = async () => {
    for (let left = random(side.pause + 1); left > 0; left -= 1) await turn();
  };
  const received: Received = { chunks: [], inOrder: false };
  const write = async () => {
    let at = offset;
    for (const length of side.writes) {
      await pause();
      // One buffer, filled anew for each write, as a socket's reader has it.
      const buffer = CONTENT.slice(at, at + length);
      await stream.write(buffer);
      buffer.fill(0);
      at += length;
    }
    await pause();
    if (side.end === "finish") await stream.finish();
    else stream.reset("connection_reset", "as the test wants it");
  };
  const read = async () => {
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      received.chunks.push(bytes.slice());
      await pause();
    }
    received.inOrder = true;
  };
  const orderly = (error: unknown) => {
    if (!(error instanceof ConnectorError)) throw error;
  };
  await Promise.all([write().catch(orderly), read().catch(orderly)]);
  stream.close();
  return received;
}

/** Opens when the limits allow it: who is over them is told so at once. Undefined once the session has ended. */
async function openWhenAllowed(
  session: Session,
  serviceId: string,
  over: () => boolean,
): Promise<Stream | undefined> {
  while (!over()) {
    try {
      return session.open(serviceId, "127.0.0.1:1");
    } catch (error) {
      if (!(error instanceof ConnectorError)) throw error;
      ok(["resource_exhausted", "unavailable"].includes(error.code), error.message);
      await turn();
    }
  }
  return undefined;
}

function check(received: Received, { sent, offset, inOrder, what }: {
  sent: Side;
  offset: number;
  inOrder: boolean;
  what: string;
}): void {
  const length = sent.writes.reduce((sum, each) => sum + each, 0);
  const bytes = received.chunks.flatMap((chunk) => [...chunk]);
  if (inOrder) strictEqual(bytes.length, length, `${what}: all has arrived`);
  ok(bytes.length <= length, `${what}: no more arrives than was sent`);
  deepStrictEqual(bytes, [...CONTENT.subarray(offset, offset + bytes.length)], what);
  if (inOrder) strictEqual(received.inOrder, true, `${what}: the end is in order`);
}

/** Both ends of all streams, as they run. */
export interface Running<Pair extends SessionPair = SessionPair> {
  pair: Pair;
  /** Resolves when every stream has ended at both ends, and was checked. */
  ended: Promise<void>;
  /** From now on streams may end before their time. */
  interrupt: () => void;
}

/** Starts all streams over a pair that `join` makes. */
export function startVisits<Pair extends SessionPair>(
  { seed, bound, slowness, limits, visits }: Scenario,
  join: (options: SessionPairOptions) => Pair,
): Running<Pair> {
  const random = seeded(seed);
  const egresses = new Map<string, Promise<Received>>();
  const onStream = (stream: Stream) => {
    const index = Number(stream.serviceId);
    const { refused, egress: side } = visits[index] ?? fail(stream.serviceId);
    egresses.set(
      stream.serviceId,
      (async () => {
        for (let left = random(12); left > 0; left -= 1) await turn();
        if (refused) stream.reset("refused", "as the test wants it");
        else stream.accept();
        return await runSide(stream, { side, random, offset: offsetOf(index, "egress") });
      })(),
    );
  };
  const pair = join({
    bound,
    turns: () => random(slowness + 1),
    limits: { ...TINY_LIMITS, ...limits },
    onStream: { dialler: onStream, acceptor: onStream },
  });
  let over = false;
  const visit = async ({ opener, ingress, egress, refused, cutAfter }: Visit, index: number) => {
    const stream = await openWhenAllowed(pair[opener], String(index), () => over);
    if (stream === undefined) return;
    if (cutAfter !== undefined) cutOff(stream, cutAfter);
    const offset = offsetOf(index, "ingress");
    const down = await runSide(stream, { side: ingress, random, offset });
    // An egress never hears of a stream that was reset while it waited to be opened.
    const up = await egresses.get(String(index)) ?? { chunks: [], inOrder: false };
    const orderly = !refused && cutAfter === undefined && !over;
    const inOrder = orderly && ingress.end === "finish" && egress.end === "finish";
    check(up, { sent: ingress, offset, inOrder, what: `stream ${index} up` });
    const from = { sent: egress, offset: offsetOf(index, "egress") };
    check(down, { ...from, inOrder, what: `stream ${index} down` });
  };
  const all = Promise.all(visits.map(visit));
  return {
    pair,
    ended: all.then(() => Promise.all(egresses.values())).then(() => {}),
    interrupt: () => over = true,
  };
}

async function cutOff(stream: Stream, turns: number): Promise<void> {
  for (let left = turns; left > 0; left -= 1) await turn();
  stream.reset("closing", "the service was removed");
}

function offsetOf(index: number, end: "ingress" | "egress"): number {
  return index * 1000 + (end === "ingress" ? 0 : 500);
}

function fail(what: string): never {
  throw new TypeError(`${what} is not as it should be`);
}
