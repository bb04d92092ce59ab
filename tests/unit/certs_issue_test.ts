// What issued certificates hold, field by field, as node's own parser and the raw extensions show it.

import "reflect-metadata"; // @peculiar/x509 does not load without it
import { X509Certificate as LibraryCertificate } from "@peculiar/x509";
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Authority, openAuthority } from "../../src/certs/issue/authority.ts";
import { type Certificate, parseCertificates } from "../../src/certs/reader/certificate.ts";
import { issueLeaf, issueRoot } from "../../src/certs/issue/issue.ts";
import { certificateIdOf } from "../../src/certs/identity/principal.ts";
import { openLeafIssuer } from "../../src/certs/issue/leaf_issuer.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import {
  CLIENT_AUTH,
  DAY_MS,
  DIGITAL_SIGNATURE,
  KEY_CERT_SIGN,
  labelled,
  makeCertificate,
  referenceFile,
  sec1KeyOf,
  SERVER_AUTH,
} from "../support/certificates.ts";

const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";
const EXTENDED_KEY_USAGE = "2.5.29.37";
const ALTERNATIVE_NAME = "2.5.29.17";
const SUBJECT_KEY_ID = "2.5.29.14";
const AUTHORITY_KEY_ID = "2.5.29.35";

function parsed(pem: string): Certificate {
  const [certificate] = parseCertificates(labelled("test", pem));
  assert.ok(certificate);
  return certificate;
}

async function opened(certificate: string, key: string): Promise<Authority> {
  return await openAuthority({
    certificate: labelled(`root certificate "r.cert"`, certificate),
    key: labelled(`root key "r.key"`, key),
  });
}

async function newRoot(options: { validDays?: number; now?: Date } = {}): Promise<Authority> {
  const root = await issueRoot(options);
  return await opened(root.certificate, root.privateKey);
}

/** What only the library reads. */
function byLibrary({ der }: Certificate): LibraryCertificate {
  return new LibraryCertificate(der);
}

/** Extension ids and whether each is critical. */
function criticality(certificate: Certificate): Record<string, boolean> {
  const { extensions } = byLibrary(certificate);
  return Object.fromEntries(extensions.map(({ type, critical }) => [type, critical]));
}

function hex(bytes: ArrayBuffer | undefined): string {
  assert.ok(bytes);
  return new Uint8Array(bytes).toHex();
}

Deno.test("a root holds what the contract says", async () => {
  const issued = await issueRoot();
  const root = parsed(issued.certificate);
  const node = new X509Certificate(issued.certificate);

  assert.equal(root.subject, "O=Jumppad, CN=Connector CA");
  assert.equal(root.issuer, root.subject);
  assert.deepEqual(criticality(root), {
    [BASIC_CONSTRAINTS]: true,
    [KEY_USAGE]: true,
    [SUBJECT_KEY_ID]: false,
  });
  assert.equal(root.isCa, true);
  assert.equal(root.pathLength, undefined);
  assert.equal(root.keyUsage, KEY_CERT_SIGN | DIGITAL_SIGNATURE);
  assert.equal(node.ca, true);
  assert.ok(node.checkIssued(node) && node.verify(node.publicKey));
  assert.ok(node.checkPrivateKey(createPrivateKey(issued.privateKey)));
  assert.equal(node.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
  assert.match(
    issued.privateKey,
    /^-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n$/,
  );
  assert.match(
    issued.certificate,
    /^-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n$/,
  );
});

Deno.test("a leaf holds what the contract says", async () => {
  const root = await newRoot();
  const issued = await issueLeaf(root, {
    dnsNames: ["localhost:9090", ":30001", "caf\u00e9.example"],
    ipAddresses: ["127.0.0.1", "2001:DB8::1"],
  });
  const leaf = parsed(issued.certificate);
  const node = new X509Certificate(issued.certificate);

  assert.equal(leaf.subject, "O=Jumppad, CN=Connector Leaf");
  assert.equal(leaf.issuer, "O=Jumppad, CN=Connector CA");
  assert.deepEqual(criticality(leaf), {
    [BASIC_CONSTRAINTS]: true,
    [KEY_USAGE]: true,
    [EXTENDED_KEY_USAGE]: false,
    [SUBJECT_KEY_ID]: false,
    [AUTHORITY_KEY_ID]: false,
    [ALTERNATIVE_NAME]: false,
  });
  assert.equal(leaf.isCa, false);
  assert.equal(leaf.keyUsage, DIGITAL_SIGNATURE);
  assert.deepEqual(leaf.extendedUsages, [SERVER_AUTH, CLIENT_AUTH]);
  const uri = leaf.alternativeNames.at(-1);
  assert.match(uri?.value ?? "", /^spiffe:\/\/jumppad\.dev\/connector\/[0-9a-f]{64}$/);
  assert.deepEqual(leaf.alternativeNames, [
    { type: "dns", value: "localhost:9090" },
    { type: "dns", value: ":30001" },
    { type: "dns", value: "cafe.example" },
    { type: "ip", value: "127.0.0.1" },
    { type: "ip", value: "2001:db8::1" },
    { type: "url", value: uri?.value },
  ]);

  const issuer = new X509Certificate(root.pem);
  assert.ok(node.checkIssued(issuer) && node.verify(issuer.publicKey));
  assert.ok(node.checkPrivateKey(createPrivateKey(issued.privateKey)));
  const rootKeyId = hex(byLibrary(root.certificate).getExtension(SUBJECT_KEY_ID)?.value).slice(4);
  assert.ok(hex(byLibrary(leaf).getExtension(AUTHORITY_KEY_ID)?.value).endsWith(rootKeyId));
  assert.notEqual(hex(byLibrary(leaf).getExtension(SUBJECT_KEY_ID)?.value).slice(4), rootKeyId);
});

Deno.test("serial numbers are 16 bytes, positive, and all different", async () => {
  const root = await newRoot();
  const leaves = await Promise.all(Array.from({ length: 64 }, () => issueLeaf(root)));
  const serials = leaves.map(({ certificate }) => byLibrary(parsed(certificate)).serialNumber);
  for (const serial of serials) assert.match(serial, /^[4-7][0-9a-f]{31}$/);
  assert.equal(new Set(serials).size, serials.length);
  const ids = leaves.map(({ certificate }) => parsed(certificate).alternativeNames.at(-1)?.value);
  assert.ok(new Set(ids).size > leaves.length / 2, "SPIFFE ids made at once differ");
});

Deno.test("validity begins a little earlier and lasts ten years for a root, one for a leaf", async () => {
  const now = new Date("2030-05-06T07:08:09Z");
  const root = await newRoot({ now });
  const leaf = parsed((await issueLeaf(root, { now })).certificate);
  assert.deepEqual(root.certificate.notBefore, new Date("2030-05-06T07:03:09Z"));
  assert.deepEqual(root.certificate.notAfter, new Date(now.getTime() + 3650 * DAY_MS));
  assert.deepEqual(leaf.notBefore, new Date("2030-05-06T07:03:09Z"));
  assert.deepEqual(leaf.notAfter, new Date(now.getTime() + 365 * DAY_MS));
});

Deno.test("a leaf never outlives its root, and never begins before it", async () => {
  const made = new Date("2030-01-01T00:00:00Z");
  const root = await newRoot({ validDays: 10, now: made });
  const issued = await issueLeaf(root, { validDays: 11, now: made });
  assert.deepEqual(issued.notAfter, root.certificate.notAfter);
  assert.deepEqual(parsed(issued.certificate).notAfter, root.certificate.notAfter);

  const early = new Date(root.certificate.notBefore.getTime() + 1000);
  const leaf = parsed((await issueLeaf(root, { now: early })).certificate);
  assert.deepEqual(leaf.notBefore, root.certificate.notBefore);
});

Deno.test("dates beyond 2049 are written so that they are read back", async () => {
  const root = await newRoot({ now: new Date("2049-12-31T23:00:00Z"), validDays: 36_500 });
  assert.equal(root.certificate.notAfter.toISOString(), "2149-12-07T23:00:00.000Z");
  const node = new X509Certificate(root.pem);
  assert.equal(new Date(node.validTo).toISOString(), "2149-12-07T23:00:00.000Z");
});

Deno.test("a root that is not valid now signs nothing", async () => {
  const root = await newRoot({ now: new Date("2030-01-01T00:00:00Z"), validDays: 10 });
  const at = (now: string) => issueLeaf(root, { now: new Date(now) });
  await assert.rejects(at("2030-02-01T00:00:00Z"), {
    code: "failed_precondition",
    message: `Cannot sign with root certificate "r.cert": it expired at 2030-01-11T00:00:00.000Z`,
  });
  await assert.rejects(at("2029-12-01T00:00:00Z"), {
    code: "failed_precondition",
    message:
      `Cannot sign with root certificate "r.cert": it is not valid before 2029-12-31T23:55:00.000Z`,
  });
});

for (const validDays of [0, -1, 1.5, NaN, Infinity, 36_501]) {
  Deno.test(`a validity of ${validDays} days is refused`, async () => {
    const message =
      `Cannot issue a certificate for ${validDays} days, want a whole number from 1 to 36500`;
    await assert.rejects(issueRoot({ validDays }), { code: "invalid_argument", message });
  });
}

Deno.test("a root of the Go connector (RSA, PKCS#1) signs leaves, with its own name as issuer", async () => {
  const root = await opened(referenceFile("root.cert"), referenceFile("root.key"));
  const issued = await issueLeaf(root, { dnsNames: ["localhost"] });
  const leaf = new X509Certificate(issued.certificate);
  const issuer = new X509Certificate(root.pem);
  assert.ok(leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey));
  assert.equal(leaf.publicKey.asymmetricKeyType, "ec");
  const names = [
    parsed(issued.certificate).issuerName,
    root.certificate.subjectName,
  ].map((name) => name.toHex());
  assert.equal(names[0], names[1]);
});

Deno.test("an ECDSA root signs RSA leaves, whose key is PKCS#1 as the Go connector wants it", async () => {
  const root = await newRoot();
  const issued = await issueLeaf(root, { keyType: "rsa-4096" });
  const leaf = new X509Certificate(issued.certificate);
  assert.ok(leaf.verify(new X509Certificate(root.pem).publicKey));
  assert.equal(leaf.publicKey.asymmetricKeyDetails?.modulusLength, 4096);
  assert.match(issued.privateKey, /^-----BEGIN RSA PRIVATE KEY-----\n/);
  assert.ok(leaf.checkPrivateKey(createPrivateKey(issued.privateKey)));
});

for (const curve of ["P-256", "P-384"] as const) {
  Deno.test(`a ${curve} root with a SEC1 key and no key id signs leaves`, async () => {
    const made = await makeCertificate({ ca: true, curve });
    const root = await opened(made.certificate, `text before\n${sec1KeyOf(made)}`);
    const issued = await issueLeaf(root);
    const leaf = new X509Certificate(issued.certificate);
    assert.ok(leaf.verify(new X509Certificate(made.certificate).publicKey));
    const hash = byLibrary(parsed(issued.certificate)).signatureAlgorithm.hash;
    assert.deepEqual(hash, { name: curve === "P-256" ? "SHA-256" : "SHA-384" });
  });
}

Deno.test("common names enter as they are, even those that a name's text form would change", async () => {
  const root = await newRoot();
  for (const commonName of ["#0c0141", "a\\0ab", `"quoted"`, "O=x, CN=y", "b\u00e9 \u{1f600}"]) {
    const leaf = parsed((await issueLeaf(root, { commonName })).certificate);
    assert.deepEqual(byLibrary(leaf).subjectName.getField("CN"), [commonName]);
    assert.deepEqual(byLibrary(leaf).subjectName.getField("O"), ["Jumppad"]);
  }
});

Deno.test("leaves for the same request are one principal, and the order of names does not matter", async () => {
  const root = await issueRoot();
  const issuer = await openLeafIssuer({
    certificate: labelled("root certificate", root.certificate),
    key: labelled("root key", root.privateKey),
  });
  const principalFor = async (name: string, dnsNames: string[] = []) => {
    const { certificate } = await issuer.issue({ name, dnsNames, ipAddresses: [] });
    return certificateIdOf(parsed(certificate)).displayName;
  };
  const first = await principalFor("server", ["a.example", "b.example"]);
  assert.equal(await principalFor("server", ["b.example", "a.example"]), first);
  assert.notEqual(await principalFor("other", ["a.example", "b.example"]), first);
  assert.notEqual(await principalFor("server", ["a.example"]), first);
  assert.equal(await principalFor("laptop"), await principalFor("laptop"));
});

Deno.test("a leaf for a request has the name as common name and comes with its root", async () => {
  const root = await issueRoot();
  const issuer = await openLeafIssuer({
    certificate: labelled("root certificate", root.certificate),
    key: labelled("root key", root.privateKey),
  });
  const bundle = await issuer.issue({
    name: "client one",
    ipAddresses: ["10.0.0.9"],
    dnsNames: ["one.example"],
  });
  assert.equal(bundle.ca, root.certificate);
  const leaf = parsed(bundle.certificate);
  assert.equal(leaf.subject, "O=Jumppad, CN=client one");
  assert.deepEqual(leaf.alternativeNames.slice(0, 2), [
    { type: "dns", value: "one.example" },
    { type: "ip", value: "10.0.0.9" },
  ]);
  const node = new X509Certificate(bundle.certificate);
  assert.ok(node.verify(new X509Certificate(bundle.ca).publicKey));
  assert.ok(node.checkPrivateKey(createPrivateKey(bundle.privateKey)));

  const bad = [
    { name: "", ipAddresses: [], dnsNames: [] },
    { name: "x", ipAddresses: ["nonsense"], dnsNames: [] },
    { name: "x", ipAddresses: [], dnsNames: ["no host"] },
  ];
  for (const request of bad) {
    await assert.rejects(issuer.issue(request), (error) => {
      assert.ok(error instanceof ConnectorError);
      assert.equal(error.code, "invalid_argument");
      return true;
    });
  }
});
