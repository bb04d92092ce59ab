// The program as one JavaScript file: everything that main.ts needs, packages included, and where it comes from.
// Both kinds of executables are made of it, so that both run the same bytes.

import * as path from "node:path";
import { decode, ROOT, run } from "./build_run.ts";
import type { Build } from "../src/cli/version.ts";

/** Bundles the program; the same source gives the same bytes. */
export async function bundleProgram(build: Build, { folder }: { folder: string }): Promise<string> {
  const entry = path.join(folder, "main.ts");
  const output = path.join(folder, "connector.js");
  // What main.ts does, with the build beside it.
  const program = new URL("../src/cli/program.ts", import.meta.url);
  await Deno.writeTextFile(
    entry,
    `import { runCli } from ${JSON.stringify(program.href)};
Deno.exit(await runCli(Deno.args, { build: ${JSON.stringify(build)} }));
`,
  );
  const config = path.join(ROOT, "deno.json");
  await run(Deno.execPath(), {
    args: ["bundle", "--quiet", "--minify", `--config=${config}`, `--output=${output}`, entry],
  });
  return output;
}

/** The commit and its day; SOURCE_DATE_EPOCH, in seconds, stands for another day. */
export async function describeBuild(): Promise<Build> {
  const git = async (...args: string[]) => {
    const stdout = await run("git", { args: ["-C", ROOT, ...args] });
    return decode(stdout).trim();
  };
  const commit = await git("rev-parse", "HEAD");
  const changed = await git("status", "--porcelain", "--untracked-files=no");
  const seconds = Deno.env.get("SOURCE_DATE_EPOCH") || await git("log", "-1", "--format=%ct");
  const date = new Date(Number(seconds) * 1000);
  if (!/^\d+$/.test(seconds) || Number.isNaN(date.getTime())) {
    throw new Error(`SOURCE_DATE_EPOCH cannot be "${seconds}", want seconds since 1970`);
  }
  return {
    commit: changed === "" ? commit : `${commit}-dirty`,
    date: date.toISOString().slice(0, 10),
  };
}
