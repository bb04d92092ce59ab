// Sender and receiver of one direction, whatever the order of events: never over, never stalled, growth under
// its rule alone, and a budget that is kept.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { ReceiveWindow, SendWindow, WindowBudget } from "../../src/mux/native/window.ts";

const ROUND_TRIP = 10;

type Step =
  | { kind: "send"; part: number }
  | { kind: "deliver"; part: number }
  | { kind: "consume"; part: number }
  | { kind: "deliverGrant" }
  | { kind: "wait"; ms: number };

/** Which share of what is possible is done, from a little to all of it. */
const part = fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true }));

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("send" as const), part }),
  fc.record({ kind: fc.constant("deliver" as const), part }),
  fc.record({ kind: fc.constant("consume" as const), part }),
  fc.record({ kind: fc.constant("deliverGrant" as const) }),
  fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 50 }) }),
);

const sizes = fc.record({
  initialBytes: fc.integer({ min: 1, max: 5000 }),
  maxBytes: fc.integer({ min: 1, max: 40_000 }),
});

/** One direction of one stream with a path between: bytes and grants are under way for a time. */
class Direction {
  readonly sender: SendWindow;
  readonly receiver: ReceiveWindow;
  readonly initialBytes: number;
  /** Size, clock and last size at each growth. */
  readonly growths: { from: number; to: number; sinceGrant: number }[] = [];
  sent = 0;
  arrived = 0;
  consumed = 0;
  readonly grants: number[] = [];
  #grantedAt = -Infinity;

  constructor(
    { initialBytes, maxBytes }: { initialBytes: number; maxBytes: number },
    budget: WindowBudget,
  ) {
    this.initialBytes = initialBytes;
    this.sender = new SendWindow(initialBytes);
    this.receiver = new ReceiveWindow({ initialBytes, maxBytes, budget });
  }

  run(step: Step, now: number): void {
    switch (step.kind) {
      case "send": {
        const count = Math.ceil(step.part * this.sender.available);
        this.sender.take(count);
        this.sent += count;
        return;
      }
      case "deliver": {
        const count = Math.ceil(step.part * (this.sent - this.arrived));
        this.receiver.receive(count);
        this.arrived += count;
        return;
      }
      case "consume":
        return this.#consume(Math.ceil(step.part * (this.arrived - this.consumed)), now);
      case "deliverGrant": {
        const offset = this.grants.shift();
        if (offset !== undefined) this.sender.grant(offset);
        return;
      }
      case "wait":
    }
  }

  #consume(count: number, now: number): void {
    if (count === 0) return;
    const from = this.receiver.size;
    this.consumed += count;
    const offset = this.receiver.consume(count, { now, roundTrip: ROUND_TRIP });
    const to = this.receiver.size;
    if (to !== from) this.growths.push({ from, to, sinceGrant: now - this.#grantedAt });
    if (offset === undefined) return;
    strictEqual(offset, this.consumed + to);
    this.#grantedAt = now;
    this.grants.push(offset);
  }

  /** Lets everything that is under way arrive and be consumed. */
  drain(now: number): void {
    this.run({ kind: "deliver", part: 1 }, now);
    this.run({ kind: "consume", part: 1 }, now);
    while (this.grants.length > 0) this.run({ kind: "deliverGrant" }, now);
  }
}

Deno.test("never over: what is neither consumed nor granted again is at most the window", () => {
  fc.assert(fc.property(sizes, fc.array(step, { maxLength: 200, size: "max" }), (size, steps) => {
    const direction = new Direction(size, new WindowBudget(1_000_000));
    let now = 0;
    for (const each of steps) {
      if (each.kind === "wait") now += each.ms;
      // The receiver throws when it gets more than it granted.
      direction.run(each, now);
      ok(direction.sent - direction.consumed <= direction.receiver.size, "outstanding");
      ok(direction.arrived - direction.consumed <= direction.receiver.size, "waiting");
      ok(direction.sender.available >= 0, "available");
    }
  }));
});

Deno.test("never stalled: once all is consumed, at least half a window may be sent", () => {
  fc.assert(fc.property(sizes, fc.array(step, { maxLength: 200, size: "max" }), (size, steps) => {
    const direction = new Direction(size, new WindowBudget(1_000_000));
    let now = 0;
    for (const each of steps) {
      if (each.kind === "wait") now += each.ms;
      direction.run(each, now);
    }
    direction.drain(now);
    ok(direction.sender.available > direction.receiver.size / 2 - 1);
    ok(direction.sender.available > 0);
  }));
});

Deno.test("a window grows only in less than two round trips, to twice its size or its largest", () => {
  fc.assert(fc.property(sizes, fc.array(step, { maxLength: 300, size: "max" }), (size, steps) => {
    const direction = new Direction(size, new WindowBudget(1_000_000));
    const largest = Math.max(size.initialBytes, size.maxBytes);
    let now = 0;
    for (const each of steps) {
      if (each.kind === "wait") now += each.ms;
      direction.run(each, now);
    }
    for (const { from, to, sinceGrant } of direction.growths) {
      strictEqual(to, Math.min(2 * from, largest));
      ok(sinceGrant < 2 * ROUND_TRIP);
    }
  }));
});

Deno.test("a sender that always fills its window makes it grow to its largest", () => {
  fc.assert(fc.property(sizes, (size) => {
    const direction = new Direction(size, new WindowBudget(1_000_000));
    // Each doubling takes a round; 2^16 times the smallest window is more than the largest.
    for (let now = 0; now < 20; now += 1) {
      direction.run({ kind: "send", part: 1 }, now);
      direction.drain(now);
    }
    strictEqual(direction.receiver.size, Math.max(size.initialBytes, size.maxBytes));
  }));
});

Deno.test("the windows of a session keep to their budget, and in the end it is whole again", () => {
  const model = fc.record({
    budgetBytes: fc.integer({ min: 0, max: 30_000 }),
    streams: fc.array(sizes, { minLength: 1, maxLength: 5 }),
    steps: fc.array(
      fc.record({
        stream: fc.nat({ max: 4 }),
        step: fc.oneof(
          { weight: 20, arbitrary: step },
          { weight: 1, arbitrary: fc.constant("release" as const) },
        ),
      }),
      { maxLength: 300, size: "max" },
    ),
  });
  fc.assert(
    fc.property(model, ({ budgetBytes, streams, steps }) => {
      const budget = new WindowBudget(budgetBytes);
      const directions = streams.map((size) => new Direction(size, budget));
      const released = new Set<Direction>();
      const grown = () =>
        directions.reduce(
          (sum, { receiver, initialBytes }) => sum + receiver.size - initialBytes,
          0,
        );
      let now = 0;
      for (const { stream, step: each } of steps) {
        const direction = directions[stream % directions.length];
        if (direction === undefined) continue;
        if (each === "release") {
          direction.receiver.release();
          released.add(direction);
        } else if (!released.has(direction)) {
          if (each.kind === "wait") now += each.ms;
          direction.run(each, now);
        } else if (each.kind === "consume") {
          // A reader that still drains what had arrived before the end.
          const rest = direction.arrived - direction.consumed;
          direction.consumed = direction.arrived;
          const at = { now, roundTrip: ROUND_TRIP };
          if (rest > 0) deepStrictEqual(direction.receiver.consume(rest, at), undefined);
        }
        ok(grown() <= budgetBytes, "the budget is kept");
      }
      for (const { receiver } of directions) receiver.release();
      strictEqual(grown(), 0);
      strictEqual(budget.take(budgetBytes), true);
      strictEqual(budget.take(1), false);
    }),
    { numRuns: 300 },
  );
});
