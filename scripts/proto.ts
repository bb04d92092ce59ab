// Generates proto/gen from proto/, or with --check only compares it: `deno task proto [--check]`. Both lint the
// proto files and check their format too. buf and ts-proto come from npm in the versions of proto/tools.json, apart
// from deno.json: a task fetches all that is there before it starts, and these two are ten times the rest.

import * as path from "node:path";

const ROOT = path.resolve(import.meta.dirname ?? ".", "..");
const GENERATED = path.join(ROOT, "proto", "gen");

async function main(args: string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--check");
  if (unknown !== undefined) {
    console.error(`error: unknown argument '${unknown}'\nhint: the only one is --check`);
    return 2;
  }
  if (!await buf(["lint"])) return 1;
  if (!await buf(["format", "--diff", "--exit-code"])) return 1;
  const scratch = await Deno.makeTempDir({ prefix: "connector-proto-" });
  try {
    if (!await buf(["generate", "--include-imports", "--output", scratch])) return 1;
    const wanted = await readTree(path.join(scratch, "proto", "gen"));
    if (!args.includes("--check")) {
      await generate(wanted);
      return 0;
    }
    const stale = staleFiles(wanted, await readTree(GENERATED));
    if (stale.length === 0) return 0;
    console.error(
      `error: generated code in proto/gen does not match proto/: ${stale.join(", ")}\n` +
        "hint: run `deno task proto` and commit what it writes",
    );
    return 1;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

async function generate(wanted: ReadonlyMap<string, string>): Promise<void> {
  // Emptied first, so that nothing stays of a message that is gone.
  await Deno.remove(GENERATED, { recursive: true }).catch(ignoreNotFound);
  for (const [name, text] of wanted) {
    const target = path.join(GENERATED, name);
    await Deno.mkdir(path.dirname(target), { recursive: true });
    await Deno.writeTextFile(target, text);
  }
}

/** The files that are missing, differ or should not be there, each with which it is, sorted. */
export function staleFiles(
  wanted: ReadonlyMap<string, string>,
  present: ReadonlyMap<string, string>,
): string[] {
  const stale: string[] = [];
  for (const [name, text] of wanted) {
    if (!present.has(name)) stale.push(`${name} (missing)`);
    else if (present.get(name) !== text) stale.push(`${name} (differs)`);
  }
  for (const name of present.keys()) if (!wanted.has(name)) stale.push(`${name} (not generated)`);
  return stale.sort();
}

/** Every file below a folder, by its path in the folder with `/`. */
async function readTree(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const visit = async (inner: string) => {
    for await (const entry of Deno.readDir(path.join(folder, inner))) {
      const name = path.join(inner, entry.name);
      if (entry.isDirectory) await visit(name);
      // A checkout on Windows may have its own line ends.
      else {
        const text = await Deno.readTextFile(path.join(folder, name));
        files.set(name.replaceAll("\\", "/"), text.replaceAll("\r\n", "\n"));
      }
    }
  };
  await visit("").catch(ignoreNotFound);
  return files;
}

/** Runs buf in the root and says whether it succeeded; what it found is on stderr. */
async function buf(args: string[]): Promise<boolean> {
  const deno = Deno.execPath();
  const { success, code } = await new Deno.Command(deno, {
    args: ["run", "--quiet", "--allow-all", "--config=proto/tools.json", "@bufbuild/buf", ...args],
    cwd: ROOT,
    // buf starts the plugin's `deno` by name: it must be this one.
    env: { PATH: `${path.dirname(deno)}${path.delimiter}${Deno.env.get("PATH") ?? ""}` },
  }).spawn().status;
  if (!success) console.error(`error: buf ${args[0]} failed with exit code ${code}`);
  return success;
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
