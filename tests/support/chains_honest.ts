// Rows of the table of chains.ts: honest chains of every kind, which must stay in.

import { X509Certificate } from "node:crypto";
import { referenceFile } from "./certificates.ts";
import {
  alternativeNames,
  dnsName,
  extendedUsages,
  extension,
  inDays,
  ipName,
  keyUsage,
  LOOPBACK_NAMES,
  mailName,
  makeKey,
  OIDS,
  uriName,
  USAGE,
  writeCertificate,
  type Written,
} from "./certificate_writer.ts";
import { type ChainTable, CLIENT_ONLY, EITHER, NO, OK } from "./chains.ts";
import { type Bytes, generalizedTime, hex, oid, sequence, text, time, tlv } from "./der_writer.ts";

export function addHonest(table: ChainTable): void {
  const { root, otherRoots } = table;
  table.simple("good", OK);
  table.add("good, the root sent along", [table.leaf(), root], OK);
  table.simple("RSA-2048 leaf", OK, { key: makeKey("rsa-2048") });
  table.simple("RSA-4096 leaf", OK, { key: makeKey("rsa-4096") });
  for (const kind of ["p384", "p521", "ed25519"] as const) {
    table.simple(`leaf key ${kind}`, OK, { key: makeKey(kind) });
  }
  for (const [kind, issuer] of Object.entries(otherRoots)) {
    table.simple(`good, under a root with the key ${kind}`, OK, { issuer });
  }
  for (const scheme of ["sha256", "sha384", "sha512"] as const) {
    table.simple(`RSA root, ${scheme}`, OK, { issuer: otherRoots["rsa-4096"], scheme });
  }
  table.simple("P-384 root, SHA-384", OK, { issuer: otherRoots.p384, scheme: "sha384" });
  table.simple("P-521 root, SHA-512", OK, { issuer: otherRoots.p521, scheme: "sha512" });
  for (const kind of ["rsa-2048", "p384", "p521", "ed25519"] as const) {
    table.under(`intermediate key ${kind}`, OK, { key: makeKey(kind) });
  }

  addIntermediates(table);
  addConventions(table);
  addReference(table);
}

function addIntermediates(table: ChainTable): void {
  const { root } = table;
  table.under("intermediate, no key usage at all", OK, { usage: null });
  const upper = table.ca("Int A1", { pathLength: 1 });
  const lower = table.ca("Int B1", { issuer: upper, pathLength: 0 });
  const leaf = table.leaf({ issuer: lower });
  table.add("two intermediates, pathlen kept", [leaf, lower, upper], OK);
  table.add("two intermediates, wrong order", [leaf, upper, lower], OK, {
    note: "the order is free in TLS 1.3",
  });
  table.add("two intermediates, duplicates", [leaf, lower, upper, lower, upper, root, root], OK);
  table.add("two intermediates, the root between them", [leaf, lower, root, upper], OK);
  table.add("two intermediates, the root first", [leaf, root, upper, lower], OK);

  const cas: Written[] = [root];
  for (let depth = 0; depth < 7; depth++) {
    cas.push(table.ca(`Deep ${depth}`, { issuer: cas.at(-1) ?? root }));
  }
  const six = cas.slice(1, 7).toReversed();
  table.add("six intermediates", [table.leaf({ issuer: six[0] ?? root }), ...six], OK);
  const seven = cas.slice(1).toReversed();
  table.add("seven intermediates", [table.leaf({ issuer: seven[0] ?? root }), ...seven], NO, {
    note: "TLS stacks stop at six; ours does at start, too",
  });

  // One name and key, signed by a root that is trusted and by one that is not.
  const key = makeKey();
  const stranger = writeCertificate({ ca: true, subject: "Stranger CA" });
  const ours = table.ca("Cross", { key });
  const theirs = table.ca("Cross", { key, issuer: stranger });
  const crossed = table.leaf({ issuer: ours });
  table.add("cross-signed, ours first", [crossed, ours, theirs], OK);
  table.add("cross-signed, theirs first", [crossed, theirs, ours], OK, {
    note: "the first issuer that fits leads nowhere: the other has to be tried",
  });
  table.add("cross-signed, theirs and their root first", [crossed, theirs, stranger, ours], OK);
  const expired = table.ca("Cross", { key, from: -30, to: -1 });
  table.add("renewed intermediate behind the expired one", [crossed, expired, ours], OK);
  const rekeyed = table.ca("Cross");
  table.add("re-keyed intermediate before the one that signed", [crossed, rekeyed, ours], OK);
  for (const [count, want] of [[30, OK], [50, EITHER]] as const) {
    const others = Array.from({ length: count - 2 }, (_, i) => table.ca(`Other ${i}`, { key }));
    table.add(
      `${count} intermediates, of which one is needed`,
      [crossed, ...others, ours, theirs],
      want,
      { note: "some servers send every CA that they have; what a stranger sends has a bound" },
    );
  }
}

/** What authorities do that is in order, if not usual. */
function addConventions(table: ChainTable): void {
  table.simple("EKU absent", OK, { purposes: null });
  table.simple("EKU with further purposes", OK, { purposes: ["code", "client", "server", "any"] });
  table.simple("EKU critical", OK, {
    purposes: null,
    extra: [
      extension(
        OIDS.extendedUsages,
        sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2")),
        { critical: true },
      ),
    ],
  });
  table.simple("key usage absent", OK, { usage: null });
  table.simple("key usage with keyEncipherment", OK, { usage: keyUsage(0, USAGE.keyEncipherment) });
  table.simple("leaf without basic constraints", OK, { constraints: null });
  table.simple("basic constraints not critical", OK, {
    constraints: extension(OIDS.basicConstraints, sequence()),
  });
  table.simple("leaf without identifiers of keys", OK, {
    extensions: (list) => list.slice(0, 4),
  });
  table.simple("non-critical unknown extension", OK, {
    extra: [extension(OIDS.unknown, hex("0500"))],
  });
  table.simple("non-critical certificate policies", OK, {
    extra: [extension("2.5.29.32", sequence(sequence(oid("2.5.29.32.0"))))],
  });
  table.simple("empty subject, critical SAN good", OK, {
    subjectName: sequence(),
    names: null,
    extra: [alternativeNames(LOOPBACK_NAMES, { critical: true })],
  });
  table.simple("SAN of every common kind", OK, {
    names: [
      ...LOOPBACK_NAMES,
      ipName(...new Uint8Array(15), 1),
      mailName("a@example.org"),
      uriName("spiffe://example.org/a"),
    ],
  });
  table.simple("SAN only an IPv4 address", OK, { names: [ipName(127, 0, 0, 1)] }, {
    host: "127.0.0.1",
  });
  table.simple("SAN only an IPv6 address", OK, { names: [ipName(...new Uint8Array(15), 1)] }, {
    host: "::1",
  });
  table.simple("SAN absent, as a client", CLIENT_ONLY, { names: null });
  table.simple("1,000 SANs", OK, {
    names: [...LOOPBACK_NAMES, ...Array.from({ length: 1000 }, (_, i) => dnsName(`h${i}.example`))],
  });
  table.simple("subject with control characters and ANSI", OK, {
    subject: "\x1b[31mred\x1b[0m\r\nlevel=ERROR fake",
  });
  table.simple("subject with bidi and zero width", OK, { subject: "a\u202e\u200bb\u2028c" });
  table.simple("serial number of 20 bytes", OK, {
    draft: () => ({ serial: tlv(0x02, hex("7f"), new Uint8Array(19).fill(0xff)) }),
  });
  table.simple("valid until the end of year 9999", OK, {
    draft: () => ({
      validity: sequence(time(inDays(-1)), generalizedTime(new Date("9999-12-31T23:59:59Z"))),
    }),
    // Of which RFC 5280 section 4.1.2.5 says that it means no end at all.
  });
  table.simple("valid since 1970", OK, {
    draft: () => ({ validity: sequence(tlv(0x17, text("700101000000Z")), time(inDays(1))) }),
  });
  table.simple("valid since 1950", NO, {
    draft: () => ({ validity: sequence(tlv(0x17, text("500101000000Z")), time(inDays(1))) }),
  }, {
    note: "the runtime's TLS library counts from 1970, and verifies nothing that it cannot read",
  });
  table.simple("a subject of many kinds of text", OK, {
    subjectName: sequence(
      ...[
        tlv(0x13, text("printable")),
        tlv(0x14, hex("e9")),
        tlv(0x16, text("ia5")),
        tlv(0x1e, hex("00e9")),
        tlv(0x1c, hex("000000e9")),
      ].map((value) => tlv(0x31, sequence(oid("2.5.4.11"), value))),
    ),
  });

  const now = inDays(10);
  table.simple("judged in its first second", OK, { from: 10 }, { now });
  table.simple("judged in its last second", OK, { to: 10 }, { now });
  table.simple("judged a second early", NO, { from: 10 }, { now: new Date(now.getTime() - 1000) });
  table.simple("judged a second late", NO, { to: 10 }, { now: new Date(now.getTime() + 1000) });

  // What `openssl req -x509` makes with `-extensions v3_ca`: no key usage, and constraints that may be not critical.
  for (const critical of [true, false]) {
    const openssl = writeCertificate({
      ca: true,
      subject: "OpenSSL CA",
      usage: null,
      constraints: extension(OIDS.basicConstraints, basicConstraintsValue(), { critical }),
    });
    table.add(
      `root without key usage, basic constraints ${critical ? "" : "not "}critical`,
      [table.leaf({ issuer: openssl, constraints: null, usage: null, purposes: null })],
      OK,
      { roots: [openssl.der] },
    );
  }
  const limited = writeCertificate({ ca: true, subject: "Limited root", pathLength: 0 });
  table.add("root of path length 0, its leaf", [table.leaf({ issuer: limited })], OK, {
    roots: [limited.der],
  });
  const both = writeCertificate({
    ca: true,
    subject: "Root for both",
    extra: [extendedUsages("server", "client")],
  });
  table.add("root with both extended key usages", [table.leaf({ issuer: both })], OK, {
    roots: [both.der],
  });
}

/** CA:TRUE, as the value of the extension. */
function basicConstraintsValue(): Bytes {
  return hex("30030101ff");
}

/** What the Go connector makes, with Go's crypto/x509. */
function addReference(table: ChainTable): void {
  const der = (name: "root.cert" | "leaf.cert"): Bytes =>
    new Uint8Array(new X509Certificate(referenceFile(name)).raw);
  table.cases.push({
    name: "the Go connector's own",
    chain: [der("leaf.cert")],
    key: referenceFile("leaf.key"),
    want: OK,
    roots: [der("root.cert")],
    host: "localhost",
    note: "",
  });
}
