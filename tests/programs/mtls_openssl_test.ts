// TLS as OpenSSL speaks it, against our servers: versions, names and sessions that Deno's own client cannot offer.
// Needs the program `openssl`.

import { doesNotMatch, match, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import * as path from "node:path";
import tls from "node:tls";
import type { TlsPem } from "../../src/grpc/credentials.ts";
import { makeCertificate } from "../support/certificates.ts";
import { Child } from "../support/child.ts";
import {
  callServer,
  makePki,
  pemOf,
  spawnSecure,
  startServer,
  tempFolder,
  writeTls,
} from "../support/mtls.ts";
import { settle, until } from "../support/world.ts";

/** Lets OpenSSL offer what it would not by itself. */
const OLD_TLS = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];

/** `openssl s_client` on a port of this machine, which stays until the scope is left or it is refused. */
function connect(port: number, args: string[]): Child {
  const servername = args.includes("-servername") ? [] : ["-servername", "localhost"];
  return new Child("openssl", {
    args: [
      ...["s_client", "-connect", `127.0.0.1:${port}`, ...servername],
      ...["-alpn", "h2", "-ign_eof", ...args],
    ],
  });
}

/** The arguments that show a certificate which was written with `writeTls`. */
function showing(folder: string): string[] {
  return ["-cert", path.join(folder, "leaf.cert"), "-key", path.join(folder, "leaf.key")];
}

async function written(folder: string, name: string, pem: TlsPem): Promise<string> {
  await writeTls(path.join(folder, name), pem);
  return path.join(folder, name);
}

Deno.test("gRPC: TLS 1.2 and 1.3 only, and a server name with a port is refused in words", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  await using server = await startServer(pemOf(root, leaf));
  const own = showing(await written(folder.path, "own", pemOf(root, leaf)));

  for (const version of ["1.2", "1.3"]) {
    await using client = connect(server.port, [...own, `-tls${version.replace(".", "_")}`]);
    await client.waitFor(new RegExp(`New, TLSv${version},`));
  }
  strictEqual(server.refused.length, 0);

  const refusals = [
    { args: OLD_TLS, reason: "it does not speak TLS 1.2 or 1.3" },
    {
      // What the Go connector sends. docs/security.md quotes the line.
      args: ["-servername", "localhost:9090"],
      reason:
        "it asks for a server name that is not valid, perhaps one with a port: see docs/security.md",
    },
    {
      args: ["-tls1_2", "-cipher", "AES128-SHA"],
      reason: "it has no cipher in common with us",
    },
    // OpenSSL judges us by a root that is not ours.
    {
      args: ["-verify_return_error", "-CAfile", path.join(folder.path, "own", "leaf.cert")],
      reason: "it does not know the root of our certificate",
    },
  ];
  for (const [index, { args, reason }] of refusals.entries()) {
    await using client = connect(server.port, [...own, ...args]);
    await client.exited;
    match(client.stderr, /alert|verify failed/, reason);
    await until(() => server.refused.length > index, `"${reason}" is told of`);
    strictEqual(server.refused[index]?.reason, reason);
  }
  strictEqual(server.refused.length, refusals.length);
  strictEqual(await callServer(server.port, { trusted: root.certificate, own: leaf }), "answered");
});

Deno.test("REST: TLS 1.2 and 1.3 only, and no client certificate is asked for", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.path, pemOf(root, leaf));
  await using connector = await spawnSecure(flags);
  const port = Number(new URL(connector.url).port);
  for (const version of ["1.2", "1.3"]) {
    const trace = ["-msg", `-tls${version.replace(".", "_")}`];
    await using rest = connect(port, [...trace, "-alpn", "http/1.1"]);
    await rest.waitFor(new RegExp(`New, TLSv${version},`));
    doesNotMatch(rest.stdout, /CertificateRequest/);
    // The same trace does show when one is asked for.
    await using grpc = connect(connector.grpcPort, [...trace, ...showing(folder.path)]);
    await grpc.waitFor(new RegExp(`New, TLSv${version},`));
    match(grpc.stdout, /CertificateRequest/);
  }
  await using old = connect(port, OLD_TLS);
  await old.exited;
  match(old.stderr, /alert/);
});

for (const version of ["1.2", "1.3"]) {
  const versionFlag = `-tls${version.replace(".", "_")}`;

  Deno.test(`TLS ${version}: who was refused once has no session to come back with`, async () => {
    await using folder = await tempFolder();
    const { root, leaf } = await makePki();
    await using server = await startServer(pemOf(root, leaf));
    const session = path.join(folder.path, "session");
    const stranger = await makeCertificate({ name: "stranger" });
    const good = await makeCertificate({ name: "good" }, root);
    const save = [versionFlag, "-sess_out", session];

    const shown = showing(await written(folder.path, "stranger", pemOf(root, stranger)));
    await using refused = connect(server.port, [...save, ...shown]);
    await refused.exited;
    await until(() => server.refused.length === 1, "the stranger is refused");
    strictEqual(await exists(session), false);

    // A peer that was let in has one, so the file would have been there.
    const own = showing(await written(folder.path, "good", pemOf(root, good)));
    await using _accepted = connect(server.port, [...save, ...own]);
    await until(() => exists(session), "the session is saved");
    strictEqual(server.refused.length, 1);
  });

  Deno.test(`TLS ${version}: a session that began without a certificate is not resumed with us`, async () => {
    await using folder = await tempFolder();
    const { root, leaf } = await makePki();
    await using server = await startServer(pemOf(root, leaf));
    // A server of this process that asks for no certificate: the platform lets sessions of one resume at another.
    const sibling = tls.createServer(
      { cert: leaf.certificate, key: leaf.key },
      // A session of TLS 1.3 is handed out along with the first bytes.
      (socket) => socket.on("error", () => {}).write("hello"),
    );
    sibling.listen(0, "127.0.0.1");
    await once(sibling, "listening");
    const { port } = sibling.address() as AddressInfo; // it listens on TCP
    const session = path.join(folder.path, "session");
    {
      await using _client = connect(port, [versionFlag, "-sess_out", session]);
      await until(() => exists(session), "the session is saved");
    }
    await using client = connect(server.port, [versionFlag, "-sess_in", session]);
    await client.exited;
    match(client.stdout, /^Reused, /m);
    await until(() => server.refused.length === 1, "it is refused");
    strictEqual(
      server.refused[0]?.reason,
      "it has no certificate, or none with a key that our TLS library accepts",
    );
    sibling.close();
    await settle();
  });
}

async function exists(file: string): Promise<boolean> {
  return await Deno.stat(file).then(({ size }) => size > 0, () => false);
}
