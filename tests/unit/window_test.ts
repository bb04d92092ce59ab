// The arithmetic of flow control, step by step.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { ReceiveWindow, SendWindow, WindowBudget } from "../../src/mux/native/window.ts";

/** A round trip of 10 ms: half a window in less than 20 ms makes it grow. */
const ROUND_TRIP = 10;

/** A window of 1,000 bytes that may grow to 8,000. */
function receiveWindow(budget = new WindowBudget(1_000_000)): ReceiveWindow {
  return new ReceiveWindow({ initialBytes: 1000, maxBytes: 8000, budget });
}

/** Receives and consumes, and returns what is granted. */
function pass(window: ReceiveWindow, count: number, now: number): number | undefined {
  window.receive(count);
  return window.consume(count, { now, roundTrip: ROUND_TRIP });
}

Deno.test("a sender may send what was granted and not a byte more", () => {
  const window = new SendWindow(1000);
  strictEqual(window.available, 1000);
  window.take(999);
  window.take(1);
  strictEqual(window.available, 0);
  throws(() => window.take(1), TypeError);
  window.grant(1500);
  strictEqual(window.available, 500);
});

Deno.test("a grant that does not grow, or is no offset, is a breach", () => {
  const window = new SendWindow(1000);
  for (const offset of [0, 999, 1000, -1, 1000.5, NaN, Infinity, 2 ** 53]) {
    throws(() => window.grant(offset), { code: "internal" });
  }
  window.grant(1001);
  throws(() => window.grant(1001), { code: "internal", message: /granted 1001 after 1001/ });
  strictEqual(window.available, 1001);
});

Deno.test("bytes beyond the grant are a breach", () => {
  const window = receiveWindow();
  window.receive(1000);
  throws(() => window.receive(1), { code: "internal", message: /1001 bytes of 1000 granted/ });
});

Deno.test("half a window is granted at a time, by what was consumed and not by what arrived", () => {
  const window = receiveWindow();
  window.receive(1000);
  strictEqual(window.consume(499, { now: 0, roundTrip: ROUND_TRIP }), undefined);
  strictEqual(window.consume(1, { now: 0, roundTrip: ROUND_TRIP }), 1500);
  strictEqual(window.consume(499, { now: 1000, roundTrip: ROUND_TRIP }), undefined);
  strictEqual(window.consume(1, { now: 1000, roundTrip: ROUND_TRIP }), 2000);
});

Deno.test("a window grows when half of it was used up in less than two round trips", () => {
  const window = receiveWindow();
  strictEqual(pass(window, 500, 0), 1500);
  strictEqual(window.size, 1000);
  strictEqual(pass(window, 500, 19.9), 3000);
  strictEqual(window.size, 2000);
});

for (
  const [roundTrip, elapsed, grows] of [
    [50, 99, true],
    [50, 100, false],
    // None counts as shorter than 10 ms: a busy reader takes longer turns.
    [0.1, 19, true],
    [0.1, 20, false],
  ] as const
) {
  Deno.test(`half a window in ${elapsed} ms, round trip ${roundTrip} ms: ${grows ? "grows" : "stays"}`, () => {
    const window = receiveWindow();
    window.consume(500, { now: 0, roundTrip });
    window.consume(500, { now: elapsed, roundTrip });
    strictEqual(window.size > 1000, grows);
  });
}

Deno.test("a window stays when the sender was slower than that", () => {
  const window = receiveWindow();
  pass(window, 500, 0);
  strictEqual(pass(window, 500, 20), 2000);
  strictEqual(window.size, 1000);
});

Deno.test("a window does not grow with its first grant: nothing is known of the sender yet", () => {
  const window = receiveWindow();
  pass(window, 1000, 0);
  strictEqual(window.size, 1000);
});

Deno.test("a window grows to its largest size and no further", () => {
  const window = new ReceiveWindow({
    initialBytes: 1000,
    maxBytes: 3000,
    budget: new WindowBudget(1_000_000),
  });
  const sizes = [1, 2, 3, 4].map((now) => {
    pass(window, window.size, now);
    return window.size;
  });
  deepStrictEqual(sizes, [1000, 2000, 3000, 3000]);
});

Deno.test("a largest size below the first one means the first one", () => {
  const window = new ReceiveWindow({
    initialBytes: 1000,
    maxBytes: 10,
    budget: new WindowBudget(1_000_000),
  });
  for (let now = 0; now < 5; now += 1) pass(window, 1000, now);
  strictEqual(window.size, 1000);
});

Deno.test("windows grow only as far as their budget goes, and give it back", () => {
  const budget = new WindowBudget(4000);
  const [one, two] = [receiveWindow(budget), receiveWindow(budget)];
  for (let now = 0; now < 10; now += 1) pass(one, one.size, now);
  // To 2,000 and to 4,000: the next 4,000 are more than the 1,000 left.
  strictEqual(one.size, 4000);
  for (let now = 0; now < 10; now += 1) pass(two, two.size, now);
  strictEqual(two.size, 2000);
  one.release();
  for (let now = 10; now < 20; now += 1) pass(two, two.size, now);
  strictEqual(two.size, 4000);
});

Deno.test("a budget is given back once", () => {
  const budget = new WindowBudget(1000);
  const window = receiveWindow(budget);
  pass(window, 500, 0);
  pass(window, 500, 1);
  strictEqual(budget.take(1), false);
  window.release();
  window.release();
  strictEqual(budget.take(1001), false);
  strictEqual(budget.take(1000), true);
});

Deno.test("what is consumed after the end takes nothing of the budget and grants nothing", () => {
  const budget = new WindowBudget(1000);
  const window = receiveWindow(budget);
  pass(window, 500, 0);
  window.receive(1000);
  window.release();
  strictEqual(window.consume(1000, { now: 1, roundTrip: ROUND_TRIP }), undefined);
  strictEqual(budget.take(1000), true);
});
