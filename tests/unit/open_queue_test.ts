// Opens that wait: services take turns, order within a service is kept, and visitors that leave are removed.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { OpenQueue } from "../../src/mux/native/open_queue.ts";
import { Share } from "../../src/share.ts";

/** A queue before so many places, shares of two for each name, and what was opened. */
function queue({ places }: { places: number }) {
  const opened: string[] = [];
  const all = Share.ofAll(places);
  const shares = new Map<string, Share>();
  const share = (name: string) => {
    const known = shares.get(name) ?? all.within(name, { max: 2, reserve: 0 });
    shares.set(name, known);
    return known;
  };
  const time = { now: 0 };
  const waiting = new OpenQueue<string>((item) => opened.push(item), { now: () => time.now });
  const add = (...items: string[]) => items.map((item) => waiting.add(item, share(item.charAt(0))));
  const answer = (name: string) => {
    share(name).give();
    waiting.serve();
  };
  return { waiting, opened, share, add, answer, time };
}

Deno.test("an item is opened at once while its share has a place, and waits behind its own otherwise", () => {
  const { waiting, opened, add, answer, share } = queue({ places: 10 });
  deepStrictEqual(add("a1", "a2", "a3", "a4"), [false, false, true, true]);
  deepStrictEqual(add("b1"), [false]);
  deepStrictEqual(opened, ["a1", "a2", "b1"]);
  strictEqual(waiting.size, 2);
  answer("b");
  strictEqual(opened.length, 3);
  answer("a");
  deepStrictEqual(add("a5"), [true]);
  answer("a");
  answer("a");
  deepStrictEqual(opened, ["a1", "a2", "b1", "a3", "a4", "a5"]);
  strictEqual(waiting.isAwaited(share("a")), false);
});

Deno.test("services take turns for the places that come free, however many of one wait", () => {
  const { opened, add, answer } = queue({ places: 2 });
  add("x1", "x2");
  add(...Array.from({ length: 50 }, (_, index) => `a${index}`), "b0", "b1", "c0");
  opened.length = 0;
  for (const name of ["x", "x", "a", "b", "c", "a", "b"]) answer(name);
  deepStrictEqual(opened, ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]);
});

Deno.test("one that may have no more does not keep the others from their turns", () => {
  const { opened, add, answer } = queue({ places: 5 });
  add("a1", "a2", "x1", "x2", "b1");
  add("a3", "b2", "c1");
  opened.length = 0;
  answer("x");
  answer("x");
  deepStrictEqual(opened, ["b2", "c1"]);
});

Deno.test("who leaves the queue is forgotten, once", () => {
  const { waiting, opened, add, answer, share } = queue({ places: 10 });
  add("a1", "a2", "a3", "a4");
  strictEqual(waiting.delete("a3", share("a")), true);
  strictEqual(waiting.delete("a3", share("a")), false);
  strictEqual(waiting.delete("a1", share("a")), false);
  strictEqual(waiting.delete("b1", share("b")), false);
  strictEqual(waiting.size, 1);
  answer("a");
  deepStrictEqual(opened.at(-1), "a4");
});

Deno.test("it is known who has waited for how long", () => {
  const { waiting, add, time } = queue({ places: 1 });
  add("x1", "a1");
  time.now = 5;
  add("b1", "a2");
  time.now = 14;
  deepStrictEqual(waiting.olderThan(10), ["a1"]);
  deepStrictEqual(waiting.olderThan(9), ["a1", "a2", "b1"]);
  deepStrictEqual(waiting.all(), ["a1", "a2", "b1"]);
  // While there was no link, nobody could be served.
  waiting.restart();
  time.now = 23;
  deepStrictEqual(waiting.olderThan(10), []);
  time.now = 24;
  deepStrictEqual(waiting.olderThan(10), ["a1", "a2", "b1"]);
  waiting.clear();
  strictEqual(waiting.size, 0);
  deepStrictEqual(waiting.all(), []);
});
