// Shares: nobody has everything, a newcomer always finds something, and what is given back is free again.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { Share } from "../../src/share.ts";

/** Takes until no more may be taken. */
function takeAll(share: Share): number {
  let count = 0;
  while (share.take()) count += 1;
  return count;
}

Deno.test("one takes its part of all, the next its part of the rest", () => {
  const all = Share.ofAll(20_000);
  const [one, two, three] = ["1", "2", "3"].map((key) => all.within(key, { reserve: 1 / 4 }));
  strictEqual(one && takeAll(one), 15_000);
  strictEqual(two && takeAll(two), 3750);
  ok(three?.take());
});

Deno.test("whoever has more than its part of what others leave gets no more, and those others do", () => {
  const all = Share.ofAll(100);
  const hog = all.within("hog", { reserve: 1 / 4 });
  takeAll(hog);
  const other = all.within("other", { reserve: 1 / 4 });
  for (let count = 0; count < 10; count += 1) ok(other.take());
  hog.give();
  strictEqual(hog.take(), false);
  ok(other.take());
});

Deno.test("of very little nothing is kept back", () => {
  const one = Share.ofAll(3).within("one", { reserve: 1 / 4 });
  strictEqual(takeAll(one), 3);
});

Deno.test("a part is kept for those who have few, however many have taken theirs before", () => {
  const all = Share.ofAll(1000);
  const within = (key: string) => all.within(key, { reserve: 1 / 8, few: 16 });
  const taken = Array.from({ length: 10 }, (_, index) => takeAll(within(`${index}`)));
  // Seven eighths of seven eighths; the fourth finds no more than few, and so does every later one.
  deepStrictEqual(taken, [766, 96, 16, 16, 16, 16, 16, 16, 16, 16]);
  ok(within("newcomer").take());
});

Deno.test("of very little nothing is kept for those who have few, and they never get more than there is", () => {
  const within = (count: number) => Share.ofAll(count).within("one", { reserve: 1 / 2, few: 16 });
  deepStrictEqual([0, 1, 3, 16, 17].map((count) => takeAll(within(count))), [0, 1, 3, 16, 16]);
});

Deno.test("those who have most get no more until all have equal parts", () => {
  const all = Share.ofAll(1000);
  const shares = Array.from({ length: 6 }, (_, index) => {
    return all.within(`${index}`, { reserve: 1 / 2, few: 2 });
  });
  for (const share of shares) takeAll(share);
  // Each gives one back in turn, and all want more, as when dials come to nothing.
  for (let round = 0; round < 2000; round += 1) {
    const share = shares[round % 6];
    if (share && share.taken > 0) share.give();
    for (let asked = 0; asked < 6; asked += 1) shares[(round + asked) % 6]?.take();
  }
  const counts = shares.map(({ taken }) => taken);
  ok(Math.max(...counts) - Math.min(...counts) < 10, `${counts}`);
  ok(1000 - all.taken > 100, `${all.taken}`);
});

Deno.test("a share within a share keeps to both, and to its own bound", () => {
  const peer = Share.ofAll(20_000).within("peer", { reserve: 1 / 4 });
  const bounded = peer.within("bounded", { max: 10_000, reserve: 1 / 4 });
  strictEqual(takeAll(bounded), 10_000);
  const free = peer.within("free", { reserve: 1 / 4 });
  strictEqual(takeAll(free), 3750);
  strictEqual(peer.taken, 13_750);
});

Deno.test("a share is the same for its key until everybody has let it go", () => {
  const all = Share.ofAll(10);
  const one = all.within("key", { reserve: 0 });
  strictEqual(all.within("key", { reserve: 0 }), one);
  one.release();
  strictEqual(all.within("key", { reserve: 0 }), one);
  one.release();
  one.release();
  ok(all.within("key", { reserve: 0 }) !== one);
});

Deno.test("when there is less of it nothing more is taken until enough was given back", () => {
  const all = Share.ofAll(100);
  const one = all.within("one", { reserve: 0 });
  for (let count = 0; count < 50; count += 1) one.take();
  all.resize(49);
  strictEqual(one.take(), false);
  one.give();
  strictEqual(one.take(), false);
  one.give();
  strictEqual(one.take(), true);
});

Deno.test("whatever is taken and given back, no bound is broken and nobody is locked out by few others", () => {
  const step = fc.record({ peer: fc.nat(4), service: fc.nat(3), give: fc.boolean() });
  fc.assert(fc.property(fc.array(step, { maxLength: 2000 }), (steps) => {
    const all = Share.ofAll(1000);
    const shares = Array.from({ length: 5 }, (_, peer) => {
      const share = all.within(`${peer}`, { reserve: 1 / 2 });
      return Array.from(
        { length: 4 },
        (_, service) => share.within(`${service}`, { reserve: 1 / 2 }),
      );
    });
    for (const { peer, service, give } of steps) {
      const share = shares[peer]?.[service];
      if (share === undefined) continue;
      if (!give) share.take();
      else if (share.taken > 0) share.give();
    }
    const sum = shares.flat().reduce((sum, { taken }) => sum + taken, 0);
    strictEqual(all.taken, sum);
    ok(sum <= 1000);
    const newcomer = all.within("new", { reserve: 1 / 2 });
    ok(newcomer.within("service", { reserve: 1 / 2 }).take());
  }));
});
