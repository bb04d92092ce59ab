// Pings and their answers, on a clock that the test moves.

import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { Liveness, PING_INTERVAL_MS, PONG_TIMEOUT_MS } from "../../src/mux/liveness.ts";
import { FakeTime } from "../support/fake_time.ts";

/** Liveness with a record of what it did. */
function watched(): { liveness: Liveness; pings: number[]; silences: () => number } {
  const pings: number[] = [];
  let count = 0;
  const liveness = new Liveness({
    ping: (nonce) => pings.push(nonce),
    onSilence: () => count += 1,
  });
  return { liveness, pings, silences: () => count };
}

/** One round: the answer to the last ping after so long, and the wait until the next ping. */
async function answerAfter(
  ms: number,
  { time, liveness, pings }: { time: FakeTime; liveness: Liveness; pings: number[] },
): Promise<void> {
  await time.advance(ms);
  liveness.pong(pings.at(-1) ?? -1);
  await time.advance(PING_INTERVAL_MS);
}

Deno.test("the first ping leaves at once, each further one an interval after the answer", async () => {
  using time = new FakeTime();
  const { liveness, pings } = watched();
  liveness.start();
  strictEqual(pings.length, 1);
  await time.advance(100);
  liveness.pong(pings[0] ?? -1);
  await time.advance(PING_INTERVAL_MS - 1);
  strictEqual(pings.length, 1);
  await time.advance(1);
  strictEqual(pings.length, 2);
  liveness.stop();
});

Deno.test("no ping has the number of another", async () => {
  using time = new FakeTime();
  const watch = watched();
  watch.liveness.start();
  for (let round = 0; round < 20; round += 1) await answerAfter(1, { time, ...watch });
  strictEqual(new Set(watch.pings).size, 21);
  watch.liveness.stop();
});

Deno.test("a peer that does not answer in time is reported, once", async () => {
  using time = new FakeTime();
  const { liveness, pings, silences } = watched();
  liveness.start();
  await time.advance(PONG_TIMEOUT_MS - 1);
  strictEqual(silences(), 0);
  await time.advance(1);
  strictEqual(silences(), 1);
  await time.advance(10 * PONG_TIMEOUT_MS);
  deepStrictEqual([silences(), pings.length], [1, 1]);
});

Deno.test("a peer that stops answering later is reported, too", async () => {
  using time = new FakeTime();
  const watch = watched();
  watch.liveness.start();
  for (let round = 0; round < 3; round += 1) await answerAfter(20, { time, ...watch });
  await time.advance(PONG_TIMEOUT_MS);
  strictEqual(watch.silences(), 1);
});

Deno.test("a silent path is noticed within 15 s, whenever it became silent", () => {
  ok(PING_INTERVAL_MS + PONG_TIMEOUT_MS <= 15_000);
});

Deno.test("an answer to nothing is a breach", async () => {
  using time = new FakeTime();
  const { liveness, pings } = watched();
  throws(() => liveness.pong(1), { code: "internal", message: /ping that was not sent/ });
  liveness.start();
  const [first = -1] = pings;
  throws(() => liveness.pong(first + 1), { code: "internal" });
  liveness.pong(first);
  throws(() => liveness.pong(first), { code: "internal" });
  await time.advance(PING_INTERVAL_MS);
  throws(() => liveness.pong(first), { code: "internal" });
  liveness.stop();
});

Deno.test("the round trip is assumed before the first answer, then measured", async () => {
  using time = new FakeTime();
  const watch = watched();
  ok(watch.liveness.roundTrip > 0);
  watch.liveness.start();
  await answerAfter(42, { time, ...watch });
  strictEqual(watch.liveness.roundTrip, 42);
  watch.liveness.stop();
});

Deno.test("the round trip is the shortest of the last eight", async () => {
  using time = new FakeTime();
  const watch = watched();
  watch.liveness.start();
  for (const ms of [30, 5, 80, 90]) await answerAfter(ms, { time, ...watch });
  strictEqual(watch.liveness.roundTrip, 5);
  // The path has become longer: eight answers later the short one is forgotten.
  for (let round = 0; round < 8; round += 1) await answerAfter(60, { time, ...watch });
  strictEqual(watch.liveness.roundTrip, 60);
  watch.liveness.stop();
});

Deno.test("once stopped it leaves no timer, and an answer that comes late starts none", async () => {
  using time = new FakeTime();
  const { liveness, pings, silences } = watched();
  liveness.start();
  liveness.stop();
  strictEqual(time.timerCount, 0);
  liveness.pong(pings[0] ?? -1);
  strictEqual(time.timerCount, 0);
  await time.advance(10 * PONG_TIMEOUT_MS);
  deepStrictEqual([silences(), pings.length], [0, 1]);
});
