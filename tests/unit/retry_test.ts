// When to try again: the waits double up to a limit, spread by jitter, and start over after a link that lived.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { Backoff } from "../../src/retry.ts";

const OPTIONS = { initialMs: 200, maxMs: 10_000, settledMs: 10_000 };

/** The largest value that `random` can give. */
const ALMOST_ONE = 1 - Number.EPSILON;

function waits(count: number, random: () => number): number[] {
  const backoff = new Backoff({ ...OPTIONS, random });
  return Array.from({ length: count }, () => Math.round(backoff.next(0)));
}

Deno.test("waits double up to the limit", () => {
  deepStrictEqual(waits(8, () => ALMOST_ONE), [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
});

Deno.test("jitter takes at most half of a wait", () => {
  deepStrictEqual(waits(4, () => 0), [100, 200, 400, 800]);
});

Deno.test("a link that lived long enough starts the waits over", () => {
  const backoff = new Backoff({ ...OPTIONS, random: () => ALMOST_ONE });
  for (let tries = 0; tries < 5; tries += 1) backoff.next(0);
  strictEqual(Math.round(backoff.next(OPTIONS.settledMs)), 200);
  strictEqual(Math.round(backoff.next(0)), 400);
});

Deno.test("a link that came up and fell at once does not", () => {
  const backoff = new Backoff({ ...OPTIONS, random: () => ALMOST_ONE });
  backoff.next(0);
  strictEqual(Math.round(backoff.next(OPTIONS.settledMs - 1)), 400);
});

Deno.test("no series of links makes a wait shorter than half the first or longer than the limit", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 30_000 }), { maxLength: 200 }),
      fc.double({ min: 0, max: ALMOST_ONE, noNaN: true }),
      (lives, random) => {
        const backoff = new Backoff({ ...OPTIONS, random: () => random });
        for (const lived of lives) {
          const wait = backoff.next(lived);
          if (!(wait >= OPTIONS.initialMs / 2 && wait <= OPTIONS.maxMs)) return false;
        }
        return true;
      },
    ),
  );
});

Deno.test("ten thousand failures in a row still wait the limit", () => {
  strictEqual(waits(10_000, () => ALMOST_ONE).at(-1), 10_000);
});
