// Signals from terminals, wrappers and containers: one Ctrl-C is one request to drain, however often it arrives; so is
// a closed terminal; nohup is respected; and a connector can be the first process of a container.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { Child } from "../support/child.ts";
import { tempFolder } from "../support/mtls.ts";
import { RestClient, ROOT, spawnConnector } from "../support/processes.ts";
import { echo, freePort, refuses, serveTcp, until, writeAll } from "../support/world.ts";
import { Terminal } from "./terminals.ts";
import { testAsRoot } from "./tunnels.ts";

const DENO = Deno.execPath();
const CONNECTOR = `${DENO} run --quiet -P main.ts`;

for (
  const [wrapper, command] of [
    ["a shell", CONNECTOR],
    ["npx and deno task", `npx -y deno@${Deno.version.deno} task connector`],
    ["deno task", `${DENO} task connector`],
    ["timeout", `timeout 100 ${CONNECTOR}`],
    ["timeout, in the foreground", `timeout --foreground 100 ${CONNECTOR}`],
  ] as const
) {
  for (const [how, act] of [["Ctrl-C", "\x03"], ["a closed terminal", undefined]] as const) {
    Deno.test(`${how} under ${wrapper} lets an open connection finish`, async () => {
      await using world = await open((flags) => `${command} run ${flags}`);
      const { terminal, visitor, grpcPort } = world;
      if (act === undefined) await terminal.close();
      else await terminal.type(act);
      await until(() => refuses(grpcPort), "it stops");
      // Longer than any wrapper takes to send the signal once more.
      for (let left = 5; left > 0; left -= 1) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        await echoes(visitor);
      }
      await visitor.closeWrite();
      strictEqual(await visitor.read(new Uint8Array(1)), null);
    });
  }
}

Deno.test("who is run by nohup outlives the terminal", async () => {
  await using folder = await tempFolder();
  const log = path.join(folder.path, "log");
  const line = (flags: string) =>
    `nohup ${CONNECTOR} run ${flags} >${log} 2>&1 & echo PID=$!; wait`;
  await using world = await open(line);
  const [, pid] = await world.terminal.shows(/PID=(\d+)/);
  await world.terminal.close();
  await echoes(world.visitor);
  strictEqual(await refuses(world.grpcPort), false);
  Deno.kill(Number(pid), "SIGTERM");
  await world.visitor.closeWrite();
  strictEqual(await world.visitor.read(new Uint8Array(1)), null);
  await until(() => refuses(world.grpcPort), "it has stopped");
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  testAsRoot(
    `the first process of a container: ${signal} ends it, other signals do not`,
    async () => {
      const args = [
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        DENO,
        "run",
        "--quiet",
        "-P",
      ];
      const binds = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];
      await using child = new Child("unshare", {
        args: [...args, "main.ts", "run", ...binds],
        cwd: ROOT,
      });
      const [, port] = await child.waitFor(/connector started .*http=127\.0\.0\.1:(\d+)/);
      const children = await Deno.readTextFile(`/proc/${child.pid}/task/${child.pid}/children`);
      const pid = Number(children.trim());
      using rest = new RestClient(`http://127.0.0.1:${port}`);
      for (const other of ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const) {
        Deno.kill(pid, other);
        strictEqual((await rest.request("GET", "/health")).status, 200);
      }
      Deno.kill(pid, signal);
      deepStrictEqual(await child.exited, { code: 0, signal: null });
    },
  );
}

/** A connector in a terminal, and a visitor whose connection through it is open. */
async function open(line: (flags: string) => string): Promise<
  { terminal: Terminal; visitor: Deno.TcpConn; grpcPort: number } & AsyncDisposable
> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const peer = stack.use(await spawnConnector());
  const [grpcPort, httpPort, port] = [freePort(), freePort(), freePort()];
  const flags = `--grpc-bind=127.0.0.1:${grpcPort} --http-bind=127.0.0.1:${httpPort}`;
  const terminal = stack.use(new Terminal(line(`${flags} --drain-timeout=60s`)));
  await until(async () => !await refuses(httpPort), "it has started", { timeoutMs: 60_000 });
  const rest = stack.use(new RestClient(`http://127.0.0.1:${httpPort}`));
  const { status, body } = await rest.request("POST", "/expose?wait=10", {
    body: {
      name: "open",
      type: "remote",
      source_port: port,
      remote_connector_addr: peer.address,
      destination_addr: `127.0.0.1:${server.port}`,
    },
  });
  strictEqual(status, 200, body);
  const visitor = stack.use(await Deno.connect({ port }));
  await echoes(visitor);
  const kept = stack.move();
  return { terminal, visitor, grpcPort, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function echoes(visitor: Deno.TcpConn): Promise<void> {
  await writeAll(visitor, new Uint8Array([1]));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
}
