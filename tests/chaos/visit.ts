// One visitor: connects to a service and does what its plan says, verifying every byte that comes back. The other end
// is upstream.ts; between them are two connectors and a path that fails.

import { delay } from "../../src/delay.ts";
import { digestOf, StreamCheck } from "./bytes.ts";
import { type End, endOf } from "./ends.ts";
import { planGreeting, type VisitPlan } from "./plan.ts";
import { TestSocket } from "./socket.ts";
import { StallWatch } from "./stall.ts";
import { header, HeaderReader, receiveStream, sendStream, type Way } from "./transfer.ts";

/** How to visit. */
export interface VisitOptions {
  /** Of 127.0.0.1. */
  port: number;
  /** Of the run. */
  seed: number;
  /** Gives the visit up. */
  signal?: AbortSignal;
}

/** What a visit came to. */
export interface VisitResult {
  end: End;
  /** Verified bytes that came back. */
  down: number;
}

/** Carries a plan out. Never rejects. */
export async function visit(
  plan: VisitPlan,
  { port, seed, signal }: VisitOptions,
): Promise<VisitResult> {
  let opened: TestSocket;
  try {
    opened = await TestSocket.connect(port);
  } catch (error) {
    // Who is turned away at once hears of it as early.
    const refused = error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
    return { end: { kind: refused ? "refused" : "interrupted" }, down: 0 };
  }
  using socket = opened;
  using watch = new StallWatch(socket);
  const giveUp = () => socket.reset();
  signal?.addEventListener("abort", giveUp);
  if (signal?.aborted) giveUp();
  try {
    const result = await carryOut(plan, { socket, watch, paceMs: plan.paceMs, seed });
    // A FIN would say that what was sent was all.
    if (result.end.kind !== "whole" && result.end.kind !== "left") socket.reset();
    return watch.stalled && !signal?.aborted ? { ...result, end: { kind: "stalled" } } : result;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

async function carryOut(plan: VisitPlan, way: Way & { seed: number }): Promise<VisitResult> {
  const { socket } = way;
  switch (plan.kind) {
    case "server first":
      return await serverFirst(plan, way);
    case "leaves":
      await send(plan, way, plan.resetAfter).catch(() => {});
      await delay(plan.silentMs);
      return { end: { kind: "left" }, down: 0 };
    case "visitor resets":
      await send(plan, way, plan.resetAfter).catch(() => {});
      socket.reset();
      return { end: { kind: "left" }, down: 0 };
    case "mute": {
      await delay(plan.silentMs);
      const check = new StreamCheck({ seed: 0, length: 0 });
      return await received(check, way, socket.finish());
    }
    case "half-close": {
      const check = answerCheck(plan);
      try {
        await send(plan, way);
        await socket.finish();
      } catch {
        return { end: endOf(check, { inOrder: false }), down: 0 };
      }
      return await received(check, way, Promise.resolve());
    }
    case "both ways":
    case "upstream resets":
    case "probe":
      return await received(
        answerCheck(plan),
        way,
        send(plan, way).then(() => socket.finish()),
      );
  }
}

/** Reads everything, then sends. What comes is announced by its number. */
async function serverFirst(
  plan: VisitPlan,
  way: Way & { seed: number },
): Promise<VisitResult> {
  const greeting = new HeaderReader();
  let check = new StreamCheck({ seed: 0, length: 0 });
  try {
    for await (const chunk of way.socket.chunks()) {
      way.watch.moved();
      const before = greeting.value;
      const rest = greeting.take(chunk);
      const { value } = greeting;
      if (value === null) return { end: { kind: "wrong", at: 0 }, down: 0 };
      if (value === undefined) continue;
      if (before === undefined) check = new StreamCheck(planGreeting(way.seed, value));
      check.take(rest);
    }
  } catch {
    return { end: endOf(check, { inOrder: false }), down: check.received };
  }
  if (greeting.value === undefined) {
    return { end: { kind: "truncated", received: greeting.length, expected: 8 }, down: 0 };
  }
  const end = endOf(check, { inOrder: true });
  if (end.kind !== "whole") return { end, down: check.received };
  try {
    await send(plan, way);
    await way.socket.finish();
    return { end, down: check.received };
  } catch {
    return { end: { kind: "interrupted" }, down: check.received };
  }
}

/** Verifies what comes while `sending` goes on. */
async function received(
  check: StreamCheck,
  way: Way,
  sending: Promise<void>,
): Promise<VisitResult> {
  const [read, sent] = await Promise.allSettled([receiveStream(way, check), sending]);
  const readInOrder = read.status === "fulfilled";
  const end = endOf(check, { inOrder: readInOrder });
  // What came is whole, but not everything was sent: no transfer that ended in order.
  const broken = end.kind === "whole" && sent.status === "rejected";
  return { end: broken ? { kind: "interrupted" } : end, down: check.received };
}

async function send(plan: VisitPlan, way: Way, length = plan.up.length): Promise<void> {
  await way.socket.write(header(plan.id));
  await sendStream(way, plan.up, length);
}

/** The answer, and behind it the digest of what the upstream must have received. */
function answerCheck(plan: VisitPlan): StreamCheck {
  return new StreamCheck(plan.down, digestOf(plan.up));
}
