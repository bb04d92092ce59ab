// Who is given up and when, on a clock that the test moves.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  Liveness,
  PING_INTERVAL_MS,
  SILENCE_MS,
  UNANSWERED_MS,
} from "../../src/mux/native/liveness.ts";
import { LOOK_MS } from "../../src/silence.ts";
import { FakeTime } from "../support/fake_time.ts";

/** Liveness with a record of what it did, and a peer that is heard when the test says. */
function watched() {
  const pings: number[] = [];
  let [count, arrivals] = [0, 0];
  const liveness = new Liveness({
    ping: () => pings.push(performance.now()),
    arrivals: () => arrivals,
    onSilence: () => count += 1,
  });
  const hear = () => void (arrivals += 1);
  return { liveness, pings, hear, silences: () => count };
}

Deno.test("the first ping leaves at once, each further one an interval later, answered or not", async () => {
  using time = new FakeTime();
  const { liveness, pings } = watched();
  liveness.start();
  await time.advance(2 * PING_INTERVAL_MS);
  deepStrictEqual(pings, [0, PING_INTERVAL_MS, 2 * PING_INTERVAL_MS]);
  liveness[Symbol.dispose]();
});

Deno.test("a peer of which nothing arrives is given up, once", async () => {
  using time = new FakeTime();
  const { liveness, silences } = watched();
  liveness.start();
  await time.advance(SILENCE_MS - 1);
  strictEqual(silences(), 0);
  await time.advance(1);
  strictEqual(silences(), 1);
  await time.advance(10 * SILENCE_MS);
  strictEqual(silences(), 1);
  strictEqual(time.timerCount, 0);
});

Deno.test("whatever arrives proves that the peer lives, however late the answers to pings are", async () => {
  using time = new FakeTime();
  const { liveness, hear, silences } = watched();
  liveness.start();
  for (let waited = 0; waited < 300_000; waited += 12_000) {
    await time.advance(12_000);
    hear();
  }
  strictEqual(silences(), 0);
  await time.advance(SILENCE_MS + LOOK_MS);
  strictEqual(silences(), 1);
});

Deno.test("a silent path is noticed within 14 s, whenever it became silent", async () => {
  for (const heardAt of [1, 499, 999, 1000, 1001, 4999, 12_999]) {
    using time = new FakeTime();
    const { liveness, hear, silences } = watched();
    liveness.start();
    await time.advance(heardAt);
    hear();
    await time.advance(SILENCE_MS - 1);
    strictEqual(silences(), 0, `heard at ${heardAt}`);
    await time.advance(LOOK_MS + 1);
    strictEqual(silences(), 1, `heard at ${heardAt}`);
  }
  ok(SILENCE_MS + LOOK_MS < 15_000);
});

Deno.test("a pause of 8 s is no silence, even if TCP takes until 12.6 s to send again", async () => {
  using time = new FakeTime();
  const { liveness, hear, silences } = watched();
  liveness.start();
  for (const pause of [8_000, 12_600, 8_000, 12_600]) {
    await time.advance(pause);
    hear();
  }
  strictEqual(silences(), 0);
  liveness[Symbol.dispose]();
});

Deno.test("time in which this process did not run is no silence: what waits in the socket is read first", async () => {
  for (const stoppedMs of [20_000, 60_000, 8 * 3600_000]) {
    using time = new FakeTime();
    const { liveness, hear, silences } = watched();
    liveness.start();
    hear();
    await time.advance(5_500);
    // Stopped: the timer that was due fires as the process runs again, ahead of what has arrived.
    time.jump(stoppedMs);
    strictEqual(silences(), 0);
    await time.advance(1);
    strictEqual(silences(), 0);
    hear();
    await time.advance(SILENCE_MS - LOOK_MS);
    strictEqual(silences(), 0, `stopped for ${stoppedMs} ms`);
    await time.advance(2 * LOOK_MS);
    strictEqual(silences(), 1, "but a path that is silent is noticed as always");
  }
});

Deno.test("an event loop that is blocked now and then does not hide a silence", async () => {
  using time = new FakeTime();
  const { liveness, silences } = watched();
  liveness.start();
  for (let round = 0; round < 8; round += 1) {
    time.jump(LOOK_MS * 1.8);
    await time.advance(1);
  }
  strictEqual(silences(), 1);
});

Deno.test("a peer that speaks and answers no ping for ten minutes is given up, too", async () => {
  using time = new FakeTime();
  const { liveness, hear, silences } = watched();
  liveness.start();
  const speak = async (ms: number) => {
    for (let spoken = 0; spoken < ms; spoken += 5_000) {
      hear();
      await time.advance(5_000);
    }
  };
  await speak(UNANSWERED_MS - 10_000);
  liveness.answered();
  await speak(UNANSWERED_MS - 10_000);
  strictEqual(silences(), 0);
  await speak(20_000);
  strictEqual(silences(), 1);
});

Deno.test("once stopped it leaves no timer", async () => {
  using time = new FakeTime();
  const { liveness, pings, silences } = watched();
  liveness.start();
  liveness[Symbol.dispose]();
  strictEqual(time.timerCount, 0);
  await time.advance(10 * SILENCE_MS);
  deepStrictEqual([silences(), pings.length], [0, 1]);
});
