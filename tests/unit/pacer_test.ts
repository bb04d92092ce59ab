// The pace of attempts: none waits while there are few; beyond, so many a second and at once, in the order of asking.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { Pacer, type Turn } from "../../src/tunnel/pacer.ts";
import { FakeTime } from "../support/fake_time.ts";

const never = new AbortController().signal;

/** Asks for turns; those that have come, by number. */
function ask(pacer: Pacer, count: number): { turns: (Turn | undefined)[]; begun: number[] } {
  const asked = { turns: [] as (Turn | undefined)[], begun: [] as number[] };
  for (let number = 0; number < count; number += 1) {
    pacer.turn(never).then((turn) => {
      asked.turns.push(turn);
      asked.begun.push(number);
    });
  }
  return asked;
}

Deno.test("pacer: a few begin at once, and are told that they need not wait", async () => {
  using time = new FakeTime();
  const { turns } = ask(new Pacer({ atOnce: 10, perSecond: 10, burst: 3 }), 3);
  await time.advance(0);
  deepStrictEqual(turns.map((turn) => turn?.waited), [false, false, false]);
  strictEqual(time.timerCount, 0);
});

Deno.test("pacer: beyond the burst so many begin in a second, in their order", async () => {
  using time = new FakeTime();
  const { turns, begun } = ask(new Pacer({ atOnce: 1000, perSecond: 10, burst: 3 }), 100);
  await time.advance(0);
  strictEqual(begun.length, 3);
  await time.advance(1000);
  strictEqual(begun.length, 13);
  await time.advance(5000);
  deepStrictEqual(begun, Array.from({ length: 63 }, (_, number) => number));
  strictEqual(turns.at(-1)?.waited, true);
  await time.advance(10_000);
  strictEqual(begun.length, 100);
  strictEqual(time.timerCount, 0);
});

Deno.test("pacer: so many are under way at once; an end lets the next begin, twice counts once", async () => {
  using time = new FakeTime();
  const { turns } = ask(new Pacer({ atOnce: 2, perSecond: 1000, burst: 1000 }), 5);
  await time.advance(10_000);
  strictEqual(turns.length, 2);
  turns[0]?.[Symbol.dispose]();
  turns[0]?.[Symbol.dispose]();
  await time.advance(10_000);
  strictEqual(turns.length, 3);
});

Deno.test("pacer: whoever leaves takes no turn, and no timer is left for nobody", async () => {
  using time = new FakeTime();
  const pacer = new Pacer({ atOnce: 1, perSecond: 1, burst: 1 });
  const leaving = new AbortController();
  const first = await pacer.turn(never);
  const left = Array.from({ length: 100 }, () => pacer.turn(leaving.signal));
  const last = pacer.turn(never);
  strictEqual(pacer.waiting, 101);
  leaving.abort();
  strictEqual(pacer.waiting, 1);
  deepStrictEqual(await Promise.all(left), Array(100).fill(undefined));
  first?.[Symbol.dispose]();
  await time.advance(1000);
  strictEqual((await last)?.waited, true);
  strictEqual(time.timerCount, 0);
  strictEqual(await pacer.turn(AbortSignal.abort()), undefined);
});
