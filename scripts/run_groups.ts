// Test files in parallel processes, because tests spend most of their time waiting. Within one process they run one after
// the other, since some count everything that their process has open.

import * as path from "node:path";
import { ROOT } from "./build_run.ts";

const DENO_TEST = ["test", "-P=tests", "--no-check", "--quiet"];

/** The paths and flags that `deno test` gets for one process. */
export type Group = readonly string[];

/** What all processes get. */
export interface GroupOptions {
  /** More flags of `deno test`. */
  flags?: readonly string[];
  env?: Record<string, string>;
}

/**
 * Runs every group, shows the first one's output as it comes and the others' once they have ended. Returns the exit code:
 * that of the first group that failed.
 */
export async function runGroups(
  [first = [], ...others]: readonly Group[],
  { flags = [], env = {} }: GroupOptions = {},
): Promise<number> {
  const start = (group: Group, output: "inherit" | "piped") =>
    new Deno.Command(Deno.execPath(), {
      args: [...DENO_TEST, ...group, ...flags],
      cwd: ROOT,
      env,
      stdin: "null",
      stdout: output,
      stderr: output,
    }).spawn();
  const quiet = others.map((group) => start(group, "piped").output());
  const codes = [(await start(first, "inherit").status).code];
  for (const pending of quiet) {
    const { code, stdout, stderr } = await pending;
    console.log(new TextDecoder().decode(stdout));
    console.error(new TextDecoder().decode(stderr));
    codes.push(code);
  }
  return codes.find((code) => code !== 0) ?? 0;
}

/** Whether one of the arguments is a path in the project. */
export function namesPaths(args: readonly string[]): boolean {
  return args.some((each) => {
    try {
      return Deno.statSync(path.join(ROOT, each)) !== undefined;
    } catch {
      return false;
    }
  });
}
