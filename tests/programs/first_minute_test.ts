// The README's first command in a fresh clone with an empty home, on a pipe and on a terminal: it says within a moment
// what it fetches, and prints nothing else but the demo. It fetches packages from npm.

import { match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { stripVTControlCharacters } from "node:util";
import { runProgram } from "../support/child.ts";
import { tempFolder } from "../support/mtls.ts";
import { ROOT } from "../support/processes.ts";
import { TerminalProgram } from "../support/terminal.ts";

/** Variables that this machine needs to reach npm. */
const NETWORK = /cert|_proxy$|^npm_config_/i;
/** How long a slow line may take, in milliseconds. */
const LIMIT_MS = 300_000;

/** What Deno prints of its own: which package it fetches, how far it is when that takes long, and which task it starts. */
const DOWNLOAD =
  /^(Download (https?:\/\/\S+$|[▰▱])| *(npm:|https?:\/\/)\S+( [\d.]+[KM]?iB\/[\d.]+[KM]?iB)?$)/;
const TASK = /^Task demo deno run .*scripts\/demo\.ts /;
/** What the README means by 7 MB of packages: so many bytes on disk, with some room. */
const MAX_PACKAGE_BYTES = 40e6;
/** Lines of the demo: steps, commands, answers, and what is empty. */
const DEMO = /^(\d\. | {3}|Every answer was right\.$|$)/;

for (const terminal of [false, true]) {
  Deno.test(`the first start prints what it fetches and the demo, on ${terminal ? "a terminal" : "pipes"}`, async () => {
    await using folder = await tempFolder();
    const clone = path.join(folder.path, "connector");
    // The files of the checkout as they are, without what git does not know.
    const { stdout: listed } = await runProgram("git", {
      args: [
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
      ],
      cwd: ROOT,
    });
    for (const file of listed.split("\0").filter(Boolean)) {
      await Deno.mkdir(path.dirname(path.join(clone, file)), { recursive: true });
      await Deno.copyFile(path.join(ROOT, file), path.join(clone, file));
    }
    const env = {
      ...Object.fromEntries(
        Object.entries(Deno.env.toObject()).filter(([name]) => NETWORK.test(name)),
      ),
      PATH: Deno.env.get("PATH") ?? "",
      HOME: path.join(folder.path, "home"),
      TERM: "xterm-256color",
    };
    const options = { args: ["task", "demo", "--once"], cwd: clone, env, clearEnv: true };
    let printed: string;
    if (terminal) {
      await using program = new TerminalProgram(Deno.execPath(), options);
      strictEqual((await program.exited).code, 0, program.output);
      printed = program.output;
    } else {
      const { code, stdout, stderr } = await runProgram(Deno.execPath(), {
        ...options,
        timeoutMs: LIMIT_MS,
      });
      strictEqual(code, 0, stderr);
      printed = stderr + stdout;
    }
    const lines = stripVTControlCharacters(printed).split(/[\r\n]+/);
    match(lines[0] ?? "", DOWNLOAD);
    const strange = lines.filter((line) => ![DOWNLOAD, TASK, DEMO].some((form) => form.test(line)));
    strictEqual(strange.join("\n"), "");
    const bytes = await sizeOf(path.join(env.HOME, ".cache", "deno", "npm"));
    ok(bytes > 1e6 && bytes < MAX_PACKAGE_BYTES, `${bytes} bytes of packages`);
  });
}

/** The bytes of all files below a folder. */
async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const each = path.join(folder, name);
    bytes += isDirectory ? await sizeOf(each) : (await Deno.stat(each)).size;
  }
  return bytes;
}
