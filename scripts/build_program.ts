// The program as one JavaScript file: everything that main.ts needs, packages included, and where it comes from.
// Both kinds of executables are made of it, so that both run the same bytes.

import * as path from "node:path";
import { decode, ROOT, run } from "./build_run.ts";
import type { Build } from "../src/cli/version.ts";

/**
 * Packages that are CommonJS ask for parts of the runtime by `require`. `deno bundle` gives them one, but not where the
 * name that it has found for it holds a dollar sign (Deno 2.9.6), which hangs on how many names there are.
 */
const REQUIRE =
  `import{createRequire as connectorRequire}from"node:module";var require=connectorRequire(import.meta.url);\n`;

/** Bundles the program; the same source gives the same bytes, in a file of the build's date. */
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
  await Deno.writeTextFile(output, REQUIRE + await Deno.readTextFile(output));
  // `deno compile` embeds it together with the file.
  const date = new Date(`${build.date}T00:00:00Z`);
  await Deno.utime(output, date, date);
  return output;
}

/**
 * The commit and its day; SOURCE_DATE_EPOCH, in seconds, stands for another day. Outside of a clone the commit is
 * "unknown", and the day is today.
 */
export async function describeBuild(): Promise<Build> {
  const git = async (...args: string[]) => {
    // A clone of another user is no danger to a build: what it runs is in that clone all the same.
    const start = ["-c", "safe.directory=*", "-C", ROOT];
    return decode(await run("git", { args: [...start, ...args] })).trim();
  };
  const commit = await git("rev-parse", "HEAD").catch(() => undefined);
  const given = Deno.env.get("SOURCE_DATE_EPOCH") ?? "";
  if (!/^\d{0,12}$/.test(given)) {
    throw new Error(`SOURCE_DATE_EPOCH cannot be "${given}", want seconds since 1970`);
  }
  const day = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 10);
  if (commit === undefined) {
    return { commit: "unknown", date: day(Number(given) || Date.now() / 1000) };
  }
  const changed = await git("status", "--porcelain", "--untracked-files=no");
  return {
    commit: changed === "" ? commit : `${commit}-dirty`,
    date: day(Number(given || await git("log", "-1", "--format=%ct"))),
  };
}
