// Reads X.509 certificates from PEM or DER into what the rest of certs/ asks of them. All parsing happens
// here and at once, so that nobody else meets a parser's error. Nothing is verified here. It is done by hand,
// because every connector with certificates does it at start, and the library that issues them takes 70 ms and
// 8 MB to load; a test holds the two to the same answers.

import { ConnectorError, reasonOf } from "../errors.ts";
import { DerReader, type Element, readBits, readLatin1, readOid, readTime, TAG } from "./der.ts";
import { describeName } from "./distinguished_name.ts";
import { CERTIFICATE_LABEL, decodePem, encodePem } from "./pem.ts";

/** A PEM text and what to call it in messages, such as `root certificate "certs/root.cert"`. */
export interface PemText {
  label: string;
  pem: string;
}

/** A subject alternative name. */
export interface AlternativeName {
  /** `dns`, `ip` and `url` are those that matter here. */
  type: string;
  value: string;
}

/** One parsed certificate. */
export interface Certificate {
  der: Uint8Array<ArrayBuffer>;
  /** Subject and issuer as they are compared: in DER. */
  subjectName: Uint8Array;
  issuerName: Uint8Array;
  /** Subject for people, such as `O=Jumppad, CN=Connector CA`. */
  subject: string;
  /** Issuer for people. */
  issuer: string;
  notBefore: Date;
  notAfter: Date;
  /** Whether it may sign certificates: basic constraints say so, and key usage does not forbid it. */
  isCa: boolean;
  /** Whether its basic constraints say CA, whatever key usage says: TLS takes no such leaf. */
  claimsCa: boolean;
  /** How many CAs may stand between it and a leaf; absent means any number. */
  pathLength?: number;
  /** Key usage bits, absent when it has no such extension, which allows every usage. */
  keyUsage?: number;
  /** OIDs of its extended key usages, absent when it has no such extension, which allows every usage. */
  extendedUsages?: readonly string[];
  alternativeNames: readonly AlternativeName[];
  /** Whether it has any extension: a certificate of X.509 version 1 has none. */
  hasExtensions: boolean;
}

/** Certificates in one file: more than any chain or bundle of roots that a connector needs. */
const MAX_CERTIFICATES = 100;

/**
 * Every certificate of a PEM text, at least one.
 *
 * @throws {ConnectorError} `invalid_argument` when there is none, there are too many, or one is damaged.
 */
export function parseCertificates({ label, pem }: PemText): Certificate[] {
  const fail = (problem: string, cause?: unknown) =>
    new ConnectorError("invalid_argument", `Cannot use ${label}: ${problem}`, { cause });

  let blocks: Uint8Array<ArrayBuffer>[];
  try {
    blocks = decodePem(pem).filter(({ label }) => label === CERTIFICATE_LABEL)
      .map(({ der }) => der);
  } catch (error) {
    throw fail(`it is not a PEM file: ${reasonOf(error)}`, error);
  }
  if (blocks.length === 0) {
    const found = pem.includes("PRIVATE KEY")
      ? "it holds a private key"
      : "it holds no certificate";
    throw fail(`${found}, want a certificate in PEM form`);
  }
  if (blocks.length > MAX_CERTIFICATES) {
    throw fail(`it holds ${blocks.length} certificates, want at most ${MAX_CERTIFICATES}`);
  }
  return blocks.map((der, index) => {
    try {
      return parseCertificate(der);
    } catch (error) {
      const which = blocks.length === 1 ? "the certificate" : `certificate ${index + 1}`;
      throw fail(`${which} in it cannot be read: ${reasonOf(error)}`, error);
    }
  });
}

/** A certificate as PEM, without a line break behind it. */
export function certificatePem({ der }: Certificate): string {
  return encodePem({ label: CERTIFICATE_LABEL, der });
}

/** Bits of the key usage. RFC 5280 section 4.2.1.3. */
export const KEY_USAGE = { digitalSignature: 1 << 0, keyCertSign: 1 << 5 } as const;
/** Extended key usages. RFC 5280 section 4.2.1.12. */
export const EXTENDED_USAGE = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** OIDs of the extensions that are read. RFC 5280 section 4.2.1. */
const EXTENSION = {
  keyUsage: "2.5.29.15",
  alternativeNames: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  extendedUsages: "2.5.29.37",
} as const;

/** Context tags of a certificate's optional members. RFC 5280 section 4.1. */
const VERSION_TAG = 0xa0;
const ISSUER_ID_TAG = 0x81;
const SUBJECT_ID_TAG = 0x82;
const EXTENSIONS_TAG = 0xa3;

/** Parses one certificate from DER, of which it keeps views. @throws {SyntaxError} */
export function parseCertificate(der: Uint8Array<ArrayBuffer>): Certificate {
  const signed = new DerReader(der).enter(TAG.sequence);
  const content = signed.enter(TAG.sequence);
  signed.next(TAG.sequence);
  signed.next(TAG.bitString);
  signed.end();
  content.optional(VERSION_TAG);
  content.next(TAG.integer);
  content.next(TAG.sequence);
  const issuer = content.next(TAG.sequence);
  const validity = content.enter(TAG.sequence);
  const notBefore = readTime(validity.next());
  const notAfter = readTime(validity.next());
  const subject = content.next(TAG.sequence);
  content.next(TAG.sequence);
  content.optional(ISSUER_ID_TAG);
  content.optional(SUBJECT_ID_TAG);
  const extensions = readExtensions(content.optional(EXTENSIONS_TAG));
  content.end();

  const constraints = readBasicConstraints(extensions.get(EXTENSION.basicConstraints));
  const keyUsage = extensions.get(EXTENSION.keyUsage)?.next(TAG.bitString);
  const usages = keyUsage === undefined ? undefined : readBits(keyUsage);
  const extendedUsages = extensions.get(EXTENSION.extendedUsages);
  const maySign = usages === undefined || (usages & KEY_USAGE.keyCertSign) !== 0;
  return {
    der,
    subjectName: subject.whole,
    issuerName: issuer.whole,
    subject: describeName(subject),
    issuer: describeName(issuer),
    notBefore,
    notAfter,
    isCa: constraints.ca && maySign,
    claimsCa: constraints.ca,
    ...(constraints.pathLength === undefined ? {} : { pathLength: constraints.pathLength }),
    ...(usages === undefined ? {} : { keyUsage: usages }),
    ...(extendedUsages === undefined ? {} : { extendedUsages: readOids(extendedUsages) }),
    alternativeNames: readAlternativeNames(extensions.get(EXTENSION.alternativeNames)),
    hasExtensions: extensions.size > 0,
  };
}

/** The value of each extension, by its OID; of two with one OID the first counts. */
function readExtensions(member: Element | undefined): Map<string, DerReader> {
  const extensions = new Map<string, DerReader>();
  if (member === undefined) return extensions;
  const content = new DerReader(member.content);
  const list = content.enter(TAG.sequence);
  content.end();
  while (!list.done) {
    const extension = list.enter(TAG.sequence);
    const oid = readOid(extension.next(TAG.oid));
    extension.optional(TAG.boolean);
    const value = extension.enter(TAG.octetString);
    extension.end();
    if (!extensions.has(oid)) extensions.set(oid, value);
  }
  return extensions;
}

function readBasicConstraints(value: DerReader | undefined): { ca: boolean; pathLength?: number } {
  if (value === undefined) return { ca: false };
  const constraints = value.enter(TAG.sequence);
  const ca = constraints.optional(TAG.boolean)?.content[0] ?? 0;
  const length = constraints.optional(TAG.integer)?.content;
  constraints.end();
  if (length === undefined) return { ca: ca !== 0 };
  return { ca: ca !== 0, pathLength: length.reduce((sum, byte) => sum * 256 + byte, 0) };
}

function readOids(value: DerReader): string[] {
  const list = value.enter(TAG.sequence);
  const oids: string[] = [];
  while (!list.done) oids.push(readOid(list.next(TAG.oid)));
  return oids;
}

/** What the kinds of names are called, by their tag. RFC 5280 section 4.2.1.6. */
const NAME_TYPES: Readonly<Record<number, string>> = { 0x81: "email", 0x82: "dns", 0x86: "url" };
const IP_TAG = 0x87;

function readAlternativeNames(value: DerReader | undefined): AlternativeName[] {
  const names: AlternativeName[] = [];
  if (value === undefined) return names;
  const list = value.enter(TAG.sequence);
  while (!list.done) {
    const { tag, content } = list.next();
    const type = NAME_TYPES[tag];
    if (tag === IP_TAG) names.push({ type: "ip", value: describeIp(content) });
    else if (type !== undefined) names.push({ type, value: readLatin1(content) });
  }
  return names;
}

function describeIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return bytes.toHex();
  const groups = bytes.toHex().replace(/(....)(?!$)/g, "$1:");
  return new URL(`http://[${groups}]/`).hostname.slice(1, -1);
}
