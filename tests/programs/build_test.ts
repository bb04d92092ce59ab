// `deno task build` as a user sees it, in a copy of this tree where no base runtime for `deno compile` can be had: what
// it says, what is in dist/ afterwards, and that it is the same each time. The sums are checked by sha256sum.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { executableName, hostTarget } from "../../scripts/build_targets.ts";
import { runProgram } from "../support/child.ts";
import { ROOT } from "../support/processes.ts";

/** Packing the runtime and the smoke test, on a busy machine. */
const BUILD_TIMEOUT_MS = 180_000;

/** What the repository holds, without its history and without what was built in it. */
async function copyTree(to: string): Promise<void> {
  const { code, stderr } = await runProgram("sh", {
    args: [
      "-c",
      'git -c safe.directory="*" ls-files -z | tar -c --null -T - | tar -x -C "$1"',
      "-",
      to,
    ],
    cwd: ROOT,
  });
  strictEqual(code, 0, stderr);
}

Deno.test("without a base runtime, deno task build says so and makes a file that works", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await copyTree(folder);
    const build = (...args: string[]) =>
      runProgram(Deno.execPath(), {
        args: ["task", "build", ...args],
        cwd: folder,
        env: { DENORT_BIN: path.join(folder, "missing"), SOURCE_DATE_EPOCH: "1770076800" },
        timeoutMs: BUILD_TIMEOUT_MS,
      });
    const sums = () => Deno.readTextFile(path.join(folder, "dist", "SHA256SUMS"));
    const executable = executableName(hostTarget());

    const { code, stdout, stderr } = await build();
    strictEqual(code, 0, stderr);
    match(stdout, /^deno compile needs its base runtime, denort [\d.]+, and cannot have it/m);
    match(stdout, /^To provide it, set DENORT_BIN to a denort of this platform, or put denort-/m);
    match(stdout, new RegExp(`^Made dist/${executable}, [\\d.]+ MB, self-extracting: `, "m"));
    match(stdout, new RegExp(`^Ran dist/${executable}: it passes`, "m"));
    const { code: checked } = await runProgram("sha256sum", {
      args: ["--check", "--strict", "SHA256SUMS"],
      cwd: path.join(folder, "dist"),
    });
    strictEqual(checked, 0);
    const first = await sums();
    deepStrictEqual([...first.matchAll(/^[0-9a-f]{64} {2}(.+)$/gm)].map(([, name]) => name), [
      executable,
      `${executable}.tar.gz`,
      "connector.cdx.json",
    ]);
    const version = await runProgram(path.join(folder, "dist", executable), {
      args: ["--version"],
    });
    match(version.stdout, /^connector \d+\.\d+\.\d+ \(commit unknown, built 2026-02-03\)\n$/);

    strictEqual((await build("--no-smoke")).code, 0);
    strictEqual(await sums(), first, "the same each time");

    const other = await build("--self-extracting", "--target=windows-x86_64");
    strictEqual(other.code, 1);
    match(other.stderr, /^error: Cannot build for windows-x86_64: .*Linux or macOS$/m);
    const left = [...Deno.readDirSync(path.join(folder, "dist"))].map(({ name }) => name);
    ok(!left.includes("SHA256SUMS"), "a build that failed vouches for nothing");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
