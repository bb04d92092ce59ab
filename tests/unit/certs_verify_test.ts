// The checks at start, each way in which the three files can be wrong, and who a peer is said to be.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import fc from "fast-check";
import { parseCertificates } from "../../src/certs/reader/certificate.ts";
import { describePeer, identityOf } from "../../src/certs/identity/description.ts";
import { issueLeaf, issueRoot } from "../../src/certs/issue/issue.ts";
import { openAuthority } from "../../src/certs/issue/authority.ts";
import { ValidityWatch } from "../../src/certs/own/validity.ts";
import { checkServerCertificates } from "../../src/certs/own/check.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { pem } from "../support/der_writer.ts";
import {
  CLIENT_AUTH,
  DAY_MS,
  DIGITAL_SIGNATURE,
  KEY_ENCIPHERMENT,
  labelled,
  type Made,
  makeCertificate,
  referenceFile,
  SERVER_AUTH,
  type Shape,
} from "../support/certificates.ts";

interface Files {
  root: string;
  certificate: string;
  key: string;
}

// deno-lint-ignore require-await -- what is refused is a rejection, as elsewhere in tests
async function check(files: Files, options: { now?: Date } = {}) {
  return checkServerCertificates({
    root: labelled(`root certificate "r.cert"`, files.root),
    certificate: labelled(`certificate "s.cert"`, files.certificate),
    key: labelled(`key "s.key"`, files.key),
  }, options);
}

/** The files of one leaf under one root, with the intermediates between them. */
function filesOf(root: Made, leaf: Made, intermediates: Made[] = []): Files {
  return {
    root: root.certificate,
    certificate: [leaf, ...intermediates].map(({ certificate }) => certificate).join(""),
    key: leaf.key,
  };
}

async function pair(leaf: Shape = {}, root: Shape = {}): Promise<Files> {
  const ca = await makeCertificate({ ca: true, ...root });
  return filesOf(ca, await makeCertificate(leaf, ca));
}

const LEAF = `Cannot use certificate "s.cert": `;
const ROOT = `Cannot use root certificate "r.cert": `;

async function refused(checking: Promise<unknown>, message: string | RegExp): Promise<void> {
  await assert.rejects(checking, (error) => {
    assert.ok(error instanceof ConnectorError);
    assert.equal(error.code, "failed_precondition");
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  });
}

Deno.test("what is issued here passes, and its identity is known", async () => {
  const root = await issueRoot();
  const authority = await openAuthority({
    certificate: labelled("root", root.certificate),
    key: labelled("key", root.privateKey),
  });
  const leaf = await issueLeaf(authority, { dnsNames: ["localhost:9090"], ipAddresses: ["::1"] });
  const checked = await check({
    root: root.certificate,
    certificate: leaf.certificate,
    key: leaf.privateKey,
  });
  assert.deepEqual(checked.warnings, []);
  assert.deepEqual(checked.notAfter, leaf.notAfter);
  assert.equal(checked.identity.subject, "O=Jumppad, CN=Connector Leaf");
  assert.deepEqual(checked.identity.dnsNames, ["localhost:9090"]);
  assert.deepEqual(checked.identity.ipAddresses, ["::1"]);
});

Deno.test("certificates of the Go connector pass", async () => {
  const checked = await check({
    root: referenceFile("root.cert"),
    certificate: referenceFile("leaf.cert"),
    key: referenceFile("leaf.key"),
  });
  assert.deepEqual(checked.identity, {
    subject: "O=Jumppad, CN=Connector Leaf",
    spiffe: "spiffe://jumppad.dev/private/1704067200000000000",
    dnsNames: ["localhost", "localhost:9090", ":30001"],
    ipAddresses: ["127.0.0.1"],
  });
});

Deno.test("a P-384 root, a bundle of roots and a chain of intermediates pass", async () => {
  await check(await pair({}, { curve: "P-384" }));

  const root = await makeCertificate({ ca: true, name: "Root" });
  const upper = await makeCertificate({ ca: true, name: "Upper", pathLength: 1 }, root);
  const lower = await makeCertificate({ ca: true, name: "Lower", pathLength: 0 }, upper);
  const leaf = await makeCertificate({}, lower);
  const other = await makeCertificate({ ca: true, name: "Other" });
  for (const intermediates of [[lower, upper], [upper, other, lower]]) {
    const files = filesOf(root, leaf, intermediates);
    await check({ ...files, root: other.certificate + files.root });
  }
});

Deno.test("of two roots with the same name and key the one that is valid counts", async () => {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const expired = await makeCertificate({ ca: true, keys, notAfter: new Date(Date.now() - 1000) });
  const renewed = await makeCertificate({ ca: true, keys });
  const files = filesOf(renewed, await makeCertificate({}, renewed));
  await check({ ...files, root: expired.certificate + renewed.certificate });
});

Deno.test("a key of another certificate is refused", async () => {
  const files = await pair();
  const { key } = await makeCertificate({});
  await refused(
    check({ ...files, key }),
    `Cannot use key "s.key": it does not belong to certificate "s.cert"`,
  );
  await refused(check({ ...files, key: referenceFile("leaf.key") }), /does not belong/);
});

Deno.test("a leaf of another root is refused, telling whether only the key differs", async () => {
  const [mine, theirs] = [await pair(), await pair({}, { name: "Another" })];
  await refused(
    check({ ...mine, root: theirs.root }),
    `${LEAF}it was issued by "CN=Test CA", which is not in root certificate "r.cert"`,
  );
  const anew = await pair();
  await refused(
    check({ ...mine, root: anew.root }),
    `${LEAF}it was signed with another key of "CN=Test CA" than that of root certificate "r.cert"`,
  );
  const rsa = await makeCertificate({ ca: true, name: "x" });
  await refused(
    check({ ...filesOf(rsa, await makeCertificate({}, rsa)), root: referenceFile("root.cert") }),
    /which is not in root/,
  );
});

Deno.test("a signature that was tampered with is refused", async () => {
  const files = await pair({ name: "AAAAAAAAAAAAAAAA" });
  const [block = ""] = /(?<=-\n)[^-]+/.exec(files.certificate) ?? [];
  const der = Uint8Array.fromBase64(block.replace(/\s/g, ""));
  const at = der.findIndex((_, i) => der.subarray(i, i + 16).every((byte) => byte === 0x41));
  der[at] = 0x42;
  const certificate = `-----BEGIN CERTIFICATE-----\n${der.toBase64()}\n-----END CERTIFICATE-----\n`;
  await refused(check({ ...files, certificate }), /it was signed with another key/);
});

Deno.test("a self-signed leaf, a leaf as root and a CA as leaf are refused", async () => {
  const root = await makeCertificate({ ca: true });
  const alone = await makeCertificate({});
  await refused(check(filesOf(root, alone)), /it was issued by "CN=Test Leaf", which is not in/);
  await refused(check(filesOf(alone, alone)), `${ROOT}"CN=Test Leaf" is not a CA`);
  await refused(
    check(filesOf(root, root)),
    `${LEAF}it is a CA, want a leaf that a root has signed`,
  );
});

Deno.test("a leaf that claims to be a CA is refused even if it may not sign", async () => {
  const files = await pair({ ca: true, keyUsage: DIGITAL_SIGNATURE });
  await refused(check(files), `${LEAF}it is a CA, want a leaf that a root has signed`);
});

Deno.test("a certificate whose list of extensions is empty cannot be read", async () => {
  await assert.rejects(check(await pair({ bare: true })), {
    code: "invalid_argument",
    message: `${LEAF}the certificate in it cannot be read: a list of extensions without any`,
  });
});

Deno.test("a leaf for one role only is refused", async () => {
  await refused(
    check(await pair({ extendedUsages: [SERVER_AUTH] })),
    `${LEAF}its extended key usage lacks clientAuth, want both roles of TLS`,
  );
  await refused(check(await pair({ extendedUsages: [CLIENT_AUTH] })), /lacks serverAuth,/);
  await refused(
    check(await pair({ extendedUsages: ["1.3.6.1.5.5.7.3.3"] })),
    /lacks serverAuth and clientAuth,/,
  );
  await refused(
    check(await pair({ keyUsage: KEY_ENCIPHERMENT })),
    `${LEAF}its key usage lacks digitalSignature, which TLS needs`,
  );
});

Deno.test("a leaf that restricts no usage passes", async () => {
  const ca = await makeCertificate({ ca: true });
  const leaf = await makeCertificate({ extendedUsages: [] }, ca);
  const [parsed] = parseCertificates(labelled("leaf", leaf.certificate));
  assert.equal(parsed?.extendedUsages, undefined);
  await check(filesOf(ca, leaf));
});

Deno.test("expired and not yet valid certificates are refused, whichever of the chain", async () => {
  const now = new Date("2030-06-01T00:00:00Z");
  const past = { notBefore: new Date("2030-01-01"), notAfter: new Date("2030-05-01") };
  const present = { notBefore: new Date("2030-01-01"), notAfter: new Date("2031-01-01") };
  const future = { notBefore: new Date("2030-07-01"), notAfter: new Date("2031-01-01") };
  await refused(
    check(await pair(past, present), { now }),
    `${LEAF}it expired at 2030-05-01T00:00:00.000Z`,
  );
  await refused(
    check(await pair(future, present), { now }),
    `${LEAF}it is not valid before 2030-07-01T00:00:00.000Z`,
  );
  await refused(
    check(await pair(present, past), { now }),
    `${ROOT}it expired at 2030-05-01T00:00:00.000Z`,
  );
  await refused(
    check(await pair(present, future), { now }),
    `${ROOT}it is not valid before 2030-07-01T00:00:00.000Z`,
  );

  const root = await makeCertificate({ ca: true, name: "Root", ...present });
  const between = await makeCertificate({ ca: true, name: "Between", ...past }, root);
  const leaf = await makeCertificate(present, between);
  await refused(check(filesOf(root, leaf, [between]), { now }), /s\.cert": it expired/);
  await check(await pair(present, present), { now });
});

Deno.test("intermediates that may not sign are refused", async () => {
  const root = await makeCertificate({ ca: true, name: "Root" });
  const noCa = await makeCertificate({ name: "No CA" }, root);
  await refused(
    check(filesOf(root, await makeCertificate({}, noCa), [noCa])),
    `${LEAF}"CN=No CA" is not a CA, yet signed a certificate of the chain`,
  );

  const narrow = await makeCertificate({ ca: true, name: "Narrow", pathLength: 0 }, root);
  const below = await makeCertificate({ ca: true, name: "Below" }, narrow);
  await refused(
    check(filesOf(root, await makeCertificate({}, below), [below, narrow])),
    `${LEAF}"CN=Narrow" allows 0 CAs below it, the chain has more`,
  );

  const limited = await makeCertificate(
    { ca: true, name: "Limited", extendedUsages: [SERVER_AUTH] },
    root,
  );
  await refused(
    check(filesOf(root, await makeCertificate({}, limited), [limited])),
    /lacks clientAuth/,
  );
});

Deno.test("a chain without its intermediate, and one that is too long, are refused", async () => {
  const root = await makeCertificate({ ca: true, name: "Root" });
  const cas = [root];
  for (let i = 0; i < 7; i++) {
    cas.push(await makeCertificate({ ca: true, name: `CA ${i}` }, cas.at(-1)));
  }
  const between = cas.slice(1);
  const leafOf = (ca: Made | undefined) => makeCertificate({}, ca);
  await check(filesOf(root, await leafOf(between[5]), between.slice(0, 6)));
  await refused(
    check(filesOf(root, await leafOf(between[6]), between)),
    `${LEAF}its chain has more than 6 intermediates`,
  );
  await refused(
    check(filesOf(root, await leafOf(between[0]))),
    `${LEAF}it was issued by "CN=CA 0", which is not in root certificate "r.cert"`,
  );
});

Deno.test("more certificates than peers take are refused at start", async () => {
  const files = await pair();
  await check({ ...files, certificate: files.certificate + files.root.repeat(31) });
  await refused(
    check({ ...files, certificate: files.certificate + files.root.repeat(32) }),
    `${LEAF}it holds 33 certificates, and peers take at most 32`,
  );
});

Deno.test("certificates that sign each other in a circle are refused", async () => {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const seed = await makeCertificate({ ca: true, name: "B", keys });
  const a = await makeCertificate({ ca: true, name: "A" }, seed);
  const b = await makeCertificate({ ca: true, name: "B", keys }, a);
  const root = await makeCertificate({ ca: true, name: "Root" });
  await refused(
    check(filesOf(root, await makeCertificate({}, a), [a, b])),
    /issued by|another key/,
  );
});

const NOW = new Date("2030-06-01T00:00:00Z");
const FROM = new Date("2030-01-01T00:00:00Z");

function inDays(days: number): Date {
  return new Date(NOW.getTime() + days * DAY_MS);
}

/** What a watch that begins now says of the files. */
async function warningsOf(files: Files, now: Date): Promise<string[]> {
  const warnings: string[] = [];
  const checked = await check(files, { now });
  using _watch = ValidityWatch.start({
    ...checked,
    onSoon: (warning) => warnings.push(warning),
    onProblem: () => assert.fail("they are valid"),
    now: () => now,
  });
  return warnings;
}

Deno.test("less than 30 days left is a warning that names the file", async () => {
  const files = await pair(
    { notBefore: FROM, notAfter: inDays(29.5) },
    { notBefore: FROM, notAfter: inDays(30) },
  );
  assert.deepEqual(await warningsOf(files, NOW), [
    `Certificate "s.cert" expires in 29 days, at 2030-06-30T12:00:00.000Z`,
  ]);
  const { notAfter } = await check(files, { now: NOW });
  assert.equal(notAfter.toISOString(), "2030-06-30T12:00:00.000Z");

  assert.deepEqual(await warningsOf(files, inDays(29.4)), [
    `Certificate "s.cert" expires in less than a day, at 2030-06-30T12:00:00.000Z`,
    `Root certificate "r.cert" expires in less than a day, at 2030-07-01T00:00:00.000Z`,
  ]);
});

Deno.test("which certificate of ours has ended, or is not valid yet, is known at any time", async () => {
  const life = (days: number) => ({ notBefore: FROM, notAfter: inDays(days) });
  const root = await makeCertificate({ ca: true, name: "Root", ...life(30) });
  const between = await makeCertificate({ ca: true, name: "Between", ...life(20) }, root);
  const leaf = await makeCertificate(life(10), between);
  const { problemAt } = await check(filesOf(root, leaf, [between]), { now: NOW });
  assert.equal(problemAt(inDays(10)), undefined);
  assert.equal(
    problemAt(inDays(11)),
    `certificate "s.cert" expired at 2030-06-11T00:00:00.000Z; ` +
      "the clock of this machine says 2030-06-12T00:00:00.000Z",
  );
  assert.equal(
    problemAt(new Date("2029-12-31T23:00:00Z")),
    `certificate "s.cert" is not valid before 2030-01-01T00:00:00.000Z; ` +
      "the clock of this machine says 2029-12-31T23:00:00.000Z",
  );

  const short = await makeCertificate({ ca: true, name: "Short", ...life(5) }, root);
  const below = await makeCertificate(life(10), short);
  const { problemAt: ofBelow } = await check(filesOf(root, below, [short]), { now: NOW });
  assert.match(
    ofBelow(inDays(6)) ?? "",
    /^"CN=Short" in certificate "s\.cert" expired at 2030-06-06T/,
  );
  const old = await makeCertificate({ ca: true, name: "Old", ...life(5) });
  const other = await makeCertificate({ ca: true, name: "Other", ...life(50) });
  const files = filesOf(old, await makeCertificate(life(10), old));
  const alone = await check(files, { now: NOW });
  assert.match(alone.problemAt(inDays(6)) ?? "", /^root certificate "r\.cert" expired at /);
  const bundle = await check({ ...files, root: other.certificate + files.root }, { now: NOW });
  assert.match(bundle.problemAt(inDays(6)) ?? "", /^"CN=Old" in root certificate "r\.cert" exp/);
});

Deno.test("while another path is valid nothing is wrong", async () => {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const life = (days: number) => ({ keys, ca: true, notBefore: FROM, notAfter: inDays(days) });
  const [ending, renewed] = [await makeCertificate(life(5)), await makeCertificate(life(50))];
  const leaf = await makeCertificate({ notBefore: FROM, notAfter: inDays(90) }, renewed);
  const roots = ending.certificate + renewed.certificate;
  const { problemAt } = await check({ ...filesOf(renewed, leaf), root: roots }, { now: NOW });
  assert.equal(problemAt(inDays(6)), undefined);
  assert.match(problemAt(inDays(51)) ?? "", /expired at/);
});

Deno.test("a certificate for no host is used, and warned about", async () => {
  assert.deepEqual(
    (await check(await pair({ names: [{ type: "dns", value: "x" }] }))).warnings,
    [],
  );
  const spiffe = [{ type: "url", value: "spiffe://a/b" }] as const;
  assert.deepEqual((await check(await pair({ names: [...spiffe] }))).warnings, [
    `Peers that dial this connector refuse it: certificate "s.cert" has no host name or address`,
  ]);
});

Deno.test("what a certificate has that is not taken is named, with what to do", async () => {
  const made = await pair();
  await assert.rejects(
    check({ ...made, certificate: withAlgorithm(made.certificate) }),
    (error) => {
      assert.ok(error instanceof ConnectorError);
      assert.match(error.message, /is not supported \(SHA-224 with ECDSA\), want SHA-256, SHA-384/);
      assert.match(error.hint ?? "", /^Have a suitable one issued, or make one with/);
      return true;
    },
  );
});

/** The same certificate with ecdsa-with-SHA224 as the algorithm of its signature, for ecdsa-with-SHA256. */
function withAlgorithm(certificate: string): string {
  const [block = ""] = /(?<=-\n)[^-]+/.exec(certificate) ?? [];
  const hex = Uint8Array.fromBase64(block.replace(/\s/g, "")).toHex();
  const changed = hex.replaceAll("2a8648ce3d040302", "2a8648ce3d040301");
  assert.notEqual(changed, hex);
  return pem("CERTIFICATE", Uint8Array.fromHex(changed));
}

Deno.test("a peer is described from DER and from what node's TLS gives", () => {
  const pem = referenceFile("leaf.cert");
  const raw = new X509Certificate(pem).raw;
  const [parsed] = parseCertificates(labelled("x", pem));
  assert.ok(parsed);
  assert.deepEqual(describePeer(raw), identityOf(parsed));
  assert.deepEqual(describePeer({ raw }), identityOf(parsed));
  // A view into a larger buffer, as sockets hand them out.
  const larger = new Uint8Array(raw.length + 20);
  larger.set(raw, 10);
  assert.deepEqual(describePeer(larger.subarray(10, 10 + raw.length)), identityOf(parsed));
});

Deno.test("a hostile peer's names are bounded and printable, and only spiffe URIs identify", async () => {
  const made = await makeCertificate({
    name: "x\u0007y",
    names: [
      { type: "url", value: "https://spiffe.example/" },
      { type: "url", value: "spiffe://one/a\u001b[31m" },
      { type: "url", value: "spiffe://two/b" },
      { type: "dns", value: `${"a".repeat(5000)}` },
      ...Array.from({ length: 500 }, (_, i) => ({ type: "dns" as const, value: `h${i}` })),
    ],
  });
  const identity = describePeer(new X509Certificate(made.certificate).raw);
  assert.equal(identity.subject, "CN=x\ufffdy");
  assert.equal(identity.spiffe, "spiffe://one/a\ufffd[31m");
  assert.equal(identity.dnsNames.length, 100);
  assert.equal(identity.dnsNames[0]?.length, 512);
  assert.deepEqual(identity.ipAddresses, []);
});

Deno.test("what is no certificate is one foreseen error, whatever the bytes", () => {
  const good = new Uint8Array(new X509Certificate(referenceFile("leaf.cert")).raw);
  const mutated = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 5 })
    .map((changes) => {
      const bytes = new Uint8Array(good);
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    });
  const truncated = fc.nat(good.length - 1).map((length) => good.slice(0, length));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated, truncated), (bytes) => {
      try {
        assert.equal(typeof describePeer(bytes).subject, "string");
      } catch (error) {
        if (!(error instanceof ConnectorError) || error.code !== "invalid_argument") throw error;
      }
    }),
  );
});
