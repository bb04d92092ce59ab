// Self-extracting executables, with a tiny script in the runtime's place: what they run, where they unpack to, and
// that nobody else has a hand in it. That a whole connector works so is what the end-to-end tests show.

import { deepStrictEqual, match, notStrictEqual, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { Child, runProgram } from "../support/child.ts";
import {
  makePlace,
  type Place,
  RUNTIME,
  start,
  unpacked,
  WHOLE,
} from "../support/self_extracting.ts";
import { until } from "../support/world.ts";

// Windows has neither sh nor such executables.
const supported = Deno.build.os !== "windows";
/** A user who owns nothing. */
const NOBODY = 65534;

/** Puts a script in the place of a program that the executable uses; resolves with the PATH that has it. */
async function replaceProgram(place: Place, name: string, script: string): Promise<string> {
  const folder = path.join(place.folder, "bin");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(path.join(folder, name), `#!/bin/sh\n${script}`, { mode: 0o755 });
  return `${folder}:${Deno.env.get("PATH")}`;
}

/** Path of a program. */
async function whereIs(program: string): Promise<string> {
  const { stdout } = await runProgram("sh", { args: ["-c", `command -v ${program}`] });
  return stdout.trim();
}

/** As a word of a shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

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
  for (let round = 0; round < 5; round++) {
    const started = await Promise.all(
      Array.from({ length: 12 }, () => start(place, { args: ["exit0"] })),
    );
    for (const { code, stderr } of started) deepStrictEqual([code, stderr], [0, ""]);
    deepStrictEqual(unpacked(place.store), WHOLE);
    await Deno.remove(path.dirname(place.store), { recursive: true });
  }
});

test("what another process renames or removes while it looks is no failure", async (place) => {
  await start(place);
  await Deno.remove(runtimeIn(place.store));
  const temporary = path.join(place.store, ".unpack.abcdef");
  await Deno.writeTextFile(temporary, "half");
  // Another process is faster: what find is asked for is gone when it looks.
  const PATH = await replaceProgram(
    place,
    "find",
    `rm -f ${quote(temporary)}\nexec ${await whereIs("find")} "$@"\n`,
  );
  const { code, stderr } = await start(place, { args: ["exit0"], env: { PATH } });
  deepStrictEqual([code, stderr], [0, ""]);
  deepStrictEqual(unpacked(place.store), WHOLE);
});

test("what another process has just begun is left alone, also by a find that rounds days up", async (place) => {
  await start(place);
  await Deno.remove(runtimeIn(place.store));
  const [old, fresh] = ["old123", "new456"].map((end) => path.join(place.store, `.unpack.${end}`));
  ok(old && fresh);
  await Deno.writeTextFile(old, "half");
  await Deno.writeTextFile(fresh, "half");
  await Deno.utime(old, 0, 0);
  // As find of BSD and macOS has it: more than N days, after a day that has only begun counts as one.
  const PATH = await replaceProgram(
    place,
    "find",
    `for each in "$@"; do
  shift
  case $each in
    -mtime) set -- "$@" -mmin ;;
    +0) set -- "$@" -9999999 ;;
    +[1-9]) set -- "$@" "+$((\${each#+} * 24 * 60))" ;;
    *) set -- "$@" "$each" ;;
  esac
done
exec ${await whereIs("find")} "$@"
`,
  );
  strictEqual((await start(place, { args: ["exit0"], env: { PATH } })).code, 0);
  deepStrictEqual(unpacked(place.store).map(({ name }) => name), [
    ".unpack.new456",
    ...WHOLE.map(({ name }) => name),
  ]);
});

test("folders are closed to others from the moment that they are made", async (place) => {
  // As mkdir of busybox has it: the mode is set after the folder is made. Here nobody sets it.
  const PATH = await replaceProgram(
    place,
    "mkdir",
    `[ "$1" != -m ] || shift 2\nexec ${await whereIs("mkdir")} "$@"\n`,
  );
  const { code, stderr } = await runProgram("sh", {
    args: ["-c", `umask 000; exec ${quote(place.executable)} exit0`],
    env: { ...place.env, PATH },
  });
  deepStrictEqual([code, stderr], [0, ""]);
  for (let folder = place.store; folder !== place.env.HOME; folder = path.dirname(folder)) {
    strictEqual((Deno.statSync(folder).mode ?? 0) & 0o777, 0o700, folder);
  }
});

test("a folder that hands down its group is as good as another", async (place) => {
  const cache = path.dirname(place.store);
  await Deno.mkdir(cache, { recursive: true });
  await Deno.chmod(cache, 0o2755);
  const { code, stderr } = await start(place, { args: ["exit0"] });
  deepStrictEqual([code, stderr], [0, ""]);
});

test("options that others put into GZIP, and a shell that ignores SIGPIPE, do no harm", async (place) => {
  // More than a pipe holds stands behind the runtime, so that tail has more to write than head takes.
  await using big = await makePlace({ programBytes: 1024 * 1024 });
  for (const { executable, env } of [place, big]) {
    const { code, stderr } = await runProgram("sh", {
      args: ["-c", `trap '' PIPE; exec ${quote(executable)} exit0`],
      env: { ...env, GZIP: "-9" },
    });
    deepStrictEqual([code, stderr], [0, ""]);
  }
});

test("without find it does not start, and says why", async (place) => {
  for (let again = 0; again < 2; again++) {
    const PATH = await replaceProgram(place, "find", "exit 1\n");
    const { code, stderr } = await start(place, { args: ["exit0"], env: { PATH } });
    strictEqual(code, 1);
    match(stderr, /^error: Cannot (tell who may change|unpack into) .*\nhint: .*\n$/);
    await start(place);
  }
});

test("what was cut off is unpacked again", async (place) => {
  await start(place);
  const runtime = runtimeIn(place.store);
  await Deno.chmod(runtime, 0o700);
  await Deno.truncate(runtime, 20);
  strictEqual((await start(place, { args: ["exit3"] })).code, 3);
  strictEqual(await Deno.readTextFile(runtime), RUNTIME);
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

for (
  const [what, home] of [
    ["empty", () => ""],
    ["relative", () => "relative"],
    ["a file", (place: Place) => place.executable],
    ["a link that leads nowhere", (place: Place) => path.join(place.folder, "dangling")],
  ] as const
) {
  test(`with a home that is ${what} it unpacks to the folder for temporary files`, async (place) => {
    await Deno.symlink("/proc/nonexistent", path.join(place.folder, "dangling"));
    const cache = path.join(place.folder, `connector-${Deno.uid()}`);
    const env = { HOME: home(place), TMPDIR: place.folder };
    const { code, stderr } = await start(place, { env, args: ["exit3"] });
    deepStrictEqual([code, stderr], [3, ""]);
    deepStrictEqual(unpacked(path.join(cache, "connector")), WHOLE);
    strictEqual((Deno.statSync(cache).mode ?? 0) & 0o777, 0o700);
  });
}

test("with a home that it may not write to, too, unless it was unpacked there before", async (place) => {
  // Needs setpriv, of util-linux.
  if (Deno.build.os !== "linux") return;
  const { HOME = "" } = place.env;
  const cache = path.join(place.folder, `connector-${Deno.uid()}`);
  // The system's own user may write everywhere, unless that is taken away.
  const started = (home = HOME) =>
    runProgram("setpriv", {
      args: ["--bounding-set=-all", "--inh-caps=-all", place.executable, "exit4"],
      cwd: place.folder,
      env: { ...place.env, HOME: home, TMPDIR: place.folder },
    });
  await Deno.chmod(HOME, 0o500);
  // It cannot be made either, as the home of nobody.
  for (const home of [HOME, path.join(HOME, "nonexistent")]) {
    const { code, stderr } = await started(home);
    deepStrictEqual([code, stderr], [4, ""]);
    deepStrictEqual(unpacked(path.join(cache, "connector")), WHOLE);
    await Deno.remove(cache, { recursive: true });
  }
  await Deno.chmod(HOME, 0o700);
  strictEqual((await started()).code, 4);
  await Deno.chmod(HOME, 0o500);
  strictEqual((await started()).code, 4);
  deepStrictEqual(unpacked(place.store), WHOLE);
  await Deno.chmod(HOME, 0o700);
  strictEqual(await Deno.lstat(cache).catch((error) => error.name), "NotFound");
});

test("a folder for temporary files that others made for us is refused", async (place) => {
  const cache = path.join(place.folder, `connector-${Deno.uid()}`);
  await Deno.mkdir(cache);
  await Deno.chmod(cache, 0o777);
  const { code, stderr } = await start(place, { env: { HOME: "", TMPDIR: place.folder } });
  strictEqual(code, 1);
  match(stderr, /^error: Cannot unpack into .*: others can change .*\nhint: .*XDG_CACHE_HOME/);
  deepStrictEqual([...Deno.readDirSync(cache)], []);
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

test("a folder that a group may write to is refused, wherever on the way it is", async (place) => {
  const shared = path.join(place.folder, "shared");
  const cache = path.join(shared, "mine");
  const link = path.join(place.folder, "link");
  await Deno.mkdir(cache, { recursive: true });
  // The second leads out of the shared folder, in which others could exchange it.
  await Deno.symlink(path.join(place.folder, "real"), path.join(shared, "out"));
  await Deno.mkdir(path.join(place.folder, "real"));
  await Deno.symlink("shared/out", link);
  for (const mode of [0o775, 0o2770, 0o777]) {
    await Deno.chmod(shared, mode);
    for (const way of [shared, cache, path.join(cache, "..", "mine"), link, `${link}/../real`]) {
      const { code, stderr } = await start(place, { env: { XDG_CACHE_HOME: way } });
      strictEqual(code, 1, way);
      match(
        stderr,
        /^error: Cannot unpack into .*: others can change .*shared\nhint: .*chmod go-w/,
      );
    }
  }
  deepStrictEqual([...Deno.readDirSync(cache)], []);
  deepStrictEqual([...Deno.readDirSync(path.join(place.folder, "real"))], []);
  // In a sticky folder nobody can exchange what is ours.
  await Deno.chmod(shared, 0o1775);
  for (const way of [cache, link]) {
    const { code, stderr } = await start(place, {
      env: { XDG_CACHE_HOME: way },
      args: ["exit0"],
    });
    deepStrictEqual([code, stderr], [0, ""]);
  }
});

test("links that lead nowhere, and paths that are none, end with a sentence", async (place) => {
  const loop = path.join(place.folder, "loop");
  await Deno.symlink("loop", loop);
  for (
    const [env, reason] of [
      [{ XDG_CACHE_HOME: loop }, "Cannot tell who may change .*loop"],
      [{ XDG_CACHE_HOME: path.join(loop, "below") }, "Cannot tell who may change .*below"],
      [{ XDG_CACHE_HOME: place.executable }, "Cannot make the folder .*"],
      [{ XDG_CACHE_HOME: `/${"x".repeat(300)}` }, "Cannot make the folder .*"],
      [{ XDG_CACHE_HOME: "/tmp/a\nb" }, "Cannot unpack: .* has control characters"],
      [{ HOME: "/tmp/\u001b[31m" }, "Cannot unpack: .* has control characters"],
    ] as const
  ) {
    const { code, stdout, stderr } = await start(place, { env });
    deepStrictEqual([code, stdout], [1, ""]);
    match(stderr, new RegExp(`^error: ${reason}\nhint: .*\n$`));
  }
});

test("the runtime sees none of the variables that it would obey", async (place) => {
  await using shown = await makePlace({ runtime: "#!/bin/sh\nenv\n" });
  const { code, stdout } = await start(shown, {
    env: {
      HOME: place.env.HOME ?? "",
      SSLKEYLOGFILE: "/tmp/keys",
      NODE_OPTIONS: "--inspect",
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
      DENO_CERT: "/tmp/x=y *\nDENO_B=1",
      DENO_SERVE_ADDRESS: "tcp:0.0.0.0:1",
      DENO_V8_FLAGS: "--prof",
      OTEL_DENO: "true",
      CONNECTOR_LOG_LEVEL: "debug",
      NODENAME: "kept",
    },
  });
  strictEqual(code, 0);
  const names = stdout.split("\n").map((line) => line.split("=", 1)[0] ?? "");
  deepStrictEqual(names.filter((name) => /^(SSLKEY|NODE_|DENO_|OTEL_)/.test(name)).sort(), [
    "DENO_DIR",
    "DENO_NO_PACKAGE_JSON",
    "DENO_NO_UPDATE_CHECK",
  ]);
  ok(names.includes("CONNECTOR_LOG_LEVEL") && names.includes("NODENAME"));
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

  test("a user of the group that may write above the store wins no race", async (place) => {
    const group = 54321;
    const cache = path.join(place.folder, "shared");
    await Deno.chmod(place.folder, 0o755);
    await Deno.mkdir(cache);
    // The folder was good when it was unpacked into.
    strictEqual(
      (await start(place, { env: { XDG_CACHE_HOME: cache }, args: ["exit0"] })).code,
      0,
    );
    const evil = path.join(cache, "evil");
    await Deno.mkdir(evil);
    for (const { name } of Deno.readDirSync(path.join(cache, "connector"))) {
      await Deno.writeTextFile(path.join(evil, name), "#!/bin/sh\necho evil\n", { mode: 0o755 });
      await Deno.chown(path.join(evil, name), NOBODY, group);
    }
    await Deno.chown(evil, NOBODY, group);
    await Deno.chown(cache, null, group);
    await Deno.chmod(cache, 0o775);
    const go = path.join(place.folder, "go");
    await Deno.writeTextFile(go, "");
    const attacker = new Deno.Command("sh", {
      args: [
        "-c",
        `cd ${quote(cache)} && while [ -e ../go ]; do
           mv connector aside && mv evil connector; mv connector evil && mv aside connector
         done 2>/dev/null`,
      ],
      uid: NOBODY,
      gid: group,
    }).spawn();
    try {
      for (let round = 0; round < 30; round++) {
        const { code, stdout } = await start(place, { env: { XDG_CACHE_HOME: cache } });
        deepStrictEqual([code, stdout], [1, ""]);
      }
    } finally {
      await Deno.remove(go);
      await attacker.status;
    }
  });

  test("files of somebody else in the store are replaced", async (place) => {
    await start(place);
    const runtime = runtimeIn(place.store);
    await Deno.chown(runtime, NOBODY, null);
    strictEqual((await start(place, { args: ["exit0"] })).code, 0);
    strictEqual((await Deno.stat(runtime)).uid, 0);
  });
}

// Told to end, it removes what it has begun; killed, it leaves no file that is taken for a whole one.
for (const [signal, left] of [["SIGTERM", 0], ["SIGKILL", 1]] as const) {
  test(`${signal} while it unpacks leaves no half file in the place of a whole one`, async (place) => {
    const flag = (name: string) => path.join(place.folder, name);
    const there = (name: string) => Deno.stat(flag(name)).then(({ isFile }) => isFile, () => false);
    // Stands in for a slow disk: it writes the half, and no more until it may go on.
    const PATH = await replaceProgram(
      place,
      "gzip",
      `echo half
touch ${quote(flag("started"))}
while [ ! -e ${quote(flag("go on"))} ] && kill -0 $PPID 2>/dev/null; do sleep 0.02; done
`,
    );
    await using child = new Child(place.executable, { env: { ...place.env, PATH } });
    await until(() => there("started"), "it unpacks");
    child.kill(signal);
    if (signal === "SIGTERM") await Deno.writeTextFile(flag("go on"), "");
    strictEqual((await child.exited).code, signal === "SIGTERM" ? 143 : 137);
    deepStrictEqual(
      unpacked(place.store).map(({ name }) => name.replace(/\.\w{6}$/, "")),
      Array.from({ length: left }, () => ".unpack"),
    );
    strictEqual((await start(place, { args: ["exit0"] })).code, 0);
    deepStrictEqual(unpacked(place.store).slice(left), WHOLE);
  });
}

test("it starts in a folder that is closed to its user", async (place) => {
  const [closed, home] = ["closed", "home of its own"].map((name) => path.join(place.folder, name));
  ok(closed && home);
  await Deno.chmod(place.folder, 0o711);
  for (const folder of [closed, home]) await Deno.mkdir(folder);
  // Nothing is closed to root.
  const user = Deno.uid() === 0 ? { uid: NOBODY } : {};
  for (const folder of [closed, home]) await Deno.chown(folder, user.uid ?? null, null);
  const { code, stderr } = await new Deno.Command("sh", {
    args: ["-c", `chmod 000 . && exec ${quote(place.executable)} exit0`],
    cwd: closed,
    env: { HOME: home, XDG_CACHE_HOME: "" },
    ...user,
  }).output();
  await Deno.chmod(closed, 0o700);
  deepStrictEqual([code, new TextDecoder().decode(stderr)], [0, ""]);
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
