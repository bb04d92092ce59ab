// The program with a configuration file: SIGHUP, a port that moves, and what it says of its options. What files may say is
// tested in tests/unit/config_parse_test.ts, and everything else a reload does in tests/integration/config_file_test.ts.

import { match, strictEqual } from "node:assert/strict";
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
    const file = path.join(folder.path, "connector.yaml");
    // It is its own peer.
    const grpcBind = `127.0.0.1:${freePort()}`;
    const textOf = (port: number, level: string) =>
      `version: 1
log_level: ${level}
services:
  - name: web
    type: local
    source_port: ${port}
    remote_connector_addr: ${grpcBind}
    destination_addr: 127.0.0.1:${server.port}
`;
    const [first, second] = [freePort(), freePort()];
    await Deno.writeTextFile(file, textOf(first, "debug"), { mode: 0o600 });
    await using connector = await spawnConnector({ grpcBind, args: [`--config=${file}`] });
    const isComplete = async (port: number) => {
      const [web] = await connector.rest.list();
      return web?.source_port === port && web.status === "COMPLETE";
    };
    await until(() => isComplete(first), "it is exposed");
    await roundTrip(first, { length: 1000 });
    match(connector.logs(), / DEBUG /);

    await Deno.writeTextFile(file, textOf(second, "loud"));
    connector.signal("SIGHUP");
    await until(
      () => /changed files refused.*files=settings.*loud/.test(connector.logs()),
      "it is refused",
    );
    await roundTrip(first, { length: 1000 });

    await Deno.writeTextFile(file, textOf(second, "info"));
    connector.signal("SIGHUP");
    await until(() => isComplete(second), "it has moved");
    await roundTrip(second, { length: 1000 });
    await until(() => refuses(first), "the former port is closed");
    match(connector.logs(), /changed options need a restart.*options=log_level/);

    const api = `http://127.0.0.1:${connector.httpPort}`;
    const { code, stdout } = await runCommand(["config", "show", "--api", api]);
    strictEqual(code, 0);
    match(stdout, /^OPTION.*\ngrpc_bind +127\.0\.0\.1:\d+ +--grpc-bind\n/);
    match(stdout, /\nlog_level +debug +\S*connector\.yaml:2:12\n/);
    match(stdout, /\nchanged in the file, and in force after a restart: log_level\n$/);
  },
});
