// A self-extracting executable with a tiny script in the runtime's place, in a folder with a home. Used by the tests of
// such executables.

import { Buffer } from "node:buffer";
import * as path from "node:path";
import { selfExtracting } from "../../scripts/build_self_extracting.ts";
import { runProgram } from "./child.ts";
import { randomBytes } from "./world.ts";

const CACHE = Deno.build.os === "darwin" ? "Library/Caches" : ".cache";

/** Says what it was started with, and obeys `exit N` and `wait` behind the program's path. */
export const RUNTIME = `#!/bin/sh
echo "pid $$"
echo "DENO_DIR $DENO_DIR"
echo "umask $(umask)"
echo "cwd $PWD"
for each in "$@"; do echo "[$each]"; done
for each in "$@"; do last=$each; done
case $last in
  exit*) exit "\${last#exit}" ;;
  wait) trap 'echo terminated; exit 7' TERM; echo waiting; while :; do sleep 0.01; done ;;
esac
`;

/** A folder with an executable in it, and a home. */
export interface Place extends AsyncDisposable {
  folder: string;
  executable: string;
  /** What was unpacked. */
  store: string;
  env: Record<string, string>;
}

/** Builds it. */
export async function makePlace({ runtime = RUNTIME, programBytes = 0 }: {
  runtime?: string;
  /** Makes the program so much longer, with what cannot be compressed. */
  programBytes?: number;
} = {}): Promise<Place> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "connector it's " }));
  const executable = path.join(folder, "connector");
  const home = path.join(folder, "a home");
  await Deno.mkdir(home, { mode: 0o755 });
  const encode = (text: string) => new TextEncoder().encode(text);
  const bytes = await selfExtracting({
    script: await Deno.readTextFile(new URL("../../scripts/self_extract.sh", import.meta.url)),
    runtime: encode(runtime),
    program: Buffer.concat([encode("the program"), randomBytes(programBytes)]),
    permissions: ["--allow-net", "--allow-env=CONNECTOR_*"],
    os: Deno.build.os === "darwin" ? "macos" : "linux",
  });
  await Deno.writeFile(executable, bytes, { mode: 0o755 });
  return {
    folder,
    executable,
    store: path.join(home, CACHE, "connector"),
    env: { HOME: home, XDG_CACHE_HOME: "" },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Runs it to its end. */
export function start(place: Place, { args = [], env = {} }: {
  args?: string[];
  env?: Record<string, string>;
} = {}) {
  return runProgram(place.executable, {
    args,
    cwd: place.folder,
    env: { ...place.env, ...env },
  });
}

/** Names and modes of what was unpacked. */
export function unpacked(store: string): { name: string; mode: number }[] {
  return [...Deno.readDirSync(store)].map(({ name }) => ({
    name: name.replace(/[0-9a-f]{64}/, "HASH"),
    mode: (Deno.lstatSync(path.join(store, name)).mode ?? 0) & 0o7777,
  })).sort((a, b) => a.name < b.name ? -1 : 1);
}

/** When everything was unpacked and nothing was left behind. */
export const WHOLE = [
  { name: "connector-HASH.js", mode: 0o500 },
  { name: "deno-HASH", mode: 0o500 },
];
