// What the check of the generated code calls stale.

import assert from "node:assert/strict";
import { staleFiles } from "../../scripts/proto.ts";

Deno.test("generated code is stale where a file is missing, differs or is not generated", () => {
  const wanted = new Map([["a.ts", "1"], ["b.ts", "2"], ["c/d.ts", "3"]]);
  assert.deepEqual(staleFiles(wanted, new Map(wanted)), []);
  assert.deepEqual(staleFiles(wanted, new Map([["a.ts", "1"], ["b.ts", "x"], ["z.ts", ""]])), [
    "b.ts (differs)",
    "c/d.ts (missing)",
    "z.ts (not generated)",
  ]);
});
