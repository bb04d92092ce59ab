// What a first start would fetch, and would print besides the program's own messages: checked in the configuration,
// without a network. tests/programs/first_minute_test.ts does a real first start.

import { deepStrictEqual, match } from "node:assert/strict";
import config from "../../deno.json" with { type: "json" };
import tools from "../../proto/tools.json" with { type: "json" };

interface LockedPackage {
  /** It wants to run a script when it is installed. */
  scripts?: boolean;
  /** It is for one kind of machine only: a program of many megabytes. */
  os?: string[];
  cpu?: string[];
}

async function readLock(file: string): Promise<[id: string, LockedPackage][]> {
  const text = await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
  return Object.entries(JSON.parse(text).npm);
}

for (
  const [file, { allowScripts }] of [["deno.lock", config], ["proto/tools.lock", tools]] as const
) {
  Deno.test(`${file}: each package that wants to run a script is known, and does not`, async () => {
    const wanting = (await readLock(file)).filter(([, { scripts }]) => scripts)
      .map(([id]) => `npm:${id.replace(/(.)@.*$/, "$1")}`);
    deepStrictEqual(wanting, allowScripts.deny);
  });
}

Deno.test("a task fetches no program for one kind of machine before it starts", async () => {
  const native = (await readLock("deno.lock")).filter(([, { os, cpu }]) => os ?? cpu);
  deepStrictEqual(native.map(([id]) => id), []);
});

Deno.test("no task lets the runtime remark on its permissions", () => {
  for (const { command } of Object.values(config.tasks)) {
    for (const part of command.split(" && ").filter((each) => / -P\b/.test(each))) {
      match(part, /^deno (run|test) (.* )?--quiet( |$)/);
    }
  }
});
