// Work by keys: one worker a key, again when asked, later after a failure, nothing after the end.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { WorkQueue } from "../../src/integrations/work_queue.ts";
import { until } from "../support/world.ts";

const BACKOFF = { initialMs: 5, maxMs: 20, settledMs: 1000, random: () => 0 };

Deno.test("a key is worked on once at a time, and once more for all that asked meanwhile", async () => {
  const gate = Promise.withResolvers<void>();
  const done: string[] = [];
  await using queue = new WorkQueue({
    concurrency: 8,
    backoff: BACKOFF,
    async work(key) {
      done.push(key);
      await gate.promise;
      return undefined;
    },
    onFailure: () => ok(false),
  });
  queue.add("a");
  await until(() => done.length === 1, "it is under way");
  for (let count = 0; count < 10; count += 1) queue.add("a");
  deepStrictEqual(done, ["a"]);
  gate.resolve();
  await queue.idle();
  deepStrictEqual(done, ["a", "a"]);
});

Deno.test("no more keys than allowed are worked on at once, and all in the end", async () => {
  let running = 0;
  let most = 0;
  const done = new Set<string>();
  await using queue = new WorkQueue({
    concurrency: 3,
    backoff: BACKOFF,
    async work(key) {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running -= 1;
      done.add(key);
      return undefined;
    },
    onFailure: () => ok(false),
  });
  for (let key = 0; key < 50; key += 1) queue.add(String(key));
  await until(() => done.size === 50, "all are done");
  await queue.idle();
  strictEqual(most, 3);
});

Deno.test("what fails is tried again, later each time, until it succeeds", async () => {
  const waits: number[] = [];
  let tries = 0;
  await using queue = new WorkQueue({
    concurrency: 1,
    backoff: BACKOFF,
    work() {
      tries += 1;
      return tries < 5 ? Promise.reject(new Error("no")) : Promise.resolve(undefined);
    },
    onFailure: (key, error, retryMs) => {
      deepStrictEqual([key, (error as Error).message], ["a", "no"]);
      waits.push(retryMs);
    },
  });
  queue.add("a");
  await until(() => tries === 5, "it succeeds");
  await queue.idle();
  // Half of 5, 10, 20, 20.
  deepStrictEqual(waits, [3, 5, 10, 10]);
});

Deno.test("the end gives up what is under way, and nothing is begun after it", async () => {
  let aborted = false;
  let begun = 0;
  const queue = new WorkQueue({
    concurrency: 1,
    backoff: BACKOFF,
    work: (_key, signal) => {
      begun += 1;
      return new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => {
          aborted = true;
          reject(new Error("given up"));
        })
      );
    },
    onFailure: () => ok(false, "nobody is told"),
  });
  queue.add("a");
  queue.add("b");
  await until(() => begun === 1, "it is under way");
  await queue[Symbol.asyncDispose]();
  queue.add("c");
  await queue.idle();
  deepStrictEqual([aborted, begun], [true, 1]);
});
