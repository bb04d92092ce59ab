// All listeners are kept accepting by one timer: each once a second, however many there are, never all at one time.

import { ok, strictEqual } from "node:assert/strict";
import { keepAccepting } from "../../src/platform/stalled_accept.ts";
import { FakeTime } from "../support/fake_time.ts";

for (const count of [1, 100, 250, 10_000]) {
  Deno.test(`each of ${count} listeners is made to go on every second, at most a hundred at once`, async () => {
    using time = new FakeTime();
    const calls = Array<number>(count).fill(0);
    const times = new Map<number, number>();
    const kept = calls.map((_, index) =>
      keepAccepting(() => ({
        listen() {
          calls[index] = (calls[index] ?? 0) + 1;
          times.set(performance.now(), (times.get(performance.now()) ?? 0) + 1);
          return 0;
        },
      }))
    );
    strictEqual(time.timerCount, 1);
    await time.advance(2100);
    for (const called of calls) ok(called >= 1 && called <= 2, `${called} times`);
    for (const atOnce of times.values()) ok(atOnce <= 100, `${atOnce} at once`);
    for (const each of kept) each[Symbol.dispose]();
    strictEqual(time.timerCount, 0);
  });
}
