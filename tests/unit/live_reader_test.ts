// What waits for a reader of events: in order, bounded, and made up for by everything when it was too much.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { LiveReader } from "../../src/api/live_reader.ts";

const EVERYTHING = "everything";

function newReader({ admitted = () => true }: { admitted?: () => boolean } = {}) {
  const reader = new LiveReader({
    serviceId: undefined,
    admitted,
    everything: () => new TextEncoder().encode(EVERYTHING),
  });
  return {
    reader,
    offer: (text: string) => reader.offer(new TextEncoder().encode(text)),
    next: async () => {
      const bytes = await reader.next();
      return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
    },
  };
}

Deno.test("a reader gets everything first, and then what is offered from then on, in order", async () => {
  const { offer, next } = newReader();
  offer("before");
  strictEqual(await next(), EVERYTHING);
  const waiting = next();
  offer("one");
  offer("two");
  deepStrictEqual([await waiting, await next()], ["one", "two"]);
});

Deno.test("a reader that takes nothing for long loses what waits, and gets everything instead", async () => {
  const { offer, next } = newReader();
  strictEqual(await next(), EVERYTHING);
  for (let count = 0; count < 100; count += 1) offer("x".repeat(10_000));
  strictEqual(await next(), EVERYTHING);
  offer("after");
  strictEqual(await next(), "after");
});

Deno.test("nothing follows the end, also for who waits", async () => {
  const { reader, offer, next } = newReader();
  await next();
  const waiting = next();
  reader.close();
  strictEqual(await waiting, undefined);
  offer("more");
  reader.close();
  strictEqual(await next(), undefined);
});

Deno.test("who is not admitted any more is told so, and no more", async () => {
  let admitted = true;
  const { offer, next } = newReader({ admitted: () => admitted });
  await next();
  offer("secret");
  admitted = false;
  match(await next() ?? "", /^event: end\ndata: ".* not valid any more"\n\n$/);
  strictEqual(await next(), undefined);
});
