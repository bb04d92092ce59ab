// Long work in slices.

import { ok, rejects, strictEqual } from "node:assert/strict";
import { inSlices } from "../../src/slices.ts";

/** Takes two milliseconds a step. */
function* slow(steps: number, onStep: () => void = () => {}): Generator<void, string, void> {
  for (let step = 0; step < steps; step += 1) {
    const began = performance.now();
    while (performance.now() - began < 2);
    onStep();
    yield;
  }
  return "done";
}

Deno.test("slices: the first is done at once, and others take turns with other work", async () => {
  let [steps, turns] = [0, 0];
  const timer = setInterval(() => turns += 1);
  try {
    const work = inSlices(slow(30, () => steps += 1));
    ok(steps > 0 && steps < 30, `${steps} steps at once`);
    strictEqual(await work, "done");
  } finally {
    clearInterval(timer);
  }
  strictEqual(steps, 30);
  ok(turns >= 5, `${turns} turns`);
});

Deno.test("slices: what a step throws is thrown, and whoever ends the steps ends the work", async () => {
  const broken = () => {
    throw new RangeError("broken");
  };
  await rejects(inSlices(slow(30, broken)), /broken/);
  const steps = slow(30);
  const work = inSlices(steps);
  steps.return("ended");
  strictEqual(await work, undefined);
});
