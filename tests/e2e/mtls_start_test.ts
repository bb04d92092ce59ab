// What a connector says of the certificates that it is started with: one sentence for each mistake, before it
// listens anywhere.

import { deepStrictEqual, doesNotMatch, match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
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
    const { flags } = await writeTls(path.join(folder.path, label.replaceAll(" ", "-")), pem);
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
