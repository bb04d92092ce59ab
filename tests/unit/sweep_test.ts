// Looking at everything at once: as long as there is something, and no longer.

import { ok, strictEqual } from "node:assert/strict";
import { sweep, SWEEP_MS, unsweep } from "../../src/net/sweep.ts";
import { until } from "../support/world.ts";

Deno.test("what is swept is looked at until it is not any more, even from within a look", async () => {
  const looks = { once: 0, always: 0 };
  const once = {
    place: -1,
    look() {
      looks.once += 1;
      unsweep(once);
    },
  };
  const before = performance.now();
  const times: number[] = [];
  const always = {
    place: -1,
    look(now: number) {
      looks.always += 1;
      times.push(now);
    },
  };
  sweep(once);
  sweep(always);
  await until(() => looks.always >= 2, "it was looked at twice", { timeoutMs: 10 * SWEEP_MS });
  unsweep(always);
  unsweep(always);
  // The sanitizers fail this test when the timer goes on.
  strictEqual(looks.once, 1);
  ok(times.every((time) => time >= before + SWEEP_MS / 2), `${times} after ${before}`);
});
