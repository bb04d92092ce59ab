// Answers that are made once for many.

import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import { SharedAnswer } from "../../src/api/shared_answer.ts";

Deno.test("whoever asks while one is being made gets the next, and all of them the same", async () => {
  let made = 0;
  const release: (() => void)[] = [];
  const answer = new SharedAnswer(async () => {
    const number = made += 1;
    await new Promise<void>((resolve) => release.push(resolve));
    return number;
  });
  const first = answer.get();
  while (release.length === 0) await Promise.resolve();
  const later = [answer.get(), answer.get()];
  release.shift()?.();
  strictEqual(await first, 1);
  while (release.length === 0) await new Promise((resolve) => setTimeout(resolve));
  release.shift()?.();
  deepStrictEqual(await Promise.all(later), [2, 2]);
});

Deno.test("one that fails is no answer to the next", async () => {
  let fails = true;
  const answer = new SharedAnswer(() => {
    if (fails) throw new TypeError("it fails");
    return "made";
  });
  await rejects(answer.get(), /it fails/);
  fails = false;
  strictEqual(await answer.get(), "made");
});

Deno.test("however often it is asked for, most of the time is left to others", async () => {
  let busyMs = 0;
  const answer = new SharedAnswer(() => {
    const start = performance.now();
    while (performance.now() - start < 20);
    busyMs += performance.now() - start;
  });
  const start = performance.now();
  for (let count = 0; count < 5; count += 1) await answer.get();
  const lasted = performance.now() - start;
  ok(busyMs < lasted / 2, `${busyMs} of ${lasted} ms`);
});
