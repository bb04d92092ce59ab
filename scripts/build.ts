// `deno task build`: one executable a platform, archives, checksums and a bill of materials, in dist/. Then it runs
// the executable of this platform. What an executable is made of is in build_program.ts and build_compile.ts.

import * as path from "node:path";
import { parseArgs } from "node:util";
import {
  archiveName,
  executableName,
  findTarget,
  hostTarget,
  type Target,
} from "./build_targets.ts";
import { targetName, TARGETS } from "./build_targets.ts";
import { type ArchivedFile, tarGz, zip } from "./build_archive.ts";
import { type Kind, makeExecutable } from "./build_compile.ts";
import { bundleProgram, describeBuild } from "./build_program.ts";
import { removeFile, ROOT } from "./build_run.ts";
import { sha256 } from "./build_self_extracting.ts";
import { readPackages, sbom } from "./sbom.ts";

const USAGE = `Usage: deno task build [--target=OS-ARCH]... [--all] [--self-extracting] [--no-smoke]

Makes executables in dist/, for this platform if nothing else is said.

  --target=OS-ARCH    one of ${TARGETS.map(targetName).join(", ")}; repeats
  --all               every one of them
  --self-extracting   do not try deno compile (only for this platform, Linux or macOS)
  --no-smoke          do not run what was made
`;

/** What the command line asks for. */
interface BuildOptions {
  targets: Target[];
  selfExtractingOnly: boolean;
  smoke: boolean;
}

function readOptions(args: string[]): BuildOptions | undefined {
  const { values } = parseArgs({
    args,
    options: {
      target: { type: "string", multiple: true, default: [] },
      all: { type: "boolean", default: false },
      "self-extracting": { type: "boolean", default: false },
      "no-smoke": { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const named = values.target.map(findTarget);
  return {
    targets: values.all ? [...TARGETS] : named.length > 0 ? named : [hostTarget()],
    selfExtractingOnly: values["self-extracting"],
    smoke: !values["no-smoke"],
  };
}

/** Builds, and resolves with the path and kind of each executable. */
async function build({ targets, selfExtractingOnly, smoke }: BuildOptions): Promise<void> {
  const dist = path.join(ROOT, "dist");
  await Deno.mkdir(dist, { recursive: true });
  // Should this build fail, those of another must not vouch for what it has made.
  await removeFile(path.join(dist, "SHA256SUMS"));
  const built = await describeBuild();
  const date = new Date(`${built.date}T00:00:00Z`);
  const folder = await Deno.makeTempDir({ prefix: "connector-build-" });
  const made: string[] = [];
  const put = async (name: string, content: Uint8Array | string) => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await Deno.writeFile(path.join(dist, name), bytes);
    made.push(name);
  };
  try {
    console.log(`Bundling commit ${built.commit} of ${built.date}`);
    const program = await bundleProgram(built, { folder });
    const packages = await readPackages();
    const bill = sbom(packages, { build: built, deno: Deno.version.deno });
    await put("connector.cdx.json", `${JSON.stringify(bill, null, 2)}\n`);
    for (const target of targets) {
      const name = executableName(target);
      const output = path.join(dist, name);
      const kind = await makeExecutable({ target, program, output, selfExtractingOnly });
      made.push(name);
      report(output, kind);
      if (smoke && target === hostTarget()) await smokeRun(output);
      await put(archiveName(target), await archive(target, { executable: output, date }));
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const sums = await Promise.all(
    made.sort().map(async (name) =>
      `${sha256(await Deno.readFile(path.join(dist, name)))}  ${name}\n`
    ),
  );
  await Deno.writeTextFile(path.join(dist, "SHA256SUMS"), sums.join(""));
  console.log(`Wrote dist/SHA256SUMS, for ${made.join(", ")}`);
}

/** Says what was made, and of which kind. */
function report(output: string, kind: Kind): void {
  const { size } = Deno.statSync(output);
  const what = kind === "compiled"
    ? "compiled with deno compile"
    : "self-extracting: a shell script with the running Deno and the program behind it; the first start " +
      "unpacks them into the user's cache folder";
  console.log(`Made ${path.relative(ROOT, output)}, ${(size / 1e6).toFixed(1)} MB, ${what}`);
}

async function archive(
  target: Target,
  { executable, date }: { executable: string; date: Date },
): Promise<Uint8Array> {
  const files: ArchivedFile[] = [
    {
      name: target.os === "windows" ? "connector.exe" : "connector",
      bytes: await Deno.readFile(executable),
      executable: true,
    },
    {
      name: "LICENSE",
      bytes: await Deno.readFile(path.join(ROOT, "LICENSE")),
      executable: false,
    },
  ];
  return await (target.os === "windows" ? zip : tarGz)(files, date);
}

/** Version, help, certificates, and two of them with a service between. */
async function smokeRun(executable: string): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-P=tests", "--quiet", path.join(ROOT, "tests", "e2e", "smoke_test.ts")],
    cwd: ROOT,
    env: { CONNECTOR_EXECUTABLE: executable },
    stdin: "null",
  }).output();
  if (!success) throw new Error(`${executable} fails its smoke test, tests/e2e/smoke_test.ts`);
  console.log(`Ran ${path.relative(ROOT, executable)}: it passes tests/e2e/smoke_test.ts`);
}

if (import.meta.main) {
  try {
    const options = readOptions(Deno.args);
    if (options) await build(options);
    else console.log(USAGE);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
