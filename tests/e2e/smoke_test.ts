// What every build must be able to do, in one test: version, help, certificates, health over
// TLS, and services of both types through two connectors. `deno task build` runs it with the executable that it made.

import { match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { exposeService, runCommand, spawnPair, startCommand } from "../support/processes.ts";
import { freePort, readAll, serveTcp, writeAll } from "../support/world.ts";

Deno.test("a connector says its version, makes certificates, is healthy and carries a service", async () => {
  const succeed = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCommand(args);
    strictEqual(code, 0, stderr);
    return stdout;
  };
  match(await succeed("--version"), /^connector \d+\.\d+\.\d+ \(.+\)\n$/);
  match(await succeed("--help"), /^Usage: connector /);

  const folder = await Deno.makeTempDir();
  try {
    const at = (name: string) => path.join(folder, name);
    await succeed("generate-certs", "--ca", folder);
    await succeed(
      ...["generate-certs", "--leaf", "--root-ca", at("root.cert"), "--root-key", at("root.key")],
      ...["--dns-name=localhost", "--ip-address=127.0.0.1", folder],
    );
    const root = `--root-cert-path=${at("root.cert")}`;
    const httpPort = freePort();
    await using secure = startCommand([
      ...["run", "--grpc-bind=127.0.0.1:0", `--http-bind=127.0.0.1:${httpPort}`, root],
      ...[`--server-cert-path=${at("leaf.cert")}`, `--server-key-path=${at("leaf.key")}`],
    ]);
    await secure.waitFor(/connector started/);
    const url = `--url=https://localhost:${httpPort}`;
    strictEqual(await succeed("health", url, root), "healthy\n");
    const distrustful = await runCommand(["health", url]);
    strictEqual(distrustful.code, 1, "its root is not one of the system's");
    match(distrustful.stderr, /^error: Cannot reach /);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }

  await using service = serveTcp(async (conn) => await writeAll(conn, await readAll(conn)));
  await using pair = await spawnPair();
  const health = await succeed("health", `--url=http://127.0.0.1:${pair.local.httpPort}`);
  strictEqual(health, "healthy\n");
  for (const type of ["local", "remote"] as const) {
    const { port } = await exposeService(pair.local, {
      to: pair.remote.address,
      type,
      destination: service.port,
    });
    using conn = await Deno.connect({ port });
    await writeAll(conn, new TextEncoder().encode(type));
    await conn.closeWrite();
    strictEqual(new TextDecoder().decode(await readAll(conn)), type);
  }
});
