// How fast a session takes what its peer sends: in turns, and control at a rate.

import { ok, strictEqual } from "node:assert/strict";
import { MAX_SERVICES_PER_LINK } from "../../src/model/service.ts";
import { ReceivePace } from "../../src/mux/receive_pace.ts";

/** Keeps the processor for so long. */
function workFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

Deno.test("messages that take little time are taken one after the other", () => {
  const pace = new ReceivePace();
  pace.begin();
  strictEqual(pace.pause(), undefined);
});

Deno.test("links whose messages take long have one turn of the event loop each", async () => {
  const turns: string[] = [];
  const takers = ["first", "second"].map(async (name) => {
    const pace = new ReceivePace();
    for (let count = 0; count < 2; count += 1) {
      pace.begin();
      workFor(5);
      const turn = pace.pause();
      ok(turn, "it is to wait");
      await turn;
      turns.push(name);
    }
  });
  let others = 0;
  const timer = setInterval(() => others += 1, 0);
  await Promise.all(takers);
  clearInterval(timer);
  strictEqual(turns.join(" "), "first second first second");
  ok(others > 0, "a timer has had its turn between");
});

Deno.test("control messages beyond a burst are taken at a rate", async () => {
  const pace = new ReceivePace();
  const take = () => {
    pace.begin();
    pace.countControl();
    return pace.pause();
  };
  let taken = 0;
  while (taken < 100_000) {
    const wait = take();
    // A turn, which is no wait, may come in between.
    if (wait !== undefined && await isLong(wait)) break;
    taken += 1;
  }
  ok(taken >= 2 * MAX_SERVICES_PER_LINK, `${taken} at once`);
  ok(taken < 2 * MAX_SERVICES_PER_LINK + 500, `${taken} at once`);
});

Deno.test("who has sent far too much and left keeps nothing waiting", async () => {
  const pace = new ReceivePace();
  pace.begin();
  for (let count = 0; count < 200_000; count += 1) pace.countControl();
  // A thousand seconds.
  const wait = pace.pause();
  pace[Symbol.dispose]();
  await wait;
  pace.begin();
  pace.countControl();
  await pace.pause();
});

/** Whether a promise outlasts a turn of the event loop. */
async function isLong(promise: Promise<void>): Promise<boolean> {
  let over = false;
  promise.then(() => over = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  const long = !over;
  await promise;
  return long;
}
