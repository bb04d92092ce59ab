// A set without an order: what is in it, what is not, and what it keeps alive.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { Roster } from "../../src/roster.ts";

interface Member {
  place: number;
  name: number;
}

Deno.test("a roster holds what was added and not removed, whatever the order", () => {
  const steps = fc.array(fc.record({ adds: fc.boolean(), which: fc.nat(20) }), { maxLength: 200 });
  fc.assert(fc.property(steps, (steps) => {
    const roster = new Roster<Member>();
    const wanted = new Set<Member>();
    const members = Array.from({ length: 21 }, (_, name) => ({ place: -1, name }));
    for (const { adds, which } of steps) {
      const member = members[which];
      if (member === undefined) throw new TypeError("there are 21");
      strictEqual(roster.has(member), wanted.has(member));
      if (adds && !wanted.has(member)) {
        roster.add(member);
        wanted.add(member);
      } else if (!adds) {
        strictEqual(roster.delete(member), wanted.delete(member));
      }
      strictEqual(roster.size, wanted.size);
    }
    const names = (all: Iterable<Member>) => [...all].map(({ name }) => name).sort();
    deepStrictEqual(names(roster.all()), names(wanted));
  }));
});
