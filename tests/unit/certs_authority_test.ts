// Opening a root and its key: every form of key that is read, and every pair that is refused.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { openAuthority } from "../../src/certs/issue/authority.ts";
import { readPrivateKey } from "../../src/certs/files/private_key.ts";
import { toSigningKey } from "../../src/certs/issue/signing_key.ts";
import {
  DIGITAL_SIGNATURE,
  labelled,
  makeCertificate,
  referenceFile,
  sec1KeyOf,
} from "../support/certificates.ts";

const open = (certificate: string, key: string) =>
  openAuthority({
    certificate: labelled(`root certificate "r.cert"`, certificate),
    key: labelled(`root key "r.key"`, key),
  });

Deno.test("keys in PKCS#8, SEC1 and PKCS#1 are read", async () => {
  const root = await makeCertificate({ ca: true });
  const params = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
  for (const key of [root.key, sec1KeyOf(root), params + sec1KeyOf(root)]) {
    assert.equal((await open(root.certificate, key)).certificate.subject, "CN=Test CA");
  }
  const rsa = await open(referenceFile("root.cert"), referenceFile("root.key"));
  assert.equal(rsa.signingKey.key.algorithm.name, "RSASSA-PKCS1-v1_5");
});

Deno.test("files with Windows line ends and text around are read", async () => {
  const root = await makeCertificate({ ca: true });
  const dos = (text: string) => `Bag Attributes\n${text}`.replaceAll("\n", "\r\n");
  const authority = await open(dos(root.certificate), dos(root.key));
  assert.equal(authority.pem, root.certificate);
});

Deno.test("of several certificates the one that the key belongs to signs", async () => {
  const [one, two] = [
    await makeCertificate({ ca: true, name: "One" }),
    await makeCertificate({ ca: true, name: "Two" }),
  ];
  const authority = await open(one.certificate + two.certificate, two.key);
  assert.equal(authority.certificate.subject, "CN=Two");
  assert.equal(authority.pem, two.certificate);
});

Deno.test("a key of another certificate is refused", async () => {
  const root = await makeCertificate({ ca: true });
  const keys = [(await makeCertificate({ ca: true })).key, referenceFile("root.key")];
  for (const key of keys) {
    await assert.rejects(open(root.certificate, key), {
      code: "failed_precondition",
      message: `Cannot sign with root key "r.key": it does not belong to root certificate "r.cert"`,
      hint: "Give the certificate and the key that were made together",
    });
  }
});

Deno.test("a certificate that may not sign is refused", async () => {
  const cases = [
    await makeCertificate({ name: "Leaf" }),
    await makeCertificate({ name: "Leaf", ca: true, keyUsage: DIGITAL_SIGNATURE }),
  ];
  for (const { certificate, key } of cases) {
    await assert.rejects(open(certificate, key), {
      code: "failed_precondition",
      message: `Cannot sign with root certificate "r.cert": "CN=Leaf" is not a CA`,
    });
  }
});

Deno.test("what is no certificate is refused, saying what it is", async () => {
  const { certificate, key } = await makeCertificate({ ca: true });
  const damaged = certificate.replace(/\n[^-\n]+\n/, "\nAAAA\n");
  const cases: [string, RegExp][] = [
    ["", /r\.cert": it holds no certificate, want a certificate in PEM form$/],
    ["\u0000\u00ff", /it holds no certificate/],
    [key, /it holds a private key, want a certificate/],
    [damaged, /the certificate in it cannot be read: /],
    [certificate + damaged, /certificate 2 in it cannot be read: /],
    ["-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", /r\.cert": it /],
    [certificate.repeat(101), /it holds 101 certificates, want at most 100/],
  ];
  for (const [text, message] of cases) {
    await assert.rejects(open(text, key), { code: "invalid_argument", message });
  }
});

Deno.test("what is no usable key is refused, saying what it is", async () => {
  const { certificate, key } = await makeCertificate({ ca: true });
  const encrypted =
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
  const cases: [string, RegExp][] = [
    ["", /Cannot use root key "r\.key": it holds no key, want a private key in PEM form$/],
    [certificate, /it holds a certificate, want a private key/],
    [key.replaceAll("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), /the key is encrypted/],
    [encrypted, /the key is encrypted, want one without a passphrase/],
    [key.replace(/\n[^-\n]+\n/, "\nAAAA\n"), /the private key in it cannot be read/],
    [key.replaceAll("PRIVATE KEY", "RSA PRIVATE KEY"), /the private key in it cannot be read/],
    [
      key.replaceAll("PRIVATE KEY", "DSA PRIVATE KEY"),
      /it holds a DSA private key, want a private/,
    ],
    [key.replaceAll("PRIVATE", "OPENSSH PRIVATE"), /it holds an OpenSSH private key, want a/],
    [key.replaceAll("PRIVATE", "PUBLIC"), /it holds a public key, want a private key/],
    [key.slice(0, 100), /the private key in it is damaged or cut off, want a private key/],
  ];
  for (const [text, message] of cases) {
    await assert.rejects(open(certificate, text), { code: "invalid_argument", message });
  }
});

Deno.test("a key of a kind that cannot sign here is refused by its name", async () => {
  const secp521 = generateKeyPairSync("ec", { namedCurve: "secp521r1" }).privateKey;
  const ed25519 = generateKeyPairSync("ed25519").privateKey;
  for (const [key, kind] of [[secp521, "secp521r1"], [ed25519, "ed25519"]] as const) {
    const pem = key.export({ type: "pkcs8", format: "pem" }).toString();
    const read = readPrivateKey(labelled("root key", pem));
    await assert.rejects(toSigningKey(read, `root key "r.key"`), {
      code: "invalid_argument",
      message:
        `Cannot sign with root key "r.key": it is a key of kind ${kind}, want RSA, ECDSA P-256 or ECDSA P-384`,
    });
  }
});
