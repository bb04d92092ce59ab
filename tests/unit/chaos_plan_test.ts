// The plan of a chaos run: the same seed makes the same one, and every kind of fault and of visitor is in it.

import { deepStrictEqual, notDeepStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  type Fault,
  FAULT_KINDS,
  faults,
  FIRST_PROBE_ID,
  LINK_FAULT_KINDS,
  planGreeting,
  planVisit,
  VISIT_KINDS,
} from "../chaos/plan.ts";
import { deriveSeed, Rng } from "../chaos/random.ts";

Deno.test("chaos plan: the same seed makes the same faults, another seed others", () => {
  deepStrictEqual(firstFaults(7), firstFaults(7));
  notDeepStrictEqual(firstFaults(7), firstFaults(8));
});

Deno.test("chaos plan: every kind of fault comes once before any comes again", () => {
  const kinds = firstFaults(1).map(({ kind }) => kind);
  for (const round of [kinds.slice(0, FAULT_KINDS.length), kinds.slice(FAULT_KINDS.length)]) {
    deepStrictEqual(round.toSorted(), FAULT_KINDS.toSorted());
  }
});

Deno.test("chaos plan: with links alone, every fault is one of the path, and most are short", () => {
  const all = firstFaults(5, { longestMs: 10_000, linksOnly: true });
  deepStrictEqual(
    [...new Set(all.map(({ kind }) => kind))].toSorted(),
    LINK_FAULT_KINDS.toSorted(),
  );
  ok(all.filter(({ lastsMs }) => lastsMs <= 600).length > all.length / 2);
  ok(all.every(({ lastsMs, pauseMs }) => lastsMs <= 10_000 && pauseMs <= 600));
});

Deno.test("chaos plan: no fault lasts longer than it may, and none is without a time", () => {
  for (const { lastsMs, pauseMs, flaps } of firstFaults(3, { longestMs: 2000 })) {
    ok(lastsMs >= 50 && lastsMs <= 2000, `${lastsMs}`);
    ok(pauseMs >= 500 && pauseMs <= 2000, `${pauseMs}`);
    ok(flaps.length >= 2 && flaps.every((ms) => ms >= 1 && ms <= 1500), `${flaps}`);
  }
});

Deno.test("chaos plan: a visitor's plan depends on the seed and its number alone", () => {
  const plan = (seed: number, id: number) => planVisit(seed, { id, serverFirst: false });
  deepStrictEqual(plan(1, 5), plan(1, 5));
  notDeepStrictEqual(plan(1, 5), { ...plan(1, 6), id: 5 });
  notDeepStrictEqual(plan(1, 5), plan(2, 5));
  deepStrictEqual(planGreeting(1, 5), planGreeting(1, 5));
});

Deno.test("chaos plan: there are visitors of every kind, with nothing, little and much to send", () => {
  const visits = Array.from(
    { length: 2000 },
    (_, id) => planVisit(1, { id, serverFirst: id % 4 === 0 }),
  );
  const probe = planVisit(1, { id: FIRST_PROBE_ID, serverFirst: false });
  deepStrictEqual(
    [...new Set([...visits, probe].map(({ kind }) => kind))].sort(),
    VISIT_KINDS.toSorted(),
  );
  ok(visits.some(({ up }) => up.length === 0));
  ok(visits.some(({ up }) => up.length > 3 * 1024 * 1024));
  ok(visits.every(({ up, resetAfter }) => resetAfter >= 0 && resetAfter <= up.length));
  ok(visits.every(({ paceMs, up }) => paceMs === 0 || up.length <= 512 * 1024));
  ok(probe.up.length <= 4096 && probe.down.length <= 4096);
});

Deno.test("chaos random: numbers are in their bounds, and bounds are reached", () => {
  const rng = new Rng(4);
  const small = new Set(Array.from({ length: 200 }, () => rng.int(2, 4)));
  deepStrictEqual([...small].sort(), [2, 3, 4]);
  for (let round = 0; round < 1000; round += 1) {
    const number = rng.logInt(1, 1000);
    ok(Number.isInteger(number) && number >= 1 && number <= 1000, `${number}`);
  }
  strictEqual(rng.chance(0), false);
  strictEqual(rng.chance(1), true);
  deepStrictEqual(rng.shuffle([1, 2, 3, 4]).sort(), [1, 2, 3, 4]);
  strictEqual(new Set([deriveSeed(1), deriveSeed(1, 0), deriveSeed(1, 1), deriveSeed(2)]).size, 4);
});

function firstFaults(
  seed: number,
  options: { longestMs?: number; linksOnly?: boolean } = {},
): Fault[] {
  const generator = faults(new Rng(seed), options);
  return Array.from({ length: 2 * FAULT_KINDS.length }, () => generator.next().value);
}
