// Makes one executable of the bundled program: with `deno compile`, or, where its base runtime cannot be had, as a
// self-extracting file for the platform that this runs on.

import * as path from "node:path";
import { permissionFlags } from "./build_permissions.ts";
import { decode, ProgramError, removeFile, ROOT, run } from "./build_run.ts";
import { selfExtracting } from "./build_self_extracting.ts";
import { hostTarget, type Target, targetName } from "./build_targets.ts";

/** How an executable was made. */
export type Kind = "compiled" | "self-extracting";

/** What to make of which program. */
export interface CompileOptions {
  target: Target;
  /** Path of the bundled program. */
  program: string;
  /** Path of the executable. */
  output: string;
  /** Do not try `deno compile`. */
  selfExtractingOnly?: boolean;
}

/** Makes an executable and says how. @throws {Error} when none can be made for the target. */
export async function makeExecutable(options: CompileOptions): Promise<Kind> {
  const { target, output, selfExtractingOnly = false } = options;
  // `deno compile` replaces nothing but what it has made itself, and one that runs may go on.
  await removeFile(output);
  const reason = selfExtractingOnly ? "--self-extracting" : await compile(options);
  if (reason === undefined) return "compiled";
  const { os } = target;
  if (os === "windows" || targetName(target) !== targetName(hostTarget())) {
    throw new Error(
      `Cannot build for ${targetName(target)}: ${reason}; ` +
        "a self-extracting executable is only made for the platform that builds it, Linux or macOS",
    );
  }
  const [script, runtime, program] = await Promise.all([
    Deno.readTextFile(path.join(ROOT, "scripts", "self_extract.sh")),
    Deno.readFile(Deno.execPath()),
    Deno.readFile(options.program),
  ]);
  const permissions = permissionFlags();
  const bytes = await selfExtracting({ script, runtime, program, permissions, os });
  await Deno.writeFile(output, bytes, { mode: 0o755 });
  return "self-extracting";
}

/** Compiles. When the base runtime cannot be had it says so, and how to provide one, and returns the reason. */
async function compile({ target, program, output }: CompileOptions): Promise<string | undefined> {
  const forHost = targetName(target) === targetName(hostTarget());
  try {
    await run(Deno.execPath(), {
      args: [
        ...[
          "compile",
          "--quiet",
          "--no-config",
          "--no-lock",
          "--no-npm",
          "--no-remote",
          "--unstable-no-legacy-abort",
        ],
        // It would be kept under a name that can be foreseen in the folder for temporary files, which all
        // users write to.
        "--no-code-cache",
        ...["--no-prompt", "--no-check", "--app-name=connector", `--target=${target.triple}`],
        ...permissionFlags(),
        `--output=${output}`,
        program,
      ],
      // The runtime that it names is for this platform.
      withoutEnv: forHost ? [] : ["DENORT_BIN"],
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof ProgramError) || !isWithoutRuntime(error.output)) throw error;
    const reason = "the base runtime of deno compile (denort) cannot be had";
    console.log(explainMissingRuntime({ target, forHost, output: error.output }));
    return reason;
  }
}

/** Whether `deno compile` failed for want of its base runtime. */
export function isWithoutRuntime(output: string): boolean {
  return /Setting up base binary|Could not find denort|denort-[\w-]+\.zip/.test(output);
}

/** One sentence on what is missing and one on how to provide it. */
export function explainMissingRuntime({ target, forHost, output }: {
  target: Target;
  /** Whether the target is what this runs on. */
  forHost: boolean;
  /** What `deno compile` said. */
  output: string;
}): string {
  const why = /^\s*(?:\d+: )?(error sending request .*|Could not find denort .*)$/m.exec(output)
    ?.[1];
  const version = Deno.version.deno;
  return `deno compile needs its base runtime, denort ${version}, and cannot have it${
    why === undefined ? "" : ` (${why})`
  }.
To provide it, ${
    forHost ? "set DENORT_BIN to a denort of this platform, or " : ""
  }put denort-${target.triple}.zip of Deno's
release v${version} into $DENO_DIR/dl/release/v${version}/.`;
}

/** For tests and messages: what a file is, by its first bytes. */
export async function kindOf(executable: string): Promise<Kind> {
  using file = await Deno.open(executable);
  const start = new Uint8Array(2);
  await file.read(start);
  return decode(start) === "#!" ? "self-extracting" : "compiled";
}
