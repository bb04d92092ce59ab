// What node:crypto does of judging certificates, and why the judge does not leave more to it. `verify` over the signed
// bytes and `checkPrivateKey` are used. `X509Certificate.checkIssued` and `X509Certificate.verify` are not: each test here
// has what one of them gets wrong under Deno, beside what the judge says. One that fails tells that the runtime has
// changed, and that a part of src/certs/ may no longer be needed.

import { strictEqual, throws } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import { parseCertificate } from "../../src/certs/reader/certificate.ts";
import { judgeChain, UntrustedChain } from "../../src/certs/judge/chain.ts";
import {
  type CertificateShape,
  keyUsage,
  makeKey,
  USAGE,
  writeCertificate,
  type Written,
} from "../support/certificate_writer.ts";

const ROOT = writeCertificate({ ca: true });

const node = ({ der }: Pick<Written, "der">) => new X509Certificate(Buffer.from(der));
const leafOf = (issuer: Written, shape: CertificateShape = {}) =>
  writeCertificate({ issuer, ...shape });

/** What the judge says of a leaf, given the certificates between it and the root. */
function flawOf(leaf: Written, intermediates: readonly Written[] = [], root = ROOT): string {
  const parsed = ({ der }: Written) => parseCertificate(der);
  try {
    judgeChain(
      { leaf: parsed(leaf), intermediates: intermediates.map(parsed) },
      { roots: [parsed(root)], purpose: "both", now: new Date() },
    );
    return "none";
  } catch (error) {
    if (error instanceof UntrustedChain) return error.flaw.kind;
    throw error;
  }
}

Deno.test("checkIssued takes a leaf for an issuer if its key usage has keyCertSign", () => {
  const issuer = leafOf(ROOT, { usage: keyUsage(USAGE.digitalSignature, USAGE.keyCertSign) });
  const leaf = leafOf(issuer);
  strictEqual(node(leaf).checkIssued(node(issuer)), true);
  strictEqual(flawOf(leaf, [issuer]), "may not sign");
});

Deno.test("checkIssued takes a version 1 certificate that has signed itself for an issuer", () => {
  const none = new Uint8Array();
  const issuer = writeCertificate({
    subject: "old root",
    draft: () => ({ version: none, extensions: none }),
  });
  // Without the id of its issuer's key, the last of its extensions: that one has no extension to compare it with.
  const leaf = leafOf(issuer, { extensions: (list) => list.slice(0, -1) });
  strictEqual(node(leaf).checkIssued(node(issuer)), true);
  strictEqual(flawOf(leaf, [issuer]), "version");
});

Deno.test("checkIssued looks at no signature, no path length and no validity", () => {
  const old = writeCertificate({ ca: true, subject: "old", issuer: ROOT, from: -9, to: -8 });
  const short = writeCertificate({ ca: true, subject: "short", issuer: ROOT, pathLength: 0 });
  const below = writeCertificate({ ca: true, subject: "below", issuer: short });
  const cases: [Written, Written[], string][] = [
    [
      leafOf(ROOT, { signature: (signature) => signature.with(9, 255 - (signature[9] ?? 0)) }),
      [],
      "",
    ],
    [leafOf(old), [old], "expired"],
    [leafOf(below), [below, short], "path length"],
  ];
  for (const [leaf, intermediates, flaw] of cases) {
    const [first = ROOT] = intermediates;
    strictEqual(node(leaf).checkIssued(node(first)), true);
    strictEqual(flawOf(leaf, intermediates), flaw || "wrong signature");
  }
});

Deno.test("X509Certificate.verify knows no P-521 keys and no RSA-PSS", () => {
  const p521 = writeCertificate({ ca: true, key: makeKey("p521") });
  throws(() => node(leafOf(p521)).verify(node(p521).publicKey));
  strictEqual(flawOf(leafOf(p521), [], p521), "none");

  const rsa = writeCertificate({ ca: true, key: makeKey("rsa-2048") });
  const byPss = leafOf(rsa, { scheme: "pss" });
  strictEqual(node(byPss).verify(node(rsa).publicKey), false);
  strictEqual(flawOf(byPss, [], rsa), "none");
});

Deno.test("X509Certificate.verify takes SHA-1 and RSA keys of 1024 bits", () => {
  const bySha1 = leafOf(ROOT, { scheme: "sha1" });
  strictEqual(node(bySha1).verify(node(ROOT).publicKey), true);
  strictEqual(flawOf(bySha1), "signature algorithm");

  const weak = writeCertificate({
    ca: true,
    subject: "weak",
    issuer: ROOT,
    key: makeKey("rsa-1024"),
  });
  const byWeak = leafOf(weak);
  strictEqual(node(byWeak).verify(node(weak).publicKey), true);
  strictEqual(flawOf(byWeak, [weak]), "key");
});

Deno.test("X509Certificate.verify throws for keys that it cannot read", () => {
  const odd = writeCertificate({ ca: true, subject: "odd", issuer: ROOT, key: makeKey("p224") });
  const byOdd = leafOf(odd);
  throws(() => node(byOdd).verify(node(odd).publicKey));
  strictEqual(flawOf(byOdd, [odd]), "key");
});
