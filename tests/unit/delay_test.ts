// Waiting: it ends when its time has come or its signal says so, and leaves nothing behind. The sanitizers
// fail a test that leaves a timer.

import { strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";

/** Longer than any test: only a signal ends it. */
const FOR_EVER_MS = 600_000;

Deno.test("a delay resolves after its time and not before", async () => {
  const started = performance.now();
  await delay(20);
  // Timers may fire a fraction of a millisecond early.
  strictEqual(performance.now() - started >= 19, true);
});

Deno.test("an abort ends a delay at once, without a rejection", async () => {
  const controller = new AbortController();
  const waiting = delay(FOR_EVER_MS, { signal: controller.signal });
  controller.abort(new Error("a reason that must not be thrown"));
  await waiting;
});

Deno.test("a signal that was aborted before ends it at once", async () => {
  await delay(FOR_EVER_MS, { signal: AbortSignal.abort() });
});

Deno.test("no listener stays on the signal, however the delay ended", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners += 1;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners -= 1;
    remove(...args);
  };
  await delay(1, { signal });
  strictEqual(listeners, 0);
  const waiting = delay(FOR_EVER_MS, { signal });
  strictEqual(listeners, 1);
  controller.abort();
  await waiting;
  strictEqual(listeners, 0);
});
