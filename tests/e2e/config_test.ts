// The program with a configuration file: SIGHUP, a port that moves, and the commands that look at it.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { tempFolder } from "../support/mtls.ts";
import { runCommand, spawnConnector } from "../support/processes.ts";
import { echo, freePort, refuses, roundTrip, serveTcp, until } from "../support/world.ts";

Deno.test({
  name:
    "a connector exposes what its configuration file says, brings it in line on SIGHUP, and says where options come from",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using folder = await tempFolder();
    await using server = serveTcp(echo);
    await using remote = await spawnConnector();
    const file = path.join(folder.path, "connector.yaml");
    const textOf = (port: number, level: string) =>
      `version: 1
log_level: ${level}
takeover_grace: 3s
services:
  - name: web
    type: local
    source_port: ${port}
    remote_connector_addr: ${remote.address}
    destination_addr: 127.0.0.1:${server.port}
`;
    const [first, second] = [freePort(), freePort()];
    await Deno.writeTextFile(file, textOf(first, "debug"), { mode: 0o600 });
    const checked = await runCommand(["config", "check", file]);
    deepStrictEqual(checked, {
      code: 0,
      signal: null,
      stdout: `${file}: 2 options, 1 service, no mistake\n`,
      stderr: "",
    });

    await using local = await spawnConnector({ args: [`--config=${file}`] });
    const api = ["--api", `http://127.0.0.1:${local.httpPort}`];
    const waited = await runCommand(["wait", "web", "--for=15s", ...api]);
    strictEqual(waited.code, 0, waited.stderr);
    await roundTrip(first, { length: 1000 });
    ok(local.logs().includes(" DEBUG "));
    match((await runCommand(["list", ...api])).stdout, /\nweb +\S+ +local +file +complete /);
    const removed = await runCommand(["remove", "web", ...api]);
    strictEqual(removed.code, 1);
    match(
      removed.stderr,
      /^error: Cannot remove service "web": it is in the configuration file, take it out there\n/,
    );

    await Deno.writeTextFile(file, textOf(second, "loud"));
    local.signal("SIGHUP");
    await until(() => /changed files refused.*files=settings.*loud/.test(local.logs()), "refused");
    await roundTrip(first, { length: 1000 });

    await Deno.writeTextFile(file, textOf(second, "info"));
    local.signal("SIGHUP");
    await until(
      () => /changed options need a restart.*options=log_level/.test(local.logs()),
      "told",
    );
    strictEqual((await runCommand(["wait", "web", "--for=15s", ...api])).code, 0);
    await roundTrip(second, { length: 1000 });
    await until(() => refuses(first), "the former port is closed");
    const { stdout } = await runCommand(["config", "show", ...api]);
    match(stdout, /^OPTION.*\ngrpc_bind +127\.0\.0\.1:0 +--grpc-bind\n/);
    match(stdout, /\nlog_level +debug +\S*connector\.yaml:2:12\n/);
    match(stdout, /\ntakeover_grace +3s +\S*connector\.yaml:3:17\n/);
    match(stdout, /\nchanged in the file, and in force after a restart: log_level\n$/);
  },
});
