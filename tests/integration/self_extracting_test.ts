// Self-extracting executables, with a tiny script in the runtime's place: what they run, where they unpack to, and
// that nobody else has a hand in it. That a whole connector works so is what the end-to-end tests show.

import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { selfExtracting } from "../../scripts/build_self_extracting.ts";
import { Child, runProgram } from "../support/child.ts";
import { until } from "../support/world.ts";

// Windows has neither sh nor such executables.
const supported = Deno.build.os !== "windows";
const CACHE = Deno.build.os === "darwin" ? "Library/Caches" : ".cache";

/** Says what it was started with, and obeys `exit N` and `wait` behind the program's path. */
const RUNTIME = `#!/bin/sh
echo "pid $$"
echo "DENO_DIR $DENO_DIR"
echo "umask $(umask)"
echo "cwd $PWD"
for each in "$@"; do echo "[$each]"; done
for each in "$@"; do last=$each; done
case $last in
  exit*) exit "\${last#exit}" ;;
  wait) echo waiting; trap 'echo terminated; exit 7' TERM; while :; do sleep 0.01; done ;;
esac
`;

/** A folder with an executable in it, and a home. */
interface Place extends AsyncDisposable {
  folder: string;
  executable: string;
  /** What was unpacked. */
  store: string;
  env: Record<string, string>;
}

async function makePlace({ runtime = RUNTIME }: { runtime?: string } = {}): Promise<Place> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "connector it's " }));
  const executable = path.join(folder, "connector");
  const home = path.join(folder, "a home");
  await Deno.mkdir(home, { mode: 0o755 });
  const encode = (text: string) => new TextEncoder().encode(text);
  const bytes = await selfExtracting({
    script: await Deno.readTextFile(new URL("../../scripts/self_extract.sh", import.meta.url)),
    runtime: encode(runtime),
    program: encode("the program"),
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

function start(place: Place, { args = [], env = {} }: {
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
function unpacked(store: string): { name: string; mode: number }[] {
  return [...Deno.readDirSync(store)].map(({ name }) => ({
    name: name.replace(/[0-9a-f]{64}/, "HASH"),
    mode: (Deno.lstatSync(path.join(store, name)).mode ?? 0) & 0o7777,
  })).sort((a, b) => a.name < b.name ? -1 : 1);
}

const WHOLE = [
  { name: "connector-HASH.js", mode: 0o500 },
  { name: "deno-HASH", mode: 0o500 },
];

/** Path of the unpacked runtime. */
function runtimeIn(store: string): string {
  const found = [...Deno.readDirSync(store)].find(({ name }) => name.startsWith("deno-"));
  ok(found);
  return path.join(store, found.name);
}

function test(name: string, run: (place: Place) => Promise<void>): void {
  if (!supported) return;
  Deno.test(`self-extracting: ${name}`, async () => {
    await using place = await makePlace();
    await run(place);
  });
}

test("unpacks once and passes permissions, arguments, umask, folder and exit code", async (place) => {
  const args = ["a b", "", "*", "'\"$HOME", "exit42"];
  const first = await start(place, { args });
  deepStrictEqual([first.code, first.stderr], [42, ""]);
  const lines = first.stdout.split("\n");
  const program = lines.findIndex((line) => line.endsWith(".js]"));
  ok(lines[program]?.startsWith(`[${place.store}/connector-`));
  deepStrictEqual(lines.slice(program + 1, -1), args.map((arg) => `[${arg}]`));
  ok(lines.includes("[--allow-net]") && lines.includes("[--allow-env=CONNECTOR_*]"));
  ok(lines.includes("[--no-prompt]") && lines.includes("[--no-config]"));
  ok(lines.includes(`DENO_DIR ${place.store}/deno`));
  ok(lines.includes(`cwd ${place.folder}`));
  ok(lines.includes(`umask ${Deno.umask().toString(8).padStart(4, "0")}`), first.stdout);
  deepStrictEqual(unpacked(place.store), WHOLE);
  strictEqual((Deno.statSync(place.store).mode ?? 0) & 0o7777, 0o700);

  const before = Deno.statSync(runtimeIn(place.store));
  strictEqual((await start(place, { args: ["exit0"] })).code, 0);
  strictEqual(Deno.statSync(runtimeIn(place.store)).ino, before.ino);
});

test("is the same process, so that signals reach it", async (place) => {
  await using child = new Child(place.executable, { args: ["wait"], env: place.env });
  await child.waitFor(/^waiting$/m);
  match(child.stdout, new RegExp(`^pid ${child.pid}$`, "m"));
  strictEqual((await child.stop({ signal: "SIGTERM" })).code, 7);
  match(child.stdout, /^terminated$/m);
});

test("many at once unpack whole files and leave nothing else", async (place) => {
  const started = await Promise.all(
    Array.from({ length: 12 }, () => start(place, { args: ["exit0"] })),
  );
  for (const { code, stderr } of started) deepStrictEqual([code, stderr], [0, ""]);
  deepStrictEqual(unpacked(place.store), WHOLE);
});

test("what was cut off is unpacked again", async (place) => {
  await start(place);
  const runtime = runtimeIn(place.store);
  await Deno.chmod(runtime, 0o700);
  await Deno.truncate(runtime, 20);
  strictEqual((await start(place, { args: ["exit3"] })).code, 3);
  strictEqual(await Deno.readTextFile(runtime), RUNTIME);
});

test("what a killed process left behind is removed, once it is old", async (place) => {
  await start(place);
  await Deno.remove(runtimeIn(place.store));
  const [old, fresh] = ["old123", "new456"].map((end) => path.join(place.store, `.unpack.${end}`));
  ok(old && fresh);
  await Deno.writeTextFile(old, "half");
  await Deno.writeTextFile(fresh, "half");
  await Deno.utime(old, 0, 0);
  strictEqual((await start(place, { args: ["exit0"] })).code, 0);
  deepStrictEqual(unpacked(place.store).map(({ name }) => name), [
    ".unpack.new456",
    ...WHOLE.map(({ name }) => name),
  ]);
});

test("a damaged file is refused, and nothing of it is kept", async (place) => {
  const bytes = await Deno.readFile(place.executable);
  // In the middle of what is packed.
  const at = 16 * 1024 + 100;
  bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  await Deno.writeFile(place.executable, bytes);
  const { code, stdout, stderr } = await start(place);
  deepStrictEqual([code, stdout], [1, ""]);
  match(stderr, /error: Cannot unpack .* what came out is not what was packed\nhint: .*again\n$/);
  ok(!unpacked(place.store).some(({ name }) => /^deno-|^\.unpack/.test(name)));
});

test("a file that cannot be had whole is refused, too", async (place) => {
  const { size } = await Deno.stat(place.executable);
  await Deno.truncate(place.executable, size - 10);
  const { code, stderr } = await start(place);
  strictEqual(code, 1);
  match(stderr, /is not what was packed/);
});

test("another version has files of its own beside the first", async (place) => {
  await start(place);
  await using other = await makePlace({ runtime: `${RUNTIME}\n# other\n` });
  const { code } = await start(other, { args: ["exit5"], env: { HOME: place.env.HOME ?? "" } });
  strictEqual(code, 5);
  deepStrictEqual(unpacked(place.store).map(({ name }) => name), [
    "connector-HASH.js",
    "deno-HASH",
    "deno-HASH",
  ]);
});

test("XDG_CACHE_HOME is honoured when it is absolute", async (place) => {
  const cache = path.join(place.folder, "cache", "of mine");
  strictEqual((await start(place, { env: { XDG_CACHE_HOME: cache }, args: ["exit0"] })).code, 0);
  deepStrictEqual(unpacked(path.join(cache, "connector")), WHOLE);
  strictEqual((await start(place, { env: { XDG_CACHE_HOME: "cache" }, args: ["exit0"] })).code, 0);
  deepStrictEqual(unpacked(place.store), WHOLE);
});

test("without a home it says what to set", async (place) => {
  const { code, stderr } = await start(place, { env: { HOME: "" } });
  deepStrictEqual([code, stderr], [
    1,
    "error: Cannot tell where to unpack to: HOME is not set\n" +
    "hint: Set XDG_CACHE_HOME to a folder of your own\n",
  ]);
});

test("a folder that everybody may write to is refused", async (place) => {
  const cache = path.join(place.folder, "everybody");
  await Deno.mkdir(cache);
  for (const mode of [0o777, 0o1777]) {
    await Deno.chmod(cache, mode);
    const { code, stderr } = await start(place, { env: { XDG_CACHE_HOME: cache } });
    strictEqual(code, 1);
    match(stderr, /^error: Cannot unpack into .*: others can change .*everybody\n/);
  }
  deepStrictEqual([...Deno.readDirSync(cache)].filter(({ isFile }) => isFile), []);
});

test("so is one below a folder that everybody may write to, unless that is sticky", async (place) => {
  const above = path.join(place.folder, "everybody");
  const cache = path.join(above, "mine");
  await Deno.mkdir(cache, { recursive: true });
  await Deno.chmod(above, 0o777);
  const env = { XDG_CACHE_HOME: cache };
  const refused = await start(place, { env });
  strictEqual(refused.code, 1);
  match(refused.stderr, /others can change .*everybody\n/);
  deepStrictEqual([...Deno.readDirSync(cache)], []);
  await Deno.chmod(above, 0o1777);
  strictEqual((await start(place, { env, args: ["exit0"] })).code, 0);
});

test("a folder of ours that others may read or write is refused", async (place) => {
  await start(place);
  for (const mode of [0o755, 0o770, 0o777]) {
    await Deno.chmod(place.store, mode);
    const { code, stderr } = await start(place);
    strictEqual(code, 1);
    match(stderr, /^error: Cannot unpack into .*: the folder is not yours alone\n/);
  }
});

test("an unpacked file that others may write, or nobody may run, is replaced", async (place) => {
  await start(place);
  const runtime = runtimeIn(place.store);
  for (const mode of [0o522, 0o400]) {
    const before = (await Deno.stat(runtime)).ino;
    await Deno.chmod(runtime, mode);
    strictEqual((await start(place, { args: ["exit0"] })).code, 0);
    notStrictEqual((await Deno.stat(runtime)).ino, before);
    deepStrictEqual(unpacked(place.store), WHOLE);
  }
});

test("a link in the place of an unpacked file is replaced, not followed", async (place) => {
  await start(place);
  const runtime = runtimeIn(place.store);
  const elsewhere = path.join(place.folder, "elsewhere");
  await Deno.rename(runtime, elsewhere);
  await Deno.symlink(elsewhere, runtime);
  strictEqual((await start(place, { args: ["exit0"] })).code, 0);
  strictEqual((await Deno.lstat(runtime)).isSymlink, false);
});

test("a link of one's own is followed", async (place) => {
  const real = path.join(place.folder, "real");
  const cache = path.join(place.folder, "link");
  await Deno.mkdir(real);
  await Deno.symlink(real, cache);
  const { code, stderr } = await start(place, { env: { XDG_CACHE_HOME: cache }, args: ["exit0"] });
  deepStrictEqual([code, stderr], [0, ""]);
  deepStrictEqual(unpacked(path.join(real, "connector")), WHOLE);
});

// Only root can give things to somebody else; elsewhere the same lines of the script see the same answers of find.
if (supported && Deno.uid() === 0) {
  const NOBODY = 65534;

  test("links and folders of somebody else are refused", async (place) => {
    const real = path.join(place.folder, "real");
    const link = path.join(place.folder, "link");
    await Deno.mkdir(real);
    await Deno.symlink(real, link);
    const { code } = await runProgram("chown", { args: ["-h", `${NOBODY}`, link] });
    strictEqual(code, 0);
    const refused = async (cache: string, what: string) => {
      const { code, stderr } = await start(place, { env: { XDG_CACHE_HOME: cache } });
      strictEqual(code, 1);
      ok(stderr.includes(`others can change ${what}`), stderr);
      deepStrictEqual([...Deno.readDirSync(real)], []);
    };
    await refused(link, link);
    await refused(path.join(link, "below"), link);
    await Deno.chown(real, NOBODY, null);
    await refused(path.join(real, "below"), real);
  });

  test("files of somebody else in the store are replaced", async (place) => {
    await start(place);
    const runtime = runtimeIn(place.store);
    await Deno.chown(runtime, NOBODY, null);
    strictEqual((await start(place, { args: ["exit0"] })).code, 0);
    strictEqual((await Deno.stat(runtime)).uid, 0);
  });
}

test("a process that is ended while it unpacks leaves nothing", async (place) => {
  // Stands in for a slow disk: it unpacks nothing for as long as the script lives.
  const stall = path.join(place.folder, "bin");
  await Deno.mkdir(stall);
  await Deno.writeTextFile(
    path.join(stall, "gzip"),
    `#!/bin/sh\ntouch '${
      stall.replaceAll("'", `'\\''`)
    }/started'\nwhile kill -0 $PPID 2>/dev/null; do sleep 0.02; done\n`,
    { mode: 0o755 },
  );
  await using child = new Child(place.executable, {
    env: { ...place.env, PATH: `${stall}:${Deno.env.get("PATH")}` },
  });
  await until(() => {
    try {
      return Deno.statSync(path.join(stall, "started")).isFile;
    } catch {
      return false;
    }
  }, "it unpacks");
  child.kill("SIGKILL");
  await child.exited;
  strictEqual((await start(place, { args: ["exit0"] })).code, 0);
  ok(unpacked(place.store).filter(({ name }) => !name.startsWith(".")).length === WHOLE.length);
});

if (supported) {
  Deno.test("self-extracting: the same parts give the same bytes", async () => {
    await using first = await makePlace();
    await using second = await makePlace();
    deepStrictEqual(
      await Deno.readFile(first.executable),
      await Deno.readFile(second.executable),
    );
  });
}
