// Certificates of any form, bit by bit: right ones, and ones that no library would make. The shapes that a library
// makes too are in certificates.ts. Keys that take long to make, or that the runtime cannot make, are in
// tests/fixtures/odd_keys.json; they were made with node's crypto and secure nothing.

import {
  constants,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import odd from "../fixtures/odd_keys.json" with { type: "json" };
import {
  bits,
  type Bytes,
  concat,
  explicit,
  hex,
  integer,
  NULL,
  octets,
  oid,
  pem,
  sequence,
  set,
  text,
  time,
  tlv,
  TRUE,
  utf8String,
} from "./der_writer.ts";

/** Kinds of keys that are made when they are asked for. */
type NewKind = "p256" | "p384" | "p521" | "ed25519";
export type KeyKind = NewKind | keyof typeof odd;

/** A pair of keys. */
export interface TestKey {
  kind: KeyKind;
  /** SubjectPublicKeyInfo. */
  spki: Bytes;
  /** PKCS#8 in PEM. */
  pem: string;
}

const CURVES: Readonly<Record<string, string>> = { p256: "P-256", p384: "P-384", p521: "P-521" };

/** A new pair of keys; of the kinds in the fixture there is one pair each. */
export function makeKey(kind: KeyKind = "p256"): TestKey {
  if (kind in odd) {
    // It is a key of the fixture, as was just seen.
    const { spki, pkcs8 } = odd[kind as keyof typeof odd];
    return {
      kind,
      spki: Uint8Array.fromBase64(spki),
      pem: pem("PRIVATE KEY", Uint8Array.fromBase64(pkcs8)),
    };
  }
  const namedCurve = CURVES[kind];
  const { publicKey, privateKey } = namedCurve === undefined
    ? generateKeyPairSync("ed25519")
    : generateKeyPairSync("ec", { namedCurve });
  const key = {
    kind,
    spki: new Uint8Array(publicKey.export({ type: "spki", format: "der" })),
    pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
  handles.set(key, privateKey);
  return key;
}

/** Reading a private key takes longer than signing with it. */
const handles = new WeakMap<TestKey, KeyObject>();

function handleOf(key: TestKey): KeyObject {
  const handle = handles.get(key) ?? createPrivateKey(key.pem);
  handles.set(key, handle);
  return handle;
}

/** How a certificate is signed: the hash, `pss` with RSA for another padding. */
export type Scheme = "sha1" | "md5" | "sha256" | "sha384" | "sha512" | "pss";

const PSS_SHA256: Bytes = sequence(
  explicit(0, sequence(oid("2.16.840.1.101.3.4.2.1"), NULL)),
  explicit(1, sequence(oid("1.2.840.113549.1.1.8"), sequence(oid("2.16.840.1.101.3.4.2.1"), NULL))),
  explicit(2, integer(32)),
);
const RSA_OIDS: Readonly<Record<Scheme, string>> = {
  md5: "1.2.840.113549.1.1.4",
  sha1: "1.2.840.113549.1.1.5",
  sha256: "1.2.840.113549.1.1.11",
  sha384: "1.2.840.113549.1.1.12",
  sha512: "1.2.840.113549.1.1.13",
  pss: "1.2.840.113549.1.1.10",
};
const ECDSA_OIDS: Readonly<Record<string, string>> = {
  sha1: "1.2.840.10045.4.1",
  sha256: "1.2.840.10045.4.3.2",
  sha384: "1.2.840.10045.4.3.3",
  sha512: "1.2.840.10045.4.3.4",
};

/** What authorities take with a key. The runtime signs with P-521 over no hash that is shorter than half of it. */
function usualScheme({ kind }: TestKey): Scheme {
  return kind === "p521" ? "sha512" : "sha256";
}

/** The AlgorithmIdentifier of a signature by this key. */
export function algorithmOf(key: TestKey, scheme: Scheme = usualScheme(key)): Bytes {
  if (key.kind === "ed25519") return sequence(oid("1.3.101.112"));
  if (key.kind === "ed448") return sequence(oid("1.3.101.113"));
  if (!key.kind.startsWith("rsa")) return sequence(oid(ECDSA_OIDS[scheme] ?? ""));
  return sequence(oid(RSA_OIDS[scheme]), scheme === "pss" ? PSS_SHA256 : NULL);
}

/** Signs bytes as certificates are signed. */
export function signBytes(
  key: TestKey,
  bytes: Uint8Array,
  scheme: Scheme = usualScheme(key),
): Bytes {
  const handle = handleOf(key);
  if (key.kind.startsWith("ed")) return new Uint8Array(sign(null, bytes, handle));
  if (scheme !== "pss") return new Uint8Array(sign(scheme, bytes, handle));
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  return new Uint8Array(sign("sha256", bytes, { key: handle, padding, saltLength: 32 }));
}

/** A distinguished name; an attribute that is undefined is left out. */
export function distinguishedName(
  commonName: string | undefined,
  organization: string | undefined = "Jumppad",
): Bytes {
  const attribute = (type: string, value: string | undefined) =>
    value === undefined ? [] : [set(sequence(oid(type), utf8String(value)))];
  return sequence(...attribute("2.5.4.10", organization), ...attribute("2.5.4.3", commonName));
}

/** An extension; `value` is what its octet string holds. */
export function extension(
  type: string,
  value: Uint8Array,
  { critical = false }: { critical?: boolean } = {},
): Bytes {
  return sequence(oid(type), ...critical ? [TRUE] : [], octets(value));
}

export const OIDS = {
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  alternativeNames: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyId: "2.5.29.35",
  extendedUsages: "2.5.29.37",
  /** Nobody's. */
  unknown: "1.2.3.4.5.6",
} as const;

/** Names as alternative names and name constraints hold them. */
export const dnsName = (value: string) => tlv(0x82, text(value));
export const uriName = (value: string) => tlv(0x86, text(value));
export const mailName = (value: string) => tlv(0x81, text(value));
export const ipName = (...bytes: number[]) => tlv(0x87, Uint8Array.from(bytes));
export const directoryName = (name: Uint8Array) => explicit(4, name);

/** The names by which tests dial this machine, less the IPv6 one. */
export const LOOPBACK_NAMES: readonly Bytes[] = [dnsName("localhost"), ipName(127, 0, 0, 1)];

/** Key usage bits, from the first. */
export const USAGE = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5 };

/** A key usage extension of these bits. */
export function keyUsage(...usages: number[]): Bytes {
  return extension(OIDS.keyUsage, keyUsageBits(usages), { critical: true });
}

function keyUsageBits(usages: number[]): Bytes {
  if (usages.length === 0) return bits(new Uint8Array());
  const byte = usages.reduce((sum, bit) => sum | 0x80 >> bit, 0);
  return bits(Uint8Array.of(byte), { unused: 7 - Math.max(...usages) });
}

/** Extended key usages by the names that tests use. */
export const PURPOSES = {
  server: "1.3.6.1.5.5.7.3.1",
  client: "1.3.6.1.5.5.7.3.2",
  code: "1.3.6.1.5.5.7.3.3",
  any: "2.5.29.37.0",
} as const;
export type PurposeName = keyof typeof PURPOSES;

/** An extended key usage extension. */
export function extendedUsages(...purposes: PurposeName[]): Bytes {
  const value = sequence(...purposes.map((purpose) => oid(PURPOSES[purpose])));
  return extension(OIDS.extendedUsages, value);
}

/** A basic constraints extension. */
export function basicConstraints(
  { ca, pathLength }: { ca: boolean; pathLength?: number | undefined },
): Bytes {
  const value = sequence(
    ...ca ? [TRUE] : [],
    ...pathLength === undefined ? [] : [integer(pathLength)],
  );
  return extension(OIDS.basicConstraints, value, { critical: true });
}

/** A subject alternative name extension. */
export function alternativeNames(names: readonly Uint8Array[], { critical = false } = {}): Bytes {
  return extension(OIDS.alternativeNames, sequence(...names), { critical });
}

/** A name constraints extension. */
export function nameConstraints(
  { permitted, excluded, critical = true }: {
    permitted?: readonly Uint8Array[];
    excluded?: readonly Uint8Array[];
    critical?: boolean;
  },
): Bytes {
  const subtrees = (number: number, names: readonly Uint8Array[] | undefined) =>
    names === undefined ? [] : [explicit(number, ...names.map((name) => sequence(name)))];
  const value = sequence(...subtrees(0, permitted), ...subtrees(1, excluded));
  return extension(OIDS.nameConstraints, value, { critical });
}

/** Who signs: a name and a key. */
export interface Signer {
  name: Bytes;
  key: TestKey;
}

/** A certificate and all that signs with it. */
export interface Written extends Signer {
  der: Bytes;
}

/** The elements of a certificate's signed part, whole. */
export interface Draft {
  version: Bytes;
  serial: Bytes;
  algorithm: Bytes;
  issuer: Bytes;
  validity: Bytes;
  subject: Bytes;
  publicKey: Bytes;
  /** What stands between the key and the extensions: nothing, or unique identifiers. */
  uniqueIds: Bytes;
  /** With the context tag around. */
  extensions: Bytes;
}

/** How a certificate is wanted; what is absent is as a good leaf or CA has it. */
export interface CertificateShape {
  subject?: string;
  /** Used in place of `subject`. */
  subjectName?: Bytes;
  key?: TestKey;
  /** Absent: signed by itself. */
  issuer?: Signer;
  ca?: boolean;
  pathLength?: number;
  /** In place of those that leaves and CAs have; null: none. */
  usage?: Bytes | null;
  /** Null: none. Default: both roles for a leaf, none for a CA. */
  purposes?: readonly PurposeName[] | null;
  /** Null: none. Default: this machine for a leaf, none for a CA. */
  names?: readonly Bytes[] | null;
  /** Null: none. */
  constraints?: Bytes | null;
  /** Further extensions. */
  extra?: readonly Bytes[];
  /** Days from now. */
  from?: number;
  to?: number;
  scheme?: Scheme;
  /** Changes extensions, each whole. */
  extensions?: (list: Bytes[]) => Uint8Array[];
  /** Changes the signed part before it is signed. */
  draft?: (draft: Draft) => Partial<Draft>;
  /** Changes the signed part as a whole before it is signed. */
  body?: (tbs: Bytes) => Bytes;
  /** The algorithm outside of the signed part, when it is another. */
  outerAlgorithm?: Bytes;
  /** Changes the signature. */
  signature?: (signature: Bytes, tbs: Bytes) => Bytes;
  /** The signature's bit string, when it is an odd one. */
  signatureBits?: (signature: Bytes) => Bytes;
  /** Changes the whole. */
  whole?: (der: Bytes) => Bytes;
}

export const DAY_MS = 86_400_000;
/** To the second, as certificates have it. One moment for all, so that a table fits together. */
export const MADE_AT = Math.floor(Date.now() / 1000) * 1000;

/** A moment so many days from when the tests began. */
export function inDays(days: number): Date {
  return new Date(MADE_AT + days * DAY_MS);
}

let serials = 0;

/** Writes a certificate. */
export function writeCertificate(shape: CertificateShape): Written {
  const { ca = false, subject = ca ? "Some CA" : "Connector Leaf" } = shape;
  const key = shape.key ?? makeKey();
  const name = shape.subjectName ?? distinguishedName(subject);
  const issuer = shape.issuer ?? { name, key };
  const scheme = shape.scheme ?? usualScheme(issuer.key);
  const algorithm = algorithmOf(issuer.key, scheme);
  const list = extensionsOf(shape, { key, issuer });
  const extensions = shape.extensions?.(list) ?? list;
  const draft: Draft = {
    version: hex("a003020102"),
    serial: integer(++serials),
    algorithm,
    issuer: issuer.name,
    validity: sequence(time(inDays(shape.from ?? -1)), time(inDays(shape.to ?? (ca ? 3650 : 30)))),
    subject: name,
    publicKey: key.spki,
    uniqueIds: new Uint8Array(),
    extensions: explicit(3, sequence(...extensions)),
  };
  const parts = { ...draft, ...shape.draft?.(draft) };
  const written = sequence(
    parts.version,
    parts.serial,
    parts.algorithm,
    parts.issuer,
    parts.validity,
    parts.subject,
    parts.publicKey,
    parts.uniqueIds,
    parts.extensions,
  );
  const tbs = shape.body?.(written) ?? written;
  const signed = signBytes(issuer.key, tbs, scheme);
  const signature = shape.signature?.(signed, tbs) ?? signed;
  const der = sequence(
    tbs,
    shape.outerAlgorithm ?? algorithm,
    shape.signatureBits?.(signature) ?? bits(signature),
  );
  return { name, key, der: shape.whole?.(der) ?? der };
}

function extensionsOf(
  shape: CertificateShape,
  { key, issuer }: { key: TestKey; issuer: Signer },
): Bytes[] {
  const { ca = false, pathLength, usage, constraints, extra = [] } = shape;
  const purposes = shape.purposes === undefined && !ca
    ? ["server", "client"] as const
    : shape.purposes;
  const names = shape.names === undefined && !ca ? LOOPBACK_NAMES : shape.names;
  const own = ca ? keyUsage(USAGE.digitalSignature, USAGE.keyCertSign) : keyUsage(0);
  return [
    ...constraints === null ? [] : [constraints ?? basicConstraints({ ca, pathLength })],
    ...usage === null ? [] : [usage ?? own],
    ...purposes ? [extendedUsages(...purposes)] : [],
    ...names ? [alternativeNames(names)] : [],
    extension(OIDS.subjectKeyId, octets(keyIdOf(key))),
    extension(OIDS.authorityKeyId, sequence(tlv(0x80, keyIdOf(issuer.key)))),
    ...extra,
  ];
}

/** Twenty bytes that stand for a key, here its last. */
function keyIdOf({ spki }: TestKey): Bytes {
  return concat(spki.subarray(-20));
}
