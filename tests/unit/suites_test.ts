// Every test file belongs to one suite that `.ci/run` runs.

import { deepStrictEqual, ok } from "node:assert/strict";
import { SUITES } from "../../scripts/suites.ts";
import { ROOT } from "../support/processes.ts";

/** What tasks of their own run. */
const TASKS = [["tests/programs"], ["tests/endurance"]];

Deno.test("each test file belongs to exactly one suite", async () => {
  const groups = [...TASKS, ...Object.values(SUITES).flatMap((suite) => suite.groups)];
  const strays: Record<string, number> = {};
  for await (const file of testFiles("tests")) {
    const count = groups.filter((group) => covers(group, file)).length;
    if (count !== 1) strays[file] = count;
  }
  deepStrictEqual(strays, {});
});

Deno.test("each suite is a task, and .ci/run runs it", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));
  const ci = await Deno.readTextFile(`${ROOT}/.ci/run`);
  for (const name of [...Object.keys(SUITES), "programs", "endurance"]) {
    // README's own command is the fast one.
    const task = name === "fast" ? "test" : `test:${name}`;
    ok(task in tasks, task);
    ok(ci.includes(name === "fast" ? '"${test_command[@]}"' : `task ${task}`), `.ci/run: ${task}`);
  }
});

function covers(group: readonly string[], file: string): boolean {
  const under = (path: string) => file === path || file.startsWith(`${path}/`);
  const ignored = group.filter((each) => each.startsWith("--ignore="))
    .flatMap((each) => each.slice("--ignore=".length).split(","));
  return group.some(under) && !ignored.some(under);
}

async function* testFiles(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(`${ROOT}/${folder}`)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* testFiles(path);
    else if (name.endsWith("_test.ts")) yield path;
  }
}
