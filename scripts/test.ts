// `deno task test [test files or flags of deno test]`: runs the tests that need no other programs. Unless files are
// named, it runs all of them. With `--suite NAME` it runs those of another suite.

import { ROOT } from "./build_run.ts";
import { namesPaths, runGroups } from "./run_groups.ts";
import { SUITES } from "./suites.ts";

const [name, flags] = Deno.args[0] === "--suite"
  ? [Deno.args[1] ?? "", Deno.args.slice(2)]
  : ["fast", Deno.args];
const suite = SUITES[name];
if (suite === undefined) {
  throw new Error(`--suite ${name}: want one of ${Object.keys(SUITES).join(", ")}`);
}
if (suite.first !== undefined) await run(suite.first);
Deno.exit(await (namesPaths(flags) ? runGroups([flags]) : runGroups(suite.groups, { flags })));

async function run(script: string): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-P=scripts", "--no-check", script],
    cwd: ROOT,
    stdin: "null",
  }).spawn().status;
  if (!success) throw new Error(`${script} has failed`);
}
