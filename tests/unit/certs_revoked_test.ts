// Lists of revoked certificates: what is read of each form, what is refused and in which words, and whom the judge keeps
// out because of them.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { createPeerJudge } from "../../src/certs/judge/peers.ts";
import { markOf, readRevoked, RevokedCertificates } from "../../src/certs/judge/revoked.ts";
import { type Certificate, parseCertificate } from "../../src/certs/reader/certificate.ts";
import { parseCrl } from "../../src/certs/reader/crl.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import {
  algorithmOf,
  extension,
  inDays,
  makeKey,
  OIDS,
  writeCertificate,
  type Written,
} from "../support/certificate_writer.ts";
import { type CrlShape, writeCrl } from "../support/crl_writer.ts";
import { damage, Random } from "../support/damaged_certificates.ts";
import { type Bytes, hex, integer, pem, sequence } from "../support/der_writer.ts";

const root = writeCertificate({ ca: true, subject: "Root" });
const between = writeCertificate({ ca: true, subject: "Between", issuer: root });
const leaf = writeCertificate({ subject: "Leaf", issuer: root });
const deepLeaf = writeCertificate({ subject: "Deep", issuer: between });
const roots = [certificateOf(root)];
const NOW = inDays(0);

function certificateOf({ der }: Written): Certificate {
  return parseCertificate(der);
}

function fingerprintOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function serialOf(certificate: Written): bigint {
  return BigInt(`0x${certificateOf(certificate).serial}`);
}

function read(content: string | Bytes, options: { now?: Date } = {}): RevokedCertificates {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return readRevoked({ label: 'revoked "r"', bytes }, { roots, now: NOW, ...options });
}

/** Why a peer is refused; undefined when it is let in. */
function reasonAgainst(chain: readonly Written[], list: RevokedCertificates): string | undefined {
  const judge = createPeerJudge(roots, { now: () => NOW, revoked: () => list });
  try {
    judge(chain.map(({ der }) => der), { purpose: "client" });
    return undefined;
  } catch (error) {
    if (error instanceof ConnectorError) return error.message;
    throw error;
  }
}

Deno.test("a serial number, and the fingerprint of a certificate or of its key, in every spelling", () => {
  const serial = certificateOf(leaf).serial;
  const fingerprint = fingerprintOf(leaf.der);
  const colons = fingerprint.toUpperCase().replace(/..(?!$)/g, "$&:");
  const lines = [
    serial,
    `0x${serial}`,
    `00${serial}`,
    `serial=${serial.toUpperCase()}`,
    `Serial Number: ${serial}`,
    `  ${serial}  # stolen on Monday`,
    fingerprint,
    colons,
    `sha256 Fingerprint=${colons}`,
    `SHA256:${fingerprint}`,
    fingerprintOf(leaf.key.spki),
  ];
  for (const line of lines) {
    const list = read(`# Nobody's business\r\n\r\n${line}\r\n`);
    strictEqual(list.size, 1, line);
    strictEqual(reasonAgainst([leaf], list), "its certificate is revoked", line);
    strictEqual(reasonAgainst([deepLeaf, between], list), undefined, line);
  }
  for (const nothing of ["\n", "# only this\n"]) strictEqual(read(nothing).size, 0);
});

Deno.test("a line that is neither is named, and so is what was wanted", () => {
  const lines = [
    "zebra",
    "1234 5678",
    "12::34",
    "0x",
    "ab".repeat(21),
    "sha256=1234",
    "sha1 Fingerprint=12",
  ];
  lines.push(`serial=${"ab".repeat(32)}`, "-5");
  for (const line of lines) {
    throws(() => read(`0a\n${line}\n`), {
      code: "invalid_argument",
      message: `Cannot use revoked "r": line 2 "${line}" is neither a SHA-256 fingerprint nor a ` +
        "serial number, want 64 or 1 to 40 hexadecimal digits",
    });
  }
  throws(() => read(""), { message: 'Cannot use revoked "r": it is empty' });
  for (const binary of [hex("302361ff"), hex("302300"), hex("310a1b5b")]) {
    throws(() => read(binary), { message: 'Cannot use revoked "r": it is neither text nor a CRL' });
  }
  throws(() => read("x".repeat(500)), /line 1 "x{100}…" is neither/);
});

Deno.test("a CRL of a root, in DER and in PEM, and several in one file", () => {
  const crl = writeCrl({ issuer: root, revoked: [5_000n, serialOf(leaf)] });
  const [first, second] = [writeCrl({ issuer: root, revoked: [5_000n] }), crl];
  const forms = [crl, pem("X509 CRL", crl), pem("X509 CRL", first) + pem("X509 CRL", second)];
  for (const form of forms) {
    const list = read(form);
    strictEqual(list.size, 2);
    deepStrictEqual(list.nextUpdate, inDays(7));
    strictEqual(reasonAgainst([leaf], list), "its certificate is revoked");
    strictEqual(reasonAgainst([deepLeaf, between], list), undefined);
  }
  const shapes: Partial<CrlShape>[] = [
    { extensions: null },
    { to: null },
    { extensions: [extension(OIDS.authorityKeyId, hex("3000"))] },
    { revoked: [{ serial: integer(7), extensions: [extension("2.5.29.21", hex("0a0101"))] }] },
  ];
  for (const shape of shapes) read(writeCrl({ issuer: root, revoked: [5n], ...shape }));
  strictEqual(read(writeCrl({ issuer: root })).size, 0);
});

Deno.test("entries beside CRLs are refused, and what OpenSSL writes there is not", () => {
  const crl = pem("X509 CRL", writeCrl({ issuer: root, revoked: [5n] }));
  const fingerprint = "5F".repeat(32);
  for (const line of ["serial=0A1B", `sha256 Fingerprint=${fingerprint}`, fingerprint]) {
    const problem = `"${line}" is an entry, and the file has CRLs, want one or the other`;
    throws(() => read(`${crl}\n${line}\n`), ({ message }: Error) => message.endsWith(problem));
    throws(() => read(`${line}\n${crl}`), { message: `Cannot use revoked "r": line 1 ${problem}` });
  }
  const text =
    "        Version 2 (0x1)\n    Serial Number: 0A1B\n    Signature Value:\n  30:45:02\n";
  strictEqual(read(text + crl).size, 1);
});

Deno.test("a serial number of a CRL counts for what its issuer has issued, and for nothing else", () => {
  const list = read(writeCrl({ issuer: root, revoked: [serialOf(deepLeaf), serialOf(root)] }));
  strictEqual(reasonAgainst([deepLeaf, between], list), undefined);
  // Anybody's, in a list of lines; but nobody has given a root its number.
  const lines = read(`${certificateOf(deepLeaf).serial}\n${certificateOf(root).serial}\n`);
  strictEqual(reasonAgainst([deepLeaf, between], lines), "its certificate is revoked");
  strictEqual(reasonAgainst([leaf], lines), undefined);
});

Deno.test("who was issued under a revoked CA is refused, unless another path leads to a root", () => {
  const list = read(fingerprintOf(between.der));
  strictEqual(
    reasonAgainst([deepLeaf, between], list),
    'its certificate was issued under "O=Jumppad, CN=Between", which is revoked',
  );
  strictEqual(reasonAgainst([leaf], list), undefined);
  const again = writeCertificate({ ca: true, subject: "Between", issuer: root, key: between.key });
  strictEqual(reasonAgainst([deepLeaf, between, again], list), undefined);
  // A root that was stolen: nothing that it has signed is trusted.
  strictEqual(
    reasonAgainst([leaf], read(fingerprintOf(root.der))),
    'its certificate was issued under "O=Jumppad, CN=Root", which is revoked',
  );
});

Deno.test("a peer that was let in is judged by each later list", () => {
  let list = new RevokedCertificates();
  const judge = createPeerJudge(roots, { now: () => NOW, revoked: () => list });
  const judged = judge([deepLeaf.der, between.der], { purpose: "client" });
  strictEqual(judged.revoked(), undefined);
  const serial = certificateOf(deepLeaf).serial;
  list = read(serial);
  strictEqual(
    judged.revoked(),
    `the certificate "O=Jumppad, CN=Deep" with the serial number ${serial} is revoked`,
  );
  list = read(fingerprintOf(root.der));
  match(judged.revoked() ?? "", /CN=Root/);
  list = new RevokedCertificates();
  strictEqual(judged.revoked(), undefined);
});

Deno.test("a CRL that cannot be relied on is refused, and why", () => {
  const other = writeCertificate({ ca: true, subject: "Other" });
  const namesake = { name: root.name, key: makeKey() };
  const critical = (type: string) => extension(type, hex("020101"), { critical: true });
  const cases: Record<string, [Partial<CrlShape>, RegExp]> = {
    "of somebody else": [{ issuer: other }, /its issuer "O=Jumppad, CN=Other" is not one of the r/],
    "of an intermediate": [{ issuer: between }, /CN=Between" is not one of the roots/],
    "of a namesake": [{ issuer: namesake }, /was not signed with the key of "O=Jumppad, CN=Root"/],
    "with SHA-1": [{ scheme: "sha1" }, /signature of a kind that is not supported/],
    "of tomorrow": [{ from: 1 }, /it is not valid before \d{4}-/],
    "with another signature": [{ signature: (it) => it.map((byte) => byte ^ 1) }, /not signed/],
    "only changes": [{ extensions: [critical("2.5.29.27")] }, /extension 2\.5\.29\.27, want a wh/],
    "of one kind only": [{ extensions: [critical("2.5.29.28")] }, /extension 2\.5\.29\.28/],
    "of other issuers": [
      { revoked: [{ serial: integer(1), extensions: [critical("2.5.29.29")] }] },
      /critical extension 2\.5\.29\.29/,
    ],
    "two algorithms": [
      { outerAlgorithm: algorithmOf(makeKey("ed25519")) },
      /two kinds of signature that differ/,
    ],
    "version 1 with extensions": [
      { members: (all) => all.slice(1), extensions: [extension(OIDS.unknown, hex("0500"))] },
      /does not belong there/,
    ],
    "version 3": [{ members: ([, ...rest]) => [integer(2), ...rest] }, /a version that cannot be/],
    "a negative serial": [{ revoked: [{ serial: hex("0201ff") }] }, /a negative serial number/],
    "a long serial": [
      { revoked: [{ serial: integer(1n << 168n) }] },
      /a serial number of 22 bytes, want 20/,
    ],
    "an empty list": [
      { members: (all) => [...all, sequence()] },
      /a list of revoked certificates without any/,
    ],
    "something behind it": [{ members: (all) => [...all, integer(1)] }, /does not belong there/],
  };
  for (const [what, [shape, reason]] of Object.entries(cases)) {
    const der = writeCrl({ issuer: root, ...shape });
    throws(() => read(der), (error) => {
      ok(error instanceof ConnectorError, what);
      match(error.message, /^Cannot use revoked "r": /, what);
      match(error.message, reason, what);
      return true;
    }, what);
  }
  throws(() => read(pem("CERTIFICATE", root.der)), /no block of it is called "X509 CRL"/);
  throws(() => read(pem("X509 CRL", root.der)), /Cannot use revoked "r": an element of tag/);
  throws(() => read(pem("X509 CRL", writeCrl({ issuer: root })).slice(0, 90)), /has no end/);
});

Deno.test("damaged CRLs: each is a foreseen error, and none is taken for another list", () => {
  const seed = Number(Deno.env.get("SEED") ?? Date.now() % 2 ** 32);
  console.log(`SEED=${seed}`);
  const random = new Random(seed);
  const entry = { serial: integer(7), extensions: [extension("2.5.29.21", hex("0a0101"))] };
  const good = writeCrl({
    issuer: root,
    revoked: [5n, entry],
    extensions: [extension(OIDS.unknown, hex("0500"))],
  });
  let readable = 0;
  for (let index = 0; index < 3000; index += 1) {
    const { bytes, how } = damage(good, random);
    const what = `SEED=${seed}, number ${index}, ${how}: ${bytes.toHex()}`;
    // Some bytes may be digits.
    if (bytes.length < 10) continue;
    try {
      parseCrl(bytes);
      readable += 1;
    } catch (error) {
      ok(error instanceof SyntaxError, `${error} of ${what}`);
    }
    try {
      // ECDSA has a second signature for each, and damage can undo itself: the content is the same.
      const list = read(bytes);
      ok(
        list.size === 2 &&
          list.has(markOf({ ...certificateOf(leaf), serial: "7" }, { isRoot: false })),
        what,
      );
    } catch (error) {
      ok(error instanceof ConnectorError, `${error} of ${what}`);
    }
  }
  ok(readable > 100, `${readable} of them can be read`);
});
