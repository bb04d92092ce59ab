// The state file as containers have it: itself a mount point, on a full disk, in a folder of another user. In mount
// namespaces of their own (root).

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { contentOf } from "../../src/state/in_place.ts";
import { Child } from "../support/child.ts";
import { tempFolder } from "../support/mtls.ts";
import { type ConnectorProcess, ROOT, spawnConnector } from "../support/processes.ts";
import { freePort } from "../support/world.ts";
import { testAsRoot } from "./tunnels.ts";

const EMPTY = '{"version":1,"services":[]}\n';

/** What runs a program after a line of a shell, in a mount namespace of its own; `$d` is the folder. */
function mounting(folder: string, line: string): string[] {
  return ["unshare", "--mount", "sh", "-c", `set -e; d=${folder}; ${line}; exec "$@"`, "sh"];
}

/** What takes root's right to every file away. */
const ORDINARY_USER = [
  "setpriv",
  "--bounding-set=-dac_override,-dac_read_search,-fowner",
  "--inh-caps=-all",
];

function test(name: string, run: (folder: string) => Promise<void>): void {
  testAsRoot(`state file: ${name}`, async () => {
    await using folder = await tempFolder();
    await run(folder.path);
  });
}

async function expose({ rest }: ConnectorProcess): Promise<[status: number, body: string]> {
  const { status, body } = await rest.request("POST", "/expose", {
    body: {
      name: "kept",
      type: "local",
      source_port: freePort(),
      // Nobody is there.
      remote_connector_addr: "127.0.0.1:1",
      destination_addr: "127.0.0.1:1",
    },
  });
  return [status, body];
}

async function idsOf({ rest }: ConnectorProcess): Promise<string[]> {
  return (await rest.list()).map(({ id }) => id).sort();
}

/** A connector that cannot start: what it says. */
async function refusalOf(file: string, through: string[]): Promise<string> {
  const [program = "", ...args] = through;
  const binds = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0", `--state-file=${file}`];
  const connector = [Deno.execPath(), "run", "--quiet", "-P", "main.ts", "run", ...binds];
  await using child = new Child(program, { args: [...args, ...connector], cwd: ROOT });
  const { code } = await child.exited;
  strictEqual(code, 1, child.stderr);
  return child.stderr.replaceAll(path.dirname(file), "DIR");
}

for (
  const [what, line, beside] of [
    ["mounted by itself", "", ["services.json", "services.json.lock"]],
    [
      "mounted by itself in a read-only folder",
      "; mount --bind -o remount,ro $d/app",
      ["services.json"],
    ],
  ] as const
) {
  test(`${what}, it keeps what is exposed, and belongs to one connector`, async (folder) => {
    const [volume, app] = [path.join(folder, "volume.json"), path.join(folder, "app")];
    await Deno.writeTextFile(volume, EMPTY);
    await Deno.mkdir(app);
    const file = path.join(app, "services.json");
    await Deno.writeTextFile(file, "");
    const { ino } = await Deno.stat(volume);
    const mount = `mount --bind $d/app $d/app; mount --bind ${volume} ${file}${line}`;
    const through = mounting(folder, mount);
    const args = [`--state-file=${file}`];
    const ids: string[] = [];
    for (let start = 0; start < 2; start += 1) {
      await using connector = await spawnConnector({ args, through });
      deepStrictEqual(await idsOf(connector), ids.toSorted());
      for (let count = 0; count < 3; count += 1) {
        const [status, id] = await expose(connector);
        strictEqual(status, 200, id);
        ids.push(id);
      }
      const removed = ids.shift();
      strictEqual((await connector.rest.request("DELETE", `/expose/${removed}`)).status, 200);
      // Another container has a folder of its own, and the same file.
      const other = path.join(folder, "other");
      await Deno.mkdir(other, { recursive: true });
      await Deno.writeTextFile(path.join(other, "services.json"), "");
      const elsewhere = path.join(other, "services.json");
      match(
        await refusalOf(elsewhere, mounting(folder, `mount --bind ${volume} ${elsewhere}`)),
        /another connector uses it/,
      );
    }
    strictEqual((await Deno.stat(volume)).ino, ino);
    const kept = JSON.parse(await Deno.readTextFile(volume)).services;
    deepStrictEqual(kept.map(({ id }: { id: string }) => id).sort(), ids.toSorted());
    deepStrictEqual(
      (await Array.fromAsync(Deno.readDir(app))).map(({ name }) => name).sort(),
      beside,
    );
  });
}

for (
  const [what, line, said] of [
    [
      "a read-only mount",
      `echo '${EMPTY.trim()}' >$d/v; touch $d/s; mount --bind $d/v $d/s; mount --bind -o remount,ro $d/s`,
      'error: Cannot write state file "DIR/s": the file system is read-only\n' +
      "hint: Name a file in a folder that the connector's user may write to\n",
    ],
    [
      "a ConfigMap",
      `mkdir $d/..1; ln -s ..1 $d/..data; echo '${EMPTY.trim()}' >$d/..1/s; ln -s ..data/s $d/s; mount --bind $d $d; mount --bind -o remount,ro $d`,
      'error: Cannot write state file "DIR/s": the file system is read-only\n' +
      "hint: Name a file in a folder that the connector's user may write to\n",
    ],
    [
      "a new file on a read-only file system",
      "mount --bind $d $d; mount --bind -o remount,ro $d",
      'error: Cannot lock state file "DIR/s": the file system is read-only\n' +
      "hint: Name a file in a folder that the connector's user may write to\n",
    ],
    [
      "a new file on a full disk",
      "mount -t tmpfs -o size=16k tmpfs $d; cat /dev/zero >$d/full 2>/dev/null || true",
      'error: Cannot write state file "DIR/s": no space is left on the device\n',
    ],
    [
      "a folder that Docker has made in its place",
      "mkdir $d/s",
      'error: Cannot read state file "DIR/s": it is not a file\n' +
      "hint: Docker creates a folder if the file to be mounted does not exist: create the file first\n",
    ],
    [
      "a file of somebody else in a folder of somebody else",
      `echo '${EMPTY.trim()}' >$d/s; chown 65534 $d $d/s; chmod 755 $d; chmod 644 $d/s`,
      'error: Cannot lock state file "DIR/s": permission denied\n' +
      "hint: Name a file in a folder that the connector's user may write to\n",
    ],
    [
      "a new file in a folder of somebody else, where only its lock is",
      "touch $d/s.lock; chmod 666 $d/s.lock; chown 65534 $d; chmod 755 $d",
      'error: Cannot write state file "DIR/s": permission denied\n',
    ],
    [
      "a file of somebody else that may not be read",
      `echo '${EMPTY.trim()}' >$d/s; chown 65534 $d/s; chmod 600 $d/s`,
      'error: Cannot read state file "DIR/s": permission denied\n',
    ],
  ] as const
) {
  test(`${what} ends the start with a sentence`, async (folder) => {
    const through = [...mounting(folder, line), ...ORDINARY_USER];
    strictEqual(await refusalOf(path.join(folder, "s"), through), said);
  });
}

test("that anybody may write, in a folder of somebody else, is written in place", async (folder) => {
  const file = path.join(folder, "s");
  const line = `echo '${EMPTY.trim()}' >$d/s; chown 65534 $d $d/s; chmod 755 $d; chmod 666 $d/s`;
  await using connector = await spawnConnector({
    args: [`--state-file=${file}`],
    through: [...mounting(folder, line), ...ORDINARY_USER],
  });
  const [, id] = await expose(connector);
  match(await Deno.readTextFile(file), new RegExp(id));
  deepStrictEqual((await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name), ["s"]);
});

for (const mounted of ["its folder", "itself"] as const) {
  test(`mounted as ${mounted}, a full disk refuses in a sentence, loses nothing, and works again with room`, async (folder) => {
    const disk = path.join(folder, "disk");
    await Deno.mkdir(disk);
    const file = path.join(mounted === "itself" ? folder : disk, "services.json");
    // As the namespace goes with the connector, so does the disk.
    const mount = `mount -t tmpfs -o size=64k tmpfs $d/disk; echo '${EMPTY.trim()}' >$d/disk/v; ` +
      (mounted === "itself"
        ? `touch ${file}; mount --bind $d/disk/v ${file}`
        : `mv $d/disk/v ${file}`);
    await using connector = await spawnConnector({
      args: [`--state-file=${file}`],
      through: mounting(folder, mount),
    });
    const [, first] = await expose(connector);
    const inside = async (line: string) => {
      const args = ["--mount", `--target=${connector.pid}`, "sh", "-c", line];
      await using child = new Child("nsenter", { args });
      await child.exited;
      return child.stdout;
    };
    await inside(`cat /dev/zero >${disk}/full`);
    const reason = `Cannot write state file "${file}": no space is left on the device\n`;
    const ids = [first];
    let [status, answer] = await expose(connector);
    // The last block of a file that is written in place has room for some.
    for (; status === 200 && ids.length < 20; [status, answer] = await expose(connector)) {
      ids.push(answer);
    }
    deepStrictEqual([status, answer], [500, `Cannot expose service "kept": ${reason}`]);
    if (mounted === "its folder") {
      const { status, body } = await connector.rest.request("DELETE", `/expose/${first}`);
      deepStrictEqual([status, body], [500, `Cannot remove the service: ${reason}`]);
    }
    deepStrictEqual(await idsOf(connector), ids.toSorted());
    // What was refused is taken back in the background: a file that is written in place may be in the middle of that.
    const written = new TextEncoder().encode(await inside(`cat ${file}`));
    const { services } = JSON.parse(new TextDecoder().decode(await contentOf(written)));
    deepStrictEqual(services.map(({ id }: { id: string }) => id).sort(), ids.toSorted());
    await inside(`rm ${disk}/full`);
    [status, answer] = await expose(connector);
    strictEqual(status, 200, answer);
    match(await inside(`cat ${file}`), new RegExp(answer));
  });
}

/** What makes one system call fail on one file, as a file server or a device does. */
function failing(file: string, call: string, error: string): string[] {
  // With -D the connector is the process that was started, and gets its signals.
  const flags = ["-D", "-qq", "--follow-forks", "--seccomp-bpf", "--output=/dev/null"];
  const what = [`--trace=${call}`, `--trace-path=${file}`, `--inject=${call}:error=${error}`];
  return ["strace", ...flags, ...what];
}

for (
  const [call, error, reason] of [
    ["write", "ESTALE", "stale file handle"],
    ["write", "EDQUOT", "disk quota exceeded"],
    ["fsync", "EIO", "the device has failed (EIO)"],
  ] as const
) {
  test(`${error} is an answer with the reason, and nothing is lost`, async (folder) => {
    const file = path.join(folder, "services.json");
    const args = [`--state-file=${file}`];
    {
      await using connector = await spawnConnector({ args });
      await expose(connector);
    }
    const before = await Deno.readTextFile(file);
    await using connector = await spawnConnector({
      args,
      through: failing(`${file}.new`, call, error),
    });
    deepStrictEqual(await expose(connector), [
      500,
      `Cannot expose service "kept": Cannot write state file "${file}": ${reason}\n`,
    ]);
    strictEqual(await Deno.readTextFile(file), before);
    strictEqual((await idsOf(connector)).length, 1);
  });
}

test("on a file system that cannot sync a folder, it works", async (folder) => {
  const file = path.join(folder, "services.json");
  await using connector = await spawnConnector({
    args: [`--state-file=${file}`],
    through: failing(folder, "fsync", "EINVAL"),
  });
  const [status, id] = await expose(connector);
  strictEqual(status, 200, id);
  match(await Deno.readTextFile(file), new RegExp(id));
});

for (
  const [what, line, said] of [
    [
      "on a full disk",
      "mount -t tmpfs -o size=8k tmpfs $d; cat /dev/zero >$d/full 2>/dev/null || true",
      /^error: Cannot write \S*"DIR\/certs\S*": no space is left on the device\n/,
    ],
    [
      "on a read-only file system",
      "mount --bind $d $d; mount --bind -o remount,ro $d",
      /^error: Cannot (write|make) .*DIR.*: the file system is read-only\n/,
    ],
  ] as const
) {
  testAsRoot(`generate-certs ${what} ends with a sentence`, async () => {
    await using folder = await tempFolder();
    const [program = "", ...args] = mounting(folder.path, line);
    const command = ["run", "--quiet", "-P", "main.ts", "generate-certs", "--ca"];
    await using child = new Child(program, {
      args: [...args, Deno.execPath(), ...command, path.join(folder.path, "certs")],
      cwd: ROOT,
    });
    strictEqual((await child.exited).code, 1);
    match(child.stderr.replaceAll(folder.path, "DIR"), said);
  });
}
