// Ids of services on the wire of one session.

import { deepStrictEqual } from "node:assert/strict";
import { WireIds } from "../../src/mux/wire_ids.ts";

Deno.test("an id is the same on the wire until it is renamed, and again once it is forgotten", () => {
  const ids = new WireIds();
  const both = () => [ids.wireOf("a"), ids.ownOf("a"), ids.ownOf("b"), ids.isRenamed("a")];
  deepStrictEqual(both(), ["a", "a", "b", false]);
  ids.rename("a", "b");
  // The peer that says "a" means something that it was never given over this link.
  deepStrictEqual(both(), ["b", undefined, "a", true]);
  ids.rename("a", "c");
  deepStrictEqual(both(), ["c", undefined, "b", true]);
  deepStrictEqual(ids.ownOf("c"), "a");
  ids.delete("a");
  deepStrictEqual(both(), ["a", "a", "b", false]);
  deepStrictEqual(ids.ownOf("c"), "c");
});
