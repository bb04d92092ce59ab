// `connector forward` as a program of its own: what it carries, that it listens nowhere but for its service, and what it
// shows on a terminal and elsewhere.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { commandLine, spawnConnector, startCommand } from "../../support/processes.ts";
import { TerminalProgram } from "../../support/terminal.ts";
import { echo, freePort, refuses, roundTrip, serveTcp, until } from "../../support/world.ts";

for (const type of ["local", "remote"] as const) {
  Deno.test(`forward ${type} carries, without a port of its own, and leaves nothing behind`, async () => {
    await using server = serveTcp(echo);
    await using far = await spawnConnector();
    const port = freePort();
    const forwarding = ["forward", type, `${port}:127.0.0.1:${server.port}`];
    await using child = startCommand([...forwarding, "--to", far.address]);
    await child.waitFor(/ \| up\n/);
    await roundTrip(port, { length: 2048 });
    strictEqual((await far.rest.list()).length, 1);
    if (Deno.build.os === "linux") {
      strictEqual(await listeners(child.pid), type === "remote" ? 1 : 0);
    }
    const { code } = await child.stop({ signal: "SIGINT" });
    strictEqual(code, 0);
    match(
      child.stdout,
      / \| up \| 0 open, 1 in all \| in 2\.0 KiB \| out 2\.0 KiB\nEnded after 1 connection\n$/,
    );
    ok(!child.stdout.includes("\u001b"), child.stdout);
    strictEqual(child.stderr, "");
    await until(
      async () => (await far.rest.list()).length === 0,
      "the other side has forgotten it",
    );
    strictEqual(await refuses(port), true);
  });
}

/** How many TCP ports a process listens on. */
async function listeners(pid: number): Promise<number> {
  const inodes = new Set<string>();
  for await (const { name } of Deno.readDir(`/proc/${pid}/fd`)) {
    const target = await Deno.readLink(`/proc/${pid}/fd/${name}`).catch(() => "");
    inodes.add(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? "");
  }
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => Deno.readTextFile(`/proc/${pid}/net/${name}`)),
  );
  const LISTENING = "0A";
  return tables.join("\n").split("\n").map((line) => line.trim().split(/\s+/))
    .filter(([, , , state, , , , , , inode = ""]) => state === LISTENING && inodes.has(inode))
    .length;
}

Deno.test("a port that is in use here ends forward at once, with the reason", async () => {
  await using server = serveTcp(echo);
  await using child = startCommand([
    ...["forward", "remote", `${server.port}:localhost:1`, "--to", "127.0.0.1:1"],
  ]);
  const { code } = await child.exited;
  strictEqual(code, 1);
  match(child.stderr, /^error: Cannot expose service "localhost:1".*in use/);
  deepStrictEqual(child.stdout, "");
});

Deno.test("forward says why connections fail, each reason once", async () => {
  await using far = await spawnConnector();
  const [port, closed] = [freePort(), freePort()];
  await using child = startCommand([
    ...["forward", "local", `${port}:127.0.0.1:${closed}`, "--to", far.address],
  ]);
  await child.waitFor(/ \| up\n/);
  for (let visits = 0; visits < 2; visits++) await roundTrip(port).catch(() => {});
  await child.waitFor(/ \| a connection failed: Cannot connect to 127\.0\.0\.1:\d+: .*refused\n/);
  await child.stop({ signal: "SIGINT" });
  strictEqual(child.stdout.match(/a connection failed/g)?.length, 1, child.stdout);
});

if (Deno.build.os === "linux") {
  Deno.test("on a terminal forward shows where it leads, and one line that changes", async () => {
    await using server = serveTcp(echo);
    await using far = await spawnConnector();
    const port = freePort();
    const { command, options } = commandLine([
      ...["forward", "local", `${port}:127.0.0.1:${server.port}`, "--to", far.address],
    ]);
    await using terminal = new TerminalProgram(command, { ...options, columns: 80 });
    await terminal.waitFor(/ -> 127\.0\.0\.1:\d+\n/);
    await terminal.waitFor(/up \| 0 open, 0 in all \| in 0 B \(0 B\/s\) \| out 0 B \(0 B\/s\)/);
    await roundTrip(port, { length: 2048 });
    await terminal.waitFor(/0 open, 1 in all \| in 2\.0 KiB/);
    strictEqual(terminal.output.split("\n").length, 2, terminal.output);
    terminal.type("\u0003");
    const { code } = await terminal.exited;
    strictEqual(code, 0);
    match(terminal.output, /in 2\.0 KiB \| out 2\.0 KiB\nEnded after 1 connection\n$/);
  });
}
