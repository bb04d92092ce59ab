// What a connector says about its own certificates while it runs, with a clock that the test moves and sets.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { type OwnCertificate, ValidityWatch } from "../../src/certs/own/validity.ts";
import { FakeTime } from "../support/fake_time.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START = Date.parse("2030-06-01T00:00:00Z");

/** A certificate that has been valid for a year and is for so many days. */
function lasting(label: string, days: number): OwnCertificate {
  return {
    label,
    notBefore: new Date(START - 365 * DAY_MS),
    notAfter: new Date(START + days * DAY_MS),
  };
}

/** A watch over some certificates, and what it said. */
function watch(path: OwnCertificate[]) {
  const said: string[] = [];
  const clock = { offset: 0 };
  const started = ValidityWatch.start({
    path,
    problemAt: (now) =>
      path.find(({ notBefore, notAfter }) => now > notAfter || now < notBefore)?.label,
    onSoon: (warning) => said.push(warning),
    onProblem: (problem) => said.push(`problem: ${problem ?? "gone"}`),
    now: () => new Date(START + performance.now() + clock.offset),
  });
  return {
    said,
    clock,
    started,
    [Symbol.dispose]: () => started[Symbol.dispose](),
  };
}

Deno.test("a certificate is told of once a day from 30 days ahead, until it has ended", async () => {
  using time = new FakeTime();
  using watched = watch([lasting("leaf", 40), lasting("root", 400)]);
  await time.advance(10 * DAY_MS);
  deepStrictEqual(watched.said, []);
  await time.advance(HOUR_MS);
  const end = "at 2030-07-11T00:00:00.000Z";
  deepStrictEqual(watched.said, [`Leaf expires in 29 days, ${end}`]);
  await time.advance(DAY_MS - HOUR_MS);
  strictEqual(watched.said.length, 1);
  await time.advance(HOUR_MS);
  deepStrictEqual(watched.said.slice(1), [`Leaf expires in 28 days, ${end}`]);
  await time.advance(29 * DAY_MS);
  deepStrictEqual(watched.said.slice(-2), [
    `Leaf expires in less than a day, ${end}`,
    "problem: leaf",
  ]);
  strictEqual(watched.said.length, 31);
  await time.advance(30 * DAY_MS);
  strictEqual(watched.said.length, 31);
});

Deno.test("certificates that are exchanged every hour are told of once a day, and a problem goes with them", async () => {
  using time = new FakeTime();
  using watched = watch([lasting("leaf", 0.5)]);
  for (let hour = 1; hour <= 30; hour += 1) {
    await time.advance(HOUR_MS);
    const leaf = lasting("leaf", hour / 24 + 0.5);
    watched.started.exchange({ path: [leaf], problemAt: () => undefined });
  }
  deepStrictEqual(watched.said, [
    "Leaf expires in less than a day, at 2030-06-01T12:00:00.000Z",
    "Leaf expires in less than a day, at 2030-06-02T11:00:00.000Z",
  ]);
  watched.started.exchange({ path: [], problemAt: () => "bad" });
  watched.started.exchange({ path: [], problemAt: () => undefined });
  deepStrictEqual(watched.said.slice(2), ["problem: bad", "problem: gone"]);
  strictEqual(time.timerCount, 1);
});

Deno.test("it says when the first certificate ends, and which others do soon", () => {
  using _time = new FakeTime();
  const notes = (...path: OwnCertificate[]) => {
    using watched = watch(path);
    return watched.started.notes;
  };
  deepStrictEqual(notes(lasting("root", 400), lasting("leaf", 300)), [
    "Leaf expires in 300 days, at 2031-03-28T00:00:00.000Z",
  ]);
  deepStrictEqual(notes(lasting("root", 29), lasting("leaf", -1)), [
    "Leaf has expired, at 2030-05-31T00:00:00.000Z",
    "Root expires in 29 days, at 2030-06-30T00:00:00.000Z",
  ]);
});

Deno.test("at the start each certificate is told of once, by what is left of it", () => {
  using _time = new FakeTime();
  using watched = watch([lasting("leaf", 1.5), lasting("between", 8), lasting("root", 31)]);
  deepStrictEqual(watched.said, [
    "Leaf expires in 1 day, at 2030-06-02T12:00:00.000Z",
    "Between expires in 8 days, at 2030-06-09T00:00:00.000Z",
  ]);
});

Deno.test("a clock that is set is noticed within an hour, and when it is right again, too", async () => {
  using time = new FakeTime();
  using watched = watch([lasting("leaf", 100)]);
  watched.clock.offset = -400 * DAY_MS;
  await time.advance(HOUR_MS);
  deepStrictEqual(watched.said, ["problem: leaf"]);
  watched.clock.offset = 0;
  await time.advance(HOUR_MS);
  watched.clock.offset = 200 * DAY_MS;
  await time.advance(HOUR_MS);
  deepStrictEqual(watched.said, ["problem: leaf", "problem: gone", "problem: leaf"]);
});

Deno.test("nothing is left of a watch that has ended", () => {
  using time = new FakeTime();
  watch([lasting("leaf", 100)])[Symbol.dispose]();
  strictEqual(time.timerCount, 0);
});
