// `deno task test [test files or flags of deno test]`: runs the tests that need no other programs. Unless files are
// named, it runs all of them, in two parallel processes of about equal length, because tests spend most of their time waiting.
// Within one process they run one after the other, because some count everything that their process has open.

import * as path from "node:path";
import { ROOT } from "./build_run.ts";

const DENO_TEST = ["test", "-P=tests", "--no-check", "--quiet"];
const GROUPS = [
  ["tests/e2e", "--ignore=tests/e2e/slow", "tests/fuzz", "tests/contract"],
  ["tests/unit", "tests/property", "tests/integration", "tests/platform"],
];

const codes = Deno.args.some(isPath) ? [await run(Deno.args)] : await runGroups(Deno.args);
Deno.exit(codes.find((code) => code !== 0) ?? 0);

/** Runs every group, shows one's output as it comes and the others' once it has ended. */
async function runGroups(flags: string[]): Promise<number[]> {
  const [shown = [], ...others] = GROUPS.map((group) => [...group, ...flags]);
  const quiet = others.map((group) => start(group, "piped").output());
  const codes = [await run(shown)];
  for (const pending of quiet) {
    const { code, stdout, stderr } = await pending;
    console.log(new TextDecoder().decode(stdout));
    console.error(new TextDecoder().decode(stderr));
    codes.push(code);
  }
  return codes;
}

function isPath(text: string): boolean {
  try {
    return Deno.statSync(path.join(ROOT, text)) !== undefined;
  } catch {
    return false;
  }
}

async function run(args: string[]): Promise<number> {
  return (await start(args, "inherit").status).code;
}

function start(args: string[], output: "inherit" | "piped"): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [...DENO_TEST, ...args],
    cwd: ROOT,
    stdin: "null",
    stdout: output,
    stderr: output,
  }).spawn();
}
