// Rows of the table of chains.ts: keys and signatures, too weak, forged, or of kinds that nobody needs.

import {
  algorithmOf,
  type CertificateShape,
  makeKey,
  signBytes,
  type TestKey,
  writeCertificate,
} from "./certificate_writer.ts";
import { type CaseOptions, type ChainTable, EITHER, NO, OK } from "./chains.ts";
import { createHash, createPrivateKey } from "node:crypto";
import {
  bits,
  type Bytes,
  concat,
  elementsOf,
  hex,
  integer,
  NULL,
  oid,
  sequence,
  tlv,
} from "./der_writer.ts";

export function addKeys(table: ChainTable): void {
  for (
    const kind of ["p192", "p224", "secp256k1", "brainpool256", "p256-explicit", "dsa"] as const
  ) {
    // certs.py has a shorter name for one.
    const name = kind === "secp256k1" ? "k1" : kind;
    table.simple(`leaf key ${name}`, NO, { key: makeKey(kind) });
  }
  table.simple("leaf key ed448", NO, { key: makeKey("ed448") }, { note: "TLS has no such here" });
  table.simple("leaf key x25519", NO, { key: makeKey("x25519") }, { note: "it cannot sign" });
  table.simple("leaf key rsa-pss", NO, { key: makeKey("rsa-pss") }, {
    note: "TLS knows RSA keys of the common kind alone",
  });
  table.simple("RSA-1024 leaf", NO, { key: makeKey("rsa-1024") });
  table.simple("RSA leaf of exponent 3", EITHER, { key: makeKey("rsa-2048-e3") }, {
    note: "allowed by RFC 8017, no longer made by anybody",
  });
  for (const kind of ["p224", "secp256k1", "ed448", "rsa-1024"] as const) {
    const name = kind === "rsa-1024" ? "RSA-1024 intermediate" : `intermediate key ${kind}`;
    table.under(name, NO, { key: makeKey(kind) });
  }

  table.simple("SHA-1 signature (ECDSA)", NO, { scheme: "sha1" });
  table.simple("SHA-384 signature (ECDSA)", OK, { scheme: "sha384" });
  table.simple("SHA-512 signature (ECDSA)", EITHER, { scheme: "sha512" });
  const rsa = table.ca("RSA int", { key: makeKey("rsa-2048") });
  const byRsa = (name: string, scheme: CertificateShape["scheme"], want = NO, note = "") =>
    table.add(name, [table.leaf({ issuer: rsa, scheme: scheme ?? "sha256" }), rsa], want, { note });
  byRsa("SHA1 signature (RSA)", "sha1");
  byRsa("MD5 signature (RSA)", "md5");
  byRsa("SHA256 signature (RSA)", "sha256", OK);
  byRsa("SHA256 signature (RSA-PSS)", "pss", OK);
  table.under("intermediate signed with SHA-1", NO, { scheme: "sha1" });

  addAlgorithms(table, rsa);
  addSignatures(table);
  addPublicKeys(table);
}

function addAlgorithms(table: ChainTable, rsa: ReturnType<ChainTable["ca"]>): void {
  const { root } = table;
  const ecSha1 = algorithmOf(root.key, "sha1");
  const ecSha256 = algorithmOf(root.key);
  table.simple("inner and outer signature algorithm differ", NO, { outerAlgorithm: ecSha1 });
  table.simple("inner signature algorithm is SHA-1, outer not", NO, {
    draft: () => ({ algorithm: ecSha1 }),
  });
  const algorithm = (name: string, bytes: Bytes, want = NO, options: CaseOptions = {}) =>
    table.simple(name, want, {
      draft: () => ({ algorithm: bytes }),
      outerAlgorithm: bytes,
    }, options);
  const withNull = sequence(oid("1.2.840.10045.4.3.2"), NULL);
  algorithm("ECDSA algorithm with NULL parameters", withNull, NO, {
    note: "RFC 5758 section 3.2 wants none",
  });
  algorithm("signature algorithm unknown", sequence(oid("1.2.3.4")));
  algorithm("signature algorithm of another kind of key", algorithmOf(rsa.key));
  algorithm("signature algorithm of no bytes", hex("3000"));
  algorithm(
    "signature algorithm with more behind it",
    sequence(oid("1.2.840.10045.4.3.2"), NULL, NULL),
  );
  algorithm("signature algorithm is the key's", sequence(oid("1.2.840.10045.2.1")));
  algorithm("signature algorithm ECDSA with no hash", sequence(oid("1.2.840.10045.4.3")));
  const absent = sequence(oid("1.2.840.113549.1.1.11"));
  table.add(
    "RSA algorithm without NULL parameters",
    [
      table.leaf({ issuer: rsa, draft: () => ({ algorithm: absent }), outerAlgorithm: absent }),
      rsa,
    ],
    EITHER,
    { note: "RFC 4055 wants both forms to be taken, TLS stacks mostly take one" },
  );
  table.simple("signature algorithms differ in length form", NO, {
    outerAlgorithm: concat(hex("3081"), ecSha256.subarray(1)),
  });
}

function addSignatures(table: ChainTable): void {
  const signature = (name: string, change: NonNullable<CertificateShape["signature"]>, want = NO) =>
    table.simple(name, want, { signature: change });
  signature("signature, last bit flipped", (bytes) => {
    const flipped = concat(bytes);
    flipped[flipped.length - 1] = (flipped.at(-1) ?? 0) ^ 1;
    return flipped;
  });
  signature("signature of zeros (r=s=0)", () => hex("3006020100020100"));
  signature("signature r=s=1", () => hex("3006020101020101"));
  const order = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  signature("signature r=s=n", () => sequence(integer(order), integer(order)));
  signature("signature of no bytes", () => hex(""));
  signature("signature that is a NULL", () => NULL);
  signature("signature with bytes behind it", (bytes) => concat(bytes, hex("00")));
  const numbers = (bytes: Bytes) => {
    const [outer] = elementsOf(bytes);
    const [r, s] = elementsOf(outer?.content ?? bytes).map(({ content }) =>
      BigInt(`0x${content.toHex()}`)
    );
    return { r: r ?? 0n, s: s ?? 0n };
  };
  signature("signature with a third number", (bytes) => {
    const { r, s } = numbers(bytes);
    return sequence(integer(r), integer(s), integer(1));
  });
  signature("signature with r + n", (bytes) => {
    const { r, s } = numbers(bytes);
    return sequence(integer(r + order), integer(s));
  });
  signature("signature with -s", (bytes) => {
    const { r, s } = numbers(bytes);
    return sequence(integer(r), tlv(0x02, hex((2n ** 264n - s).toString(16))));
  });
  signature("signature with n - s", (bytes) => {
    const { r, s } = numbers(bytes);
    return sequence(integer(r), integer(order - s));
  }, OK);
  signature("signature with zeros before r", (bytes) => {
    const { r, s } = numbers(bytes);
    return sequence(
      tlv(0x02, hex("0000"), elementsOf(integer(r))[0]?.content ?? bytes),
      integer(s),
    );
  }, NO);
  signature("signature as r and s without ASN.1", (bytes) => {
    const { r, s } = numbers(bytes);
    return hex(r.toString(16).padStart(64, "0") + s.toString(16).padStart(64, "0"));
  });
  const signed = table.leaf();
  const another = table.leaf({ subject: "Mallory" });
  const [body] = elementsOf(elementsOf(another.der)[0]?.content ?? another.der);
  const [, algorithm, bytes] = elementsOf(elementsOf(signed.der)[0]?.content ?? signed.der);
  if (body && algorithm && bytes) {
    const der = sequence(body.whole, algorithm.whole, bytes.whole);
    table.add("signature of another certificate", [{ ...another, der }], NO);
  }
  table.simple("signature bits: one is unused", NO, {
    signatureBits: (bytes) => bits(bytes, { unused: 1 }),
  });
  table.simple("signature bits: eight are unused", NO, {
    signatureBits: (bytes) => bits(bytes, { unused: 8 }),
  });
  table.simple("signature bits: no byte that says how many are unused", NO, {
    signatureBits: () => tlv(0x03),
  });
  table.simple("signature bits in an octet string", NO, {
    signatureBits: (bytes) => tlv(0x04, bytes),
  });
  table.simple("signature bits constructed", NO, {
    signatureBits: (bytes) => tlv(0x23, bits(bytes)),
  });

  const cubic = table.ca("RSA of exponent 3", { key: makeKey("rsa-2048-e3") });
  const stranger = makeKey("rsa-2048");
  table.add(
    "RSA signature forged as a cube (exponent 3)",
    [
      table.leaf({
        issuer: { name: cubic.name, key: stranger },
        signature: (_, tbs) => cubeForgery(tbs),
      }),
      cubic,
    ],
    NO,
    { note: "Bleichenbacher 2006: padding that is not checked to its end" },
  );
  table.add("intermediate of exponent 3", [table.leaf({ issuer: cubic }), cubic], EITHER);
  const rsa = table.ca("RSA for odd signatures", { key: makeKey("rsa-2048") });
  const byRsa = (name: string, change: (bytes: Bytes) => Bytes) =>
    table.add(name, [table.leaf({ issuer: rsa, signature: change }), rsa], NO);
  const { n: modulus = "" } = createPrivateKey(rsa.key.pem).export({ format: "jwk" });
  const n = BigInt(
    `0x${Uint8Array.fromBase64(String(modulus), { alphabet: "base64url" }).toHex()}`,
  );
  byRsa("RSA signature of 0", () => new Uint8Array(256));
  byRsa("RSA signature of 1", () => concat(new Uint8Array(255), hex("01")));
  byRsa(
    "RSA signature + n",
    (bytes) => hex((BigInt(`0x${bytes.toHex()}`) + n).toString(16).padStart(514, "0")),
  );
  byRsa("RSA signature with a zero before it", (bytes) => concat(hex("00"), bytes));
  byRsa("RSA signature without its last byte", (bytes) => bytes.subarray(0, 255));
}

/** What is no signature, but becomes one's beginning when it is raised to the third power. */
function cubeForgery(tbs: Bytes): Bytes {
  const digest = new Uint8Array(createHash("sha256").update(tbs).digest());
  const info = concat(hex("3031300d060960864801650304020105000420"), digest);
  const head = concat(hex("0001ffffffffffffffff00"), info);
  const padded = concat(head, new Uint8Array(256 - head.length).fill(0xff));
  const root = cubeRoot(BigInt(`0x${padded.toHex()}`));
  return hex(root.toString(16).padStart(512, "0"));
}

function cubeRoot(value: bigint): bigint {
  let low = 0n;
  let high = 1n << 700n;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** 3n <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** Public keys that are none, in a CA that would have to verify the leaf with it, and in the leaf. */
function addPublicKeys(table: ChainTable): void {
  const { root } = table;
  const [algorithm, point] = elementsOf(elementsOf(root.key.spki)[0]?.content ?? root.key.spki);
  if (!algorithm || !point) throw new TypeError("a key has both");
  const coordinates = point.content.subarray(2);
  const ec = (bytes: Uint8Array, unused = 0) => sequence(algorithm.whole, bits(bytes, { unused }));
  const rsaAlgorithm = sequence(oid("1.2.840.113549.1.1.1"), NULL);
  const rsa = (n: bigint, e: bigint) =>
    sequence(rsaAlgorithm, bits(sequence(integer(n), integer(e))));
  const modulus = (length: number) => (1n << BigInt(length - 1)) + 12345678901n * 2n + 1n;
  const odd: [string, Bytes][] = [
    ["the point at infinity", ec(hex("00"))],
    ["a point that is not on the curve", ec(concat(hex("04"), new Uint8Array(64).fill(1)))],
    ["coordinates of zero", ec(concat(hex("04"), new Uint8Array(64)))],
    ["a point cut off", ec(point.content.subarray(1, 40))],
    ["unused bits", ec(point.content.subarray(1), 1)],
    ["no bytes", ec(hex(""))],
    ["a hybrid point", ec(concat(Uint8Array.of(6 + (coordinates[63] ?? 0) % 2), coordinates))],
    ["no curve", sequence(sequence(oid("1.2.840.10045.2.1")), point.whole)],
    ["an unknown curve", sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.3")), point.whole)],
    ["an unknown algorithm", sequence(sequence(oid("1.2.3")), point.whole)],
    ["nothing at all", hex("3000")],
    ["RSA of 16,384 bits", rsa(modulus(16_384), 65_537n)],
    ["RSA of 512 bits", rsa(modulus(512), 65_537n)],
    ["RSA of modulus 1", rsa(1n, 65_537n)],
    ["RSA of an even modulus", rsa(modulus(2048) - 1n, 65_537n)],
    ["RSA of exponent 1", rsa(modulus(2048), 1n)],
    ["RSA of an even exponent", rsa(modulus(2048), 65_536n)],
    ["RSA with an exponent as long as its modulus", rsa(modulus(4096), modulus(4096) - 2n)],
    ["RSA with an exponent of 8 KiB", rsa(modulus(2048), modulus(65_536))],
  ];
  for (const [what, spki] of odd) {
    const key: TestKey = { ...makeKey(), spki };
    const issuer = writeCertificate({ ca: true, subject: `Key: ${what}`, issuer: root, key });
    table.add(`intermediate key: ${what}`, [
      table.leaf({ issuer: { name: issuer.name, key: table.leafKey } }),
      issuer,
    ], NO);
  }
  const compressed = ec(
    concat(Uint8Array.of(2 + (coordinates[63] ?? 0) % 2), coordinates.subarray(0, 32)),
  );
  const same = table.ca("Compressed", { key: { ...root.key, spki: compressed } });
  table.add(
    "intermediate key: a compressed point",
    [
      table.leaf({ issuer: { name: same.name, key: root.key } }),
      same,
    ],
    EITHER,
    { note: "RFC 5480 allows it, no authority writes it" },
  );

  // CVE-2020-0601: the root's own public key, with parameters by which somebody else knows the private one.
  const [explicitAlgorithm] = elementsOf(
    elementsOf(makeKey("p256-explicit").spki)[0]?.content ?? hex(""),
  );
  const curveball = sequence(explicitAlgorithm?.whole ?? NULL, point.whole);
  const thief = makeKey();
  const double = writeCertificate({
    ca: true,
    subjectName: root.name,
    key: { ...thief, spki: curveball },
  });
  table.add("the root's public key with parameters of its own", [
    table.leaf({ issuer: { name: root.name, key: thief } }),
    double,
  ], NO);
  // The signature is right, and by the key of the leaf itself.
  const self: CertificateShape = {
    issuer: { name: root.name, key: table.leafKey },
    signature: (_, tbs) => signBytes(table.leafKey, tbs),
  };
  table.simple("signed with the leaf's own key in the root's name", NO, self);
}
