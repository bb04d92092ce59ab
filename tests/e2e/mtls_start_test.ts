// What a connector says of the certificates that it is started with: one sentence for each mistake, before it
// listens anywhere.

import { deepStrictEqual, doesNotMatch, match, ok, rejects, strictEqual } from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import * as path from "node:path";
import { readTls } from "../../src/cli/tls.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { TlsPem } from "../../src/grpc/credentials.ts";
import { CLIENT_AUTH, DAY_MS, makeCertificate, SERVER_AUTH } from "../support/certificates.ts";
import { LOOPBACK, makePki, pemOf, spawnSecure, tempFolder, writeTls } from "../support/mtls.ts";
import { runCommand } from "../support/processes.ts";

const BINDS = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];
const HOUR_MS = 3_600_000;

/** Runs a connector that must not start; resolves with its exit code and what it said. */
async function refuseToRun(flags: string[]): Promise<{ code: number; stderr: string }> {
  const { code, stderr, stdout } = await runCommand(["run", ...BINDS, ...flags]);
  strictEqual(stdout, "");
  // One sentence, perhaps with a hint under it, and no trace of where it happened.
  match(stderr, /^error: [^\n]+\n(hint: [^\n]+\n)?$/);
  return { code, stderr };
}

Deno.test("one or two of the three flags: the missing ones are named", async () => {
  const [root, certificate, key] = [
    "--root-cert-path=root.cert",
    "--server-cert-path=leaf.cert",
    "--server-key-path=leaf.key",
  ];
  for (
    const [flags, missing] of [
      [[certificate, key], "--root-cert-path is missing"],
      [[root, key], "--server-cert-path is missing"],
      [[root, certificate], "--server-key-path is missing"],
      [[root], "--server-cert-path and --server-key-path are missing"],
      [["--root-cert-key=root.key"], "--root-cert-key needs TLS"],
    ] as const
  ) {
    const { code, stderr } = await refuseToRun([...flags]);
    strictEqual(code, 2);
    match(stderr, new RegExp(`^error: ${missing}`));
  }
});

Deno.test("files that cannot be used: each is one sentence that names the file", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const other = await makeCertificate({ ca: true, name: "Other CA" });
  const fit = pemOf(root, leaf);
  const names = LOOPBACK;
  const ended = {
    notBefore: new Date(Date.now() - 9 * DAY_MS),
    notAfter: new Date(Date.now() - 1),
  };
  const withLeaf = async (...args: Parameters<typeof makeCertificate>) =>
    pemOf(root, await makeCertificate(...args));
  const cases: Record<string, [TlsPem, RegExp]> = {
    "garbage root": [
      { ...fit, root: "garbage" },
      /root certificate ".*root\.cert": it holds no cert/,
    ],
    "garbage certificate": [
      { ...fit, certificate: "\x00\xff" },
      /server certificate ".*leaf\.cert": it holds no certificate/,
    ],
    "damaged certificate": [
      { ...fit, certificate: leaf.certificate.replace(/(?<=-\n).{40}/, "A".repeat(40)) },
      /server certificate ".*leaf\.cert": the certificate in it cannot be read/,
    ],
    "garbage key": [{ ...fit, key: "garbage" }, /server key ".*leaf\.key"/],
    "certificate for a key": [{ ...fit, key: fit.certificate }, /server key ".*leaf\.key"/],
    "key for a certificate": [
      { ...fit, certificate: fit.key },
      /server certificate ".*leaf\.cert": it holds a private key, want a certificate/,
    ],
    "another key": [
      { ...fit, key: root.key },
      /server key ".*leaf\.key": it does not belong to server certificate ".*leaf\.cert"/,
    ],
    "another root": [
      await withLeaf({ names }, other),
      /leaf\.cert": it was issued by "CN=Other CA", which is not in root certificate ".*root\.cert"/,
    ],
    "a root that is no CA": [
      { ...fit, root: leaf.certificate },
      /root certificate ".*root\.cert": "CN=Test Leaf" is not a CA/,
    ],
    "expired": [await withLeaf({ names, ...ended }, root), /leaf\.cert": it expired at \d{4}-/],
    "early": [
      await withLeaf({ names, notBefore: new Date(Date.now() + DAY_MS) }, root),
      /leaf\.cert": it is not valid before \d{4}-/,
    ],
    "for one role": [
      await withLeaf({ names, extendedUsages: [SERVER_AUTH] }, root),
      /leaf\.cert": its extended key usage lacks clientAuth/,
    ],
    "for the other role": [
      await withLeaf({ names, extendedUsages: [CLIENT_AUTH] }, root),
      /leaf\.cert": its extended key usage lacks serverAuth/,
    ],
  };
  for (const [label, [pem, sentence]] of Object.entries(cases)) {
    const folderOfCase = path.join(folder.path, label.replaceAll(" ", "-"));
    const { flags, paths } = await writeTls(folderOfCase, pem);
    await rejects(
      readTls(paths),
      (error) => {
        ok(error instanceof ConnectorError, label);
        match(error.message, sentence, label);
        doesNotMatch(error.message, /PRIVATE KEY/);
        return true;
      },
    );
    // The program says the same: one case for each file is enough to see that.
    if (!label.startsWith("garbage")) continue;
    const { code, stderr } = await refuseToRun(flags);
    strictEqual(code, 1, label);
    match(stderr, sentence, label);
    doesNotMatch(stderr, /PRIVATE KEY/);
  }
});

Deno.test("files that cannot be read, and a root key that is not the root's", async () => {
  await using folder = await tempFolder();
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.path, pemOf(root, leaf));
  const elsewhere = path.join(folder.path, "nowhere", "x");
  for (const [index, name] of ["root certificate", "server certificate", "server key"].entries()) {
    for (
      const [given, problem] of [[elsewhere, "no such file"], [folder.path, "it is a directory"]]
    ) {
      const wrong = flags.map((flag, at) => at === index ? `${flag.split("=")[0]}=${given}` : flag);
      const { code, stderr } = await refuseToRun(wrong);
      deepStrictEqual([code, stderr.split("\n")[0]], [
        1,
        `error: Cannot read ${name} "${given}": ${problem}`,
      ]);
    }
  }
  const wrongKey = await refuseToRun([...flags, `--root-cert-key=${folder.path}/leaf.key`]);
  strictEqual(wrongKey.code, 1);
  match(
    wrongKey.stderr,
    /^error: Cannot sign with root key ".*leaf\.key": it does not belong to root certificate/,
  );
});

Deno.test("a certificate that ends within 30 days is warned about, one that ends later is not", async () => {
  await using folder = await tempFolder();
  const { root } = await makePki();
  for (
    const [days, warned] of [[29, "29 days"], [31, undefined], [0.5, "less than a day"]] as const
  ) {
    const notAfter = new Date(Date.now() + days * DAY_MS + HOUR_MS);
    const leaf = await makeCertificate({ names: LOOPBACK, notAfter }, root);
    const { flags } = await writeTls(path.join(folder.path, `${days}`), pemOf(root, leaf));
    await using connector = await spawnSecure(flags);
    const warnings = connector.lines(/certificate ends soon/);
    strictEqual(warnings.length, warned === undefined ? 0 : 1);
    if (warned !== undefined) match(warnings[0] ?? "", new RegExp(`WARN.*leaf\\.cert.*${warned}`));
  }
});

if (Deno.build.os !== "windows") {
  Deno.test("a key that others may read is used, and warned about once, with what to do", async () => {
    await using folder = await tempFolder();
    const { root, leaf } = await makePki();
    const { flags } = await writeTls(folder.path, pemOf(root, leaf));
    const at = (name: string) => path.join(folder.path, name);
    await Deno.writeTextFile(at("root.key"), root.key);
    await Deno.chmod(at("root.key"), 0o644);
    await Deno.chmod(at("leaf.key"), 0o664);
    await Deno.chmod(at("leaf.cert"), 0o644);
    await Deno.writeTextFile(at("state.json"), '{"version":1,"services":[]}');
    await Deno.chmod(at("state.json"), 0o644);
    // As Kubernetes has it: the target's mode counts, not that of the link.
    await Deno.symlink("leaf.key", at("tls.key"));
    const args = [
      ...flags.with(-1, `--server-key-path=${at("tls.key")}`),
      `--root-cert-key=${at("root.key")}`,
      `--state-file=${at("state.json")}`,
    ];
    {
      await using connector = await spawnSecure(args);
      const warnings = connector.lines(/file is open to others/);
      deepStrictEqual(
        warnings.map((line) =>
          /file=".*?(\w+\.\w+)\\"" (mode=\d+) .*chmod (\w+)/.exec(line)?.slice(1)
        ),
        [
          ["tls.key", "mode=0664", "600"],
          ["root.key", "mode=0644", "600"],
          ["state.json", "mode=0644", "600"],
        ],
      );
      strictEqual(((await Deno.stat(at("state.json"))).mode ?? 0) & 0o777, 0o600);
    }
    // A group may read, as it does with the fsGroup of Kubernetes.
    for (const name of ["root.key", "leaf.key"]) await Deno.chmod(at(name), 0o640);
    await using connector = await spawnSecure(args);
    deepStrictEqual(connector.lines(/file is open to others/), []);
  });

  Deno.test("a device without end is refused", async () => {
    await using folder = await tempFolder();
    const { root, leaf } = await makePki();
    const { flags } = await writeTls(folder.path, pemOf(root, leaf));
    const { code, stderr } = await refuseToRun(flags.with(-1, "--server-key-path=/dev/zero"));
    strictEqual(code, 1);
    match(stderr, /^error: Cannot read server key "\/dev\/zero": it is larger than/);
  });
}

Deno.test("a key that TLS cannot use is named with what is wanted", async () => {
  await using folder = await tempFolder();
  const { root } = await makePki();
  for (
    const [name, key] of [
      ["an RSA key of 1024 bits", generateKeyPairSync("rsa", { modulusLength: 1024 })],
      ["a key of kind secp256k1", generateKeyPairSync("ec", { namedCurve: "secp256k1" })],
    ] as const
  ) {
    const { flags } = await writeTls(folder.path, {
      root: root.certificate,
      certificate: root.certificate,
      key: key.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    });
    const { code, stderr } = await refuseToRun(flags);
    strictEqual(code, 1);
    match(
      stderr,
      new RegExp(`^error: Cannot use server key ".*leaf.key": it is ${name}, want RSA of at`),
    );
  }
});
