// Reads X.509 certificates from PEM or DER into what the rest of certs/ needs: strictly, bounded,
// and without a decision. All parsing happens here and at once, so that no other code meets a
// parser's error. It is written by hand, because what it cannot read must be known before anybody
// trusts it, and because the library that issues certificates takes 70 ms and 8 MB to load; a test
// compares the two.

import { ConnectorError, reasonOf } from "../../model/errors.ts";
import {
  DerReader,
  type Element,
  readAscii,
  readBoolean,
  readLatin1,
  readNamedBits,
  readOid,
  readTime,
  readUnsigned,
  readWholeBytes,
  TAG,
} from "./der.ts";
import { describeName } from "./distinguished_name.ts";
import { CERTIFICATE_LABEL, decodePem, encodePem } from "./pem.ts";
import { readSerial } from "./serial.ts";

/** A PEM text and what to call it in messages, such as `root certificate "certs/root.cert"`. */
export interface PemText {
  label: string;
  pem: string;
}

/** A subject alternative name, for people. */
export interface AlternativeName {
  /** `dns`, `ip` and `url` are those that matter here. */
  type: string;
  value: string;
}

/** A name with its kind, as it stands in the certificate: what decisions are made on. RFC 5280 section 4.2.1.6. */
export interface GeneralName {
  tag: number;
  content: Uint8Array;
}

/** Kinds of names. RFC 5280 section 4.2.1.6. */
export const NAME_TAG = {
  other: 0xa0,
  email: 0x81,
  dns: 0x82,
  x400: 0xa3,
  directory: 0xa4,
  ediParty: 0xa5,
  uri: 0x86,
  ip: 0x87,
  registeredId: 0x88,
} as const;

/** Which names those below a CA may have: RFC 5280 section 4.2.1.10. */
export interface NameConstraints {
  permitted: readonly GeneralName[];
  excluded: readonly GeneralName[];
}

/** One parsed certificate. */
export interface Certificate {
  der: Uint8Array<ArrayBuffer>;
  /** X.509 version, 1 to 3; others are numbered as they say. */
  version: number;
  /** In hexadecimal, without leading zeros. */
  serial: string;
  /** What is signed. */
  signedContent: Uint8Array;
  /** The algorithm of the signature, in DER. */
  signatureAlgorithm: Uint8Array;
  signature: Uint8Array;
  /** The key, as SubjectPublicKeyInfo in DER. */
  publicKeyInfo: Uint8Array;
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
  /** Subject alternative names, with their kinds. */
  names: readonly GeneralName[];
  /** Those that people know, as text. */
  alternativeNames: readonly AlternativeName[];
  nameConstraints?: NameConstraints;
  /** OIDs of extensions that are critical and not read here: who cannot read them must refuse the certificate. */
  unknownCritical: readonly string[];
  /** Whether it has any extension: a certificate of X.509 version 1 has none. */
  hasExtensions: boolean;
}

/** Certificates in one file: more than any chain or bundle of roots that a connector needs. */
const MAX_CERTIFICATES = 100;
/**
 * The longest certificate that is read, in bytes: one with 1,000 names has 15 KB. The runtime's TLS library reads no more
 * than 64 KiB, and what it cannot read it does not verify.
 */
const MAX_CERTIFICATE_BYTES = 48 * 1024;
/** The most extensions that one certificate may have: there are about 20 that anybody uses. */
const MAX_EXTENSIONS = 64;
/** The most usages that one certificate may list. */
const MAX_USAGES = 64;
/** The most names, or constraints on names, that one certificate may have. */
const MAX_NAMES = 4000;

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
  nameConstraints: "2.5.29.30",
  extendedUsages: "2.5.29.37",
} as const;
const KNOWN_EXTENSIONS: readonly string[] = Object.values(EXTENSION);
/**
 * Nothing is made of it, but the runtime's TLS library reads its outer form, and what that cannot read it does not verify:
 * a test holds the two to each other.
 */
const CRL_DISTRIBUTION_POINTS = "2.5.29.31";

/** Context tags of a certificate's optional members. RFC 5280 section 4.1. */
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;

/** Parses one certificate from DER, of which it keeps views. @throws {SyntaxError} */
export function parseCertificate(der: Uint8Array<ArrayBuffer>): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new SyntaxError(`it has ${der.length} bytes, at most ${MAX_CERTIFICATE_BYTES} are read`);
  }
  const file = new DerReader(der);
  const signed = file.enter(TAG.sequence);
  file.expectEnd();
  const signedContent = signed.next(TAG.sequence);
  const outerAlgorithm = signed.next(TAG.sequence);
  const signature = readWholeBytes(signed.next(TAG.bitString));
  signed.expectEnd();

  const content = new DerReader(signedContent.content);
  const version = readVersion(content.optional(VERSION_TAG));
  const serial = readSerial(content.next(TAG.integer));
  const innerAlgorithm = content.next(TAG.sequence);
  if (!equalBytes(innerAlgorithm.whole, outerAlgorithm.whole)) {
    throw new SyntaxError("two kinds of signature that differ");
  }
  const issuer = content.next(TAG.sequence);
  const validity = content.enter(TAG.sequence);
  const notBefore = readTime(validity.next());
  const notAfter = readTime(validity.next());
  validity.expectEnd();
  const subject = content.next(TAG.sequence);
  const publicKeyInfo = content.next(TAG.sequence);
  checkPublicKeyInfo(publicKeyInfo);
  // Unique ids of issuer and subject, which nobody writes, are refused with everything else that does not belong here.
  const extensions = readExtensions(content.optional(EXTENSIONS_TAG));
  content.expectEnd();

  const constraints = readBasicConstraints(extensions.values.get(EXTENSION.basicConstraints));
  const usages = readKeyUsage(extensions.values.get(EXTENSION.keyUsage));
  const extendedUsages = extensions.values.get(EXTENSION.extendedUsages);
  const nameConstraints = extensions.values.get(EXTENSION.nameConstraints);
  const maySign = usages === undefined || (usages & KEY_USAGE.keyCertSign) !== 0;
  const names = readAlternativeNames(extensions.values.get(EXTENSION.alternativeNames));
  checkDistributionPoints(extensions.values.get(CRL_DISTRIBUTION_POINTS));
  return {
    der,
    version,
    serial,
    signedContent: signedContent.whole,
    signatureAlgorithm: outerAlgorithm.whole,
    signature,
    publicKeyInfo: publicKeyInfo.whole,
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
    names,
    alternativeNames: describeNames(names),
    ...(nameConstraints === undefined
      ? {}
      : { nameConstraints: readNameConstraints(nameConstraints) }),
    unknownCritical: extensions.unknownCritical,
    hasExtensions: extensions.values.size > 0,
  };
}

/** Whether two byte strings are the same; both are public. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function readVersion(member: Element | undefined): number {
  if (member === undefined) return 1;
  const content = new DerReader(member.content);
  const number = readUnsigned(content.next(TAG.integer));
  content.expectEnd();
  // Version 1 is what is meant where nothing is said, so DER does not say it.
  if (number.length !== 1 || number[0] === undefined || number[0] === 0) {
    throw new SyntaxError("a version that cannot be");
  }
  return number[0] + 1;
}

/** Only its shape: the kind of key matters to the code that verifies with it. */
function checkPublicKeyInfo({ content }: Element): void {
  const info = new DerReader(content);
  const algorithm = info.enter(TAG.sequence);
  readOid(algorithm.next(TAG.oid));
  if (!algorithm.done) algorithm.next();
  algorithm.expectEnd();
  readWholeBytes(info.next(TAG.bitString));
  info.expectEnd();
}

function readExtensions(
  member: Element | undefined,
): { values: Map<string, DerReader>; unknownCritical: string[] } {
  if (member === undefined) return { values: new Map(), unknownCritical: [] };
  const content = new DerReader(member.content);
  const { values, critical } = readExtensionList(content.enter(TAG.sequence));
  content.expectEnd();
  return { values, unknownCritical: critical.filter((oid) => !KNOWN_EXTENSIONS.includes(oid)) };
}

/** The value of each extension of a list, by its OID, and the OIDs of those that are critical. @throws {SyntaxError} */
export function readExtensionList(
  list: DerReader,
): { values: Map<string, DerReader>; critical: string[] } {
  const values = new Map<string, DerReader>();
  const critical: string[] = [];
  if (list.done) throw new SyntaxError("a list of extensions without any");
  while (!list.done) {
    if (values.size >= MAX_EXTENSIONS) {
      throw new SyntaxError(`more than ${MAX_EXTENSIONS} extensions`);
    }
    const extension = list.enter(TAG.sequence);
    const oid = readOid(extension.next(TAG.oid));
    const isCritical = extension.optional(TAG.boolean);
    // False is what is meant where nothing is said, so DER does not say it.
    if (isCritical !== undefined && !readBoolean(isCritical)) {
      throw new SyntaxError("a truth value that is left out when it is false");
    }
    const value = extension.enter(TAG.octetString);
    extension.expectEnd();
    if (values.has(oid)) throw new SyntaxError(`two extensions ${oid}`);
    values.set(oid, value);
    if (isCritical !== undefined) critical.push(oid);
  }
  return { values, critical };
}

function readBasicConstraints(value: DerReader | undefined): { ca: boolean; pathLength?: number } {
  if (value === undefined) return { ca: false };
  const constraints = value.enter(TAG.sequence);
  value.expectEnd();
  const member = constraints.optional(TAG.boolean);
  const ca = member !== undefined && readBoolean(member);
  if (member !== undefined && !ca) {
    throw new SyntaxError("a truth value that is left out when it is false");
  }
  const length = constraints.optional(TAG.integer);
  constraints.expectEnd();
  if (length === undefined) return { ca };
  const digits = readUnsigned(length);
  // More than any chain has; how much more does not matter.
  const pathLength = digits.length > 3
    ? 0xffffff
    : digits.reduce((sum, byte) => sum * 256 + byte, 0);
  return { ca, pathLength };
}

function readKeyUsage(value: DerReader | undefined): number | undefined {
  if (value === undefined) return undefined;
  const bits = readNamedBits(value.next(TAG.bitString));
  value.expectEnd();
  return bits;
}

function checkDistributionPoints(value: DerReader | undefined): void {
  value?.next(TAG.sequence);
  value?.expectEnd();
}

function readOids(value: DerReader): string[] {
  const list = value.enter(TAG.sequence);
  value.expectEnd();
  if (list.done) throw new SyntaxError("a list of usages without any");
  const oids: string[] = [];
  while (!list.done) {
    if (oids.length >= MAX_USAGES) throw new SyntaxError(`more than ${MAX_USAGES} usages`);
    oids.push(readOid(list.next(TAG.oid)));
  }
  return oids;
}

function readAlternativeNames(value: DerReader | undefined): GeneralName[] {
  if (value === undefined) return [];
  const list = value.enter(TAG.sequence);
  value.expectEnd();
  if (list.done) throw new SyntaxError("a list of names without any");
  const names: GeneralName[] = [];
  while (!list.done) {
    if (names.length >= MAX_NAMES) throw new SyntaxError(`more than ${MAX_NAMES} names`);
    const name = readGeneralName(list.next());
    if (name.tag === NAME_TAG.ip && name.content.length !== 4 && name.content.length !== 16) {
      throw new SyntaxError("an IP address that is none");
    }
    names.push(name);
  }
  return names;
}

function readGeneralName({ tag, content }: Element): GeneralName {
  switch (tag) {
    case NAME_TAG.email:
    case NAME_TAG.dns:
    case NAME_TAG.uri:
      readAscii(content);
      return { tag, content };
    case NAME_TAG.directory: {
      const name = new DerReader(content);
      const inner = name.next(TAG.sequence);
      name.expectEnd();
      describeName(inner);
      return { tag, content };
    }
    case NAME_TAG.ip:
    case NAME_TAG.other:
    case NAME_TAG.x400:
    case NAME_TAG.ediParty:
    case NAME_TAG.registeredId:
      return { tag, content };
    default:
      throw new SyntaxError("a name of a kind that cannot be");
  }
}

/** Context tags of the lists in name constraints. RFC 5280 section 4.2.1.10. */
const PERMITTED_TAG = 0xa0;
const EXCLUDED_TAG = 0xa1;

function readNameConstraints(value: DerReader): NameConstraints {
  const constraints = value.enter(TAG.sequence);
  value.expectEnd();
  const permitted = readSubtrees(constraints.optional(PERMITTED_TAG));
  const excluded = readSubtrees(constraints.optional(EXCLUDED_TAG));
  constraints.expectEnd();
  if (permitted.length + excluded.length === 0) {
    throw new SyntaxError("constraints on names without any");
  }
  return { permitted, excluded };
}

function readSubtrees(member: Element | undefined): GeneralName[] {
  if (member === undefined) return [];
  const list = new DerReader(member.content);
  const bases: GeneralName[] = [];
  while (!list.done) {
    if (bases.length >= MAX_NAMES) throw new SyntaxError(`more than ${MAX_NAMES} constraints`);
    const subtree = list.enter(TAG.sequence);
    const base = readGeneralName(subtree.next());
    // Its minimum is 0 and its maximum absent in all that anybody uses, and then DER has neither.
    subtree.expectEnd();
    if (base.tag === NAME_TAG.ip && base.content.length !== 8 && base.content.length !== 32) {
      throw new SyntaxError("a range of IP addresses that is none");
    }
    bases.push(base);
  }
  return bases;
}

/** Those names that people know, as text: ASCII as it stands, and IP addresses in their one spelling. */
export function describeNames(names: readonly GeneralName[]): AlternativeName[] {
  return names.flatMap(describeAlternativeName);
}

function describeAlternativeName({ tag, content }: GeneralName): AlternativeName[] {
  switch (tag) {
    case NAME_TAG.email:
      return [{ type: "email", value: readLatin1(content) }];
    case NAME_TAG.dns:
      return [{ type: "dns", value: readLatin1(content) }];
    case NAME_TAG.uri:
      return [{ type: "url", value: readLatin1(content) }];
    case NAME_TAG.ip:
      return [{ type: "ip", value: describeIp(content) }];
    default:
      return [];
  }
}

function describeIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = bytes.toHex().replace(/(....)(?!$)/g, "$1:");
  return new URL(`http://[${groups}]/`).hostname.slice(1, -1);
}
