// A set without an order: what is in it, what is not, and what it keeps alive.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { SwapSet } from "../../src/swap_set.ts";

interface Member {
  place: number;
  name: number;
}

Deno.test("a swap set holds what was added and not removed, whatever the order", () => {
  const steps = fc.array(fc.record({ adds: fc.boolean(), which: fc.nat(20) }), { maxLength: 200 });
  fc.assert(fc.property(steps, (steps) => {
    const set = new SwapSet<Member>();
    const wanted = new Set<Member>();
    const members = Array.from({ length: 21 }, (_, name) => ({ place: -1, name }));
    for (const { adds, which } of steps) {
      const member = members[which];
      if (member === undefined) throw new TypeError("there are 21");
      strictEqual(set.has(member), wanted.has(member));
      if (adds && !wanted.has(member)) {
        set.add(member);
        wanted.add(member);
      } else if (!adds) {
        strictEqual(set.delete(member), wanted.delete(member));
      }
      strictEqual(set.size, wanted.size);
    }
    const names = (all: Iterable<Member>) => [...all].map(({ name }) => name).sort();
    deepStrictEqual(names(set.all()), names(wanted));
  }));
});
