// Variables of the environment that the runtime obeys by itself: none of them makes it write keys, trust a stranger
// or serve at another address.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { kindOf } from "../../scripts/build_compile.ts";
import { LOOPBACK, makePki, pemOf, tempFolder, writeTls } from "../support/mtls.ts";
import { makeCertificate } from "../support/certificates.ts";
import {
  type ConnectorProcess,
  runCommand,
  spawnConnector,
  type TlsFiles,
} from "../support/processes.ts";
import { freePort, until } from "../support/world.ts";

/** What processes.ts runs instead of the source. */
const EXECUTABLE = Deno.env.get("CONNECTOR_EXECUTABLE") || undefined;

/** Certificates of a new root, on disk. */
async function makeTls(folder: string): Promise<TlsFiles & { rootPath: string }> {
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder, pemOf(root, leaf));
  return { flags, root: root.certificate, rootPath: path.join(folder, "root.cert") };
}

/** What the list says of the one service of a connector. */
async function messageOf(connector: ConnectorProcess): Promise<string> {
  let message: string | undefined;
  await until(async () => {
    message = (await connector.rest.list())[0]?.message;
    return message?.startsWith("no link to the peer: ") ?? false;
  }, "the list says why there is no link");
  return message ?? "";
}

Deno.test("with SSLKEYLOGFILE there is no TLS: a connector and a health check refuse, and say why", async () => {
  await using folder = await tempFolder();
  const { flags, rootPath } = await makeTls(folder.path);
  const keys = path.join(folder.path, "keys");
  const env = { SSLKEYLOGFILE: keys };
  // A self-extracting executable takes the variable away before the runtime sees it.
  const unset = EXECUTABLE !== undefined && await kindOf(EXECUTABLE) === "self-extracting";
  if (unset) {
    await using connector = await spawnConnector({
      tls: { flags, root: await Deno.readTextFile(rootPath) },
      env,
    });
    strictEqual((await connector.rest.request("GET", "/list")).status, 200);
    strictEqual(await Deno.lstat(keys).catch((error) => error.name), "NotFound");
    return;
  }
  const binds = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];
  for (
    const args of [["run", ...binds, ...flags], ["health", `--url=https://localhost:${freePort()}`]]
  ) {
    const { code, stderr } = await runCommand(args, { env });
    strictEqual(code, 1);
    match(
      stderr,
      /^error: Cannot use TLS while SSLKEYLOGFILE is set: .* written to ".*keys"\nhint: Unset .*\n$/,
    );
  }
  strictEqual((await Deno.readTextFile(keys)).length, 0);
});

Deno.test("without TLS there is no session whose keys could be written", async () => {
  await using folder = await tempFolder();
  await using connector = await spawnConnector({
    env: { SSLKEYLOGFILE: path.join(folder.path, "keys") },
  });
  strictEqual((await connector.rest.request("GET", "/list")).status, 200);
});

Deno.test("DENO_SERVE_ADDRESS does not move the REST API", async () => {
  for (const prefix of ["", "duplicate,"]) {
    const port = freePort();
    await using connector = await spawnConnector({
      env: { DENO_SERVE_ADDRESS: `${prefix}tcp:127.0.0.1:${port}` },
    });
    ok(connector.httpPort !== port);
    const other = await Deno.connect({ port }).then((conn) => conn.close(), (error) => error);
    ok(other instanceof Deno.errors.ConnectionRefused, String(other));
  }
});

Deno.test("no variable makes a stranger trusted, as an acceptor or as a dialler", async () => {
  await using folder = await tempFolder();
  const ours = await makeTls(path.join(folder.path, "ours"));
  const other = await makeCertificate({ ca: true, name: "Other CA" });
  const leaf = await makeCertificate({ names: LOOPBACK }, other);
  const strange = path.join(folder.path, "strange");
  // The stranger trusts us, so that it is we who refuse.
  const { flags } = await writeTls(strange, {
    ...pemOf(other, leaf),
    root: `${other.certificate}${ours.root}`,
  });
  const theirRoot = path.join(folder.path, "their root.cert");
  await Deno.writeTextFile(theirRoot, other.certificate);
  await using stranger = await spawnConnector({ tls: { flags, root: other.certificate } });

  // All at once: each could only make more trusted.
  const env = {
    NODE_TLS_REJECT_UNAUTHORIZED: "0",
    DENO_CERT: theirRoot,
    NODE_EXTRA_CA_CERTS: theirRoot,
    DENO_TLS_CA_STORE: "system,mozilla",
    SSL_CERT_FILE: theirRoot,
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: theirRoot,
  };
  await using connector = await spawnConnector({ tls: ours, env });
  const expose = async (from: ConnectorProcess, to: ConnectorProcess) => {
    const { status, body } = await from.rest.request("POST", "/expose", {
      body: {
        name: "test",
        source_port: freePort(),
        remote_connector_addr: to.address,
        destination_addr: "127.0.0.1:9",
        type: "local",
      },
    });
    strictEqual(status, 200, body);
    return body;
  };
  await expose(connector, stranger);
  const id = await expose(stranger, connector);
  match(await messageOf(connector), /its certificate/);
  await until(() => /connection refused.*its certificate/.test(connector.logs()), "it refuses");
  await stranger.rest.request("DELETE", `/expose/${id}`);
  deepStrictEqual((await connector.rest.list()).map(({ peer }) => peer), [undefined]);
  const asked = await runCommand(
    [
      "health",
      `--url=https://localhost:${stranger.httpPort}`,
      `--root-cert-path=${ours.rootPath}`,
    ],
    { env },
  );
  strictEqual(asked.code, 1);
  match(asked.stderr, /^error: Cannot reach .*: its certificate .*\nhint: .*--root-cert-path\n$/);
});
