// The recipe of docs/security.md for connectors that put a port into the server name of TLS: its configuration of
// stunnel, with other paths and ports only. Needs the programs `stunnel4` and `openssl`.

import { match, ok, strictEqual } from "node:assert/strict";
import { Duplex } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import * as path from "node:path";
import { makeCertificate, referenceFile, referencePath } from "../support/certificates.ts";
import { Child } from "../support/child.ts";
import { callOver, LOOPBACK, pemOf, tempFolder, withJudge, writeTls } from "../support/mtls.ts";
import { ROOT } from "../support/processes.ts";
import {
  echo,
  exposeThrough,
  freePort,
  randomBytes,
  readAll,
  serveTcp,
  settle,
  sha256,
  startConnector,
  writeAll,
} from "../support/world.ts";
import { untilListening } from "./tunnels.ts";

/** The recipe's own configuration. */
async function readRecipe(): Promise<string> {
  const text = await Deno.readTextFile(path.join(ROOT, "docs", "security.md"));
  const [found, ...more] = text.matchAll(/^```ini\n([\s\S]*?)^```$/gm);
  strictEqual(more.length, 0);
  ok(found?.[1]);
  return found[1];
}

/** Starts the terminator in front of a port, with the Go connector's own kind of certificates. */
async function startTerminator(
  folder: string,
  behind: number,
): Promise<{ port: number } & AsyncDisposable> {
  const port = freePort();
  for (const name of ["root.cert", "leaf.cert", "leaf.key"] as const) {
    await Deno.writeTextFile(path.join(folder, name), referenceFile(name), { mode: 0o600 });
  }
  const recipe = await readRecipe();
  const configuration = recipe
    .replaceAll("/etc/connector/tls", folder)
    .replace(":::9090", `:::${port}`)
    .replace("127.0.0.1:9190", `127.0.0.1:${behind}`);
  ok(!/9090|9190|\/etc\//.test(configuration), configuration);
  const file = path.join(folder, "stunnel.conf");
  // Under a service manager it is a daemon; here it stays in the foreground.
  await Deno.writeTextFile(file, `foreground = yes\npid =\n${configuration}`);
  const stunnel = new Child("stunnel4", { args: [file] });
  await stunnel.waitFor(/Configuration successful/);
  await untilListening(port);
  return { port, [Symbol.asyncDispose]: () => stunnel[Symbol.asyncDispose]() };
}

/** A gRPC call over `openssl s_client`, which sends the server name as the Go connector does. */
async function callWithPortInName(port: number, args: string[]): Promise<string> {
  const program = new Deno.Command("openssl", {
    args: [
      ...[
        "s_client",
        "-quiet",
        "-no_ign_eof",
        "-connect",
        `127.0.0.1:${port}`,
        "-servername",
        "localhost:9090",
      ],
      ...["-CAfile", referencePath("root.cert"), "-verify_return_error", ...args],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const connection = Duplex.fromWeb({
    // The same streams: only their types are declared twice.
    readable: program.stdout as unknown as ReadableStream<Uint8Array>,
    writable: program.stdin,
  });
  const outcome = await callOver(connection);
  // With its input closed, the program ends.
  connection.destroy();
  await program.status;
  await settle();
  return outcome;
}

Deno.test("the terminator of docs/security.md lets the Go connector's kind of client in, and strangers not", async () => {
  await using folder = await tempFolder();
  await using behind = await startConnector();
  await using terminator = await startTerminator(folder.path, behind.server.address.port);
  const own = ["-cert", referencePath("leaf.cert"), "-key", referencePath("leaf.key")];
  strictEqual(await callWithPortInName(terminator.port, own), "answered");
  strictEqual(await callWithPortInName(terminator.port, [...own, "-tls1_2"]), "answered");

  const stranger = await makeCertificate({ names: LOOPBACK });
  await writeTls(path.join(folder.path, "stranger"), pemOf(stranger, stranger));
  const strangers = {
    "no certificate": [],
    "a stranger's": [
      ...["-cert", path.join(folder.path, "stranger", "leaf.cert")],
      ...["-key", path.join(folder.path, "stranger", "leaf.key")],
    ],
    "TLS 1.1": [...own, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
  };
  for (const [label, args] of Object.entries(strangers)) {
    match(await callWithPortInName(terminator.port, args), /^failed: /, label);
  }
});

Deno.test("connectors of ours link through the terminator too, and carry bytes both ways", async () => {
  await using folder = await tempFolder();
  await using behind = await startConnector();
  await using terminator = await startTerminator(folder.path, behind.server.address.port);
  const root = { certificate: referenceFile("root.cert") };
  await using local = await startConnector({
    tls: withJudge({
      root: root.certificate,
      certificate: referenceFile("leaf.cert"),
      key: referenceFile("leaf.key"),
    }),
  });
  await using server = serveTcp(echo);
  const remote = { ...behind, address: `localhost:${terminator.port}` };
  for (const type of ["local", "remote"] as const) {
    const { port } = await exposeThrough({ local, remote }, { type, destination: server.port });
    // Who comes from there is a peer: from 127.0.0.1 it would be the local user.
    const from = behind.connector.list().map(({ peer }) => peer?.address.replace(/:.*/, ""));
    ok(from.every((address) => address === "127.0.0.2"), from.join());
    using conn = await Deno.connect({ port });
    const sent = randomBytes(4 * 1024 * 1024);
    const [received] = await Promise.all([
      readAll(conn),
      writeAll(conn, sent).then(() => conn.closeWrite()),
    ]);
    strictEqual(await sha256(new Uint8Array(received)), await sha256(sent));
  }
});
