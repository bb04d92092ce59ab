// What signals do to a connector with an open connection: which ones ask it to stop, and how many count as one request.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { runProgram } from "../support/child.ts";
import { tempFolder } from "../support/mtls.ts";
import { exposeService, spawnConnector, spawnPair, startCommand } from "../support/processes.ts";
import { echo, serveTcp, until, writeAll } from "../support/world.ts";

/** Far above what a test takes. */
const LONG = ["--drain-timeout=60s"];

Deno.test({
  name: "one Ctrl-C that a wrapper hands on once more lets open connections finish",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using server = serveTcp(echo);
    await using pair = await spawnPair({ local: { args: LONG } });
    const { local, remote } = pair;
    const { port } = await exposeService(local, {
      to: remote.address,
      type: "remote",
      destination: server.port,
    });
    using visitor = await Deno.connect({ port });
    await echoes(visitor);
    local.signal("SIGINT");
    local.signal("SIGINT");
    local.signal("SIGTERM");
    await until(() => /connector stopping/.test(local.logs()), "it stops");
    await echoes(visitor);
    await visitor.closeWrite();
    strictEqual(await visitor.read(new Uint8Array(1)), null);
    deepStrictEqual(await local.stop("SIGCONT"), { code: 0, signal: null });
    strictEqual(/connector stops waiting/.test(local.logs()), false);
  },
});

Deno.test({
  name:
    "SIGHUP asks for a reload without a terminal, and ends nothing, as nohup wants it; nor does a reader of the log that leaves",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using connector = await spawnConnector();
    connector.signal("SIGHUP");
    connector.signal("SIGPIPE");
    await until(() => /reading files again signal=SIGHUP/.test(connector.logs()), "it reloads");
    strictEqual((await connector.rest.request("GET", "/health")).status, 200);
    deepStrictEqual(await connector.stop("SIGTERM"), { code: 0, signal: null });
    match(connector.logs(), /connector stopping signal=SIGTERM/);
  },
});

Deno.test({
  name: "a request to end that comes during the start is followed, and nothing is started",
  ignore: Deno.build.os === "windows",
  async fn() {
    const args = ["run", "--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];
    // Soon after the listener for signals is there, and long before that.
    for (const ms of [60, 140, 220]) {
      await using child = startCommand(args);
      await new Promise((resolve) => setTimeout(resolve, ms));
      const { code, signal } = await child.stop({ signal: "SIGTERM" });
      // What has not begun is ended by the system.
      deepStrictEqual([code, signal], signal === null ? [0, null] : [143, "SIGTERM"]);
      strictEqual(/error|defect/.test(child.stderr), false, child.stderr);
    }
  },
});

Deno.test({
  name: "a request to end is followed at once while the start waits for a certificate",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempFolder();
    const pipe = path.join(folder.path, "pipe");
    strictEqual((await runProgram("mkfifo", { args: [pipe] })).code, 0);
    const certificates = ["root-cert", "server-cert", "server-key"].map((name) =>
      `--${name}-path=${pipe}`
    );
    const binds = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];
    await using child = startCommand(["run", ...binds, ...certificates]);
    // It is opened when the connector has opened it.
    using _writer = await Deno.open(pipe, { write: true });
    // Had it waited, it would have given up with code 1.
    deepStrictEqual(await child.stop({ signal: "SIGTERM" }), { code: 0, signal: null });
    match(child.stderr, /^\S+ INFO +connector stopping signal=SIGTERM\n$/);
  },
});

async function echoes(visitor: Deno.TcpConn): Promise<void> {
  await writeAll(visitor, new Uint8Array([1]));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
}
