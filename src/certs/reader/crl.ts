// Reads lists of revoked certificates as authorities publish them (CRLs, RFC 5280 section 5): as
// strictly and as bounded as certificates, and without a decision. Whoever uses one verifies its
// signature.

import { equalBytes, readExtensionList } from "./certificate.ts";
import { DerReader, type Element, readTime, readUnsigned, readWholeBytes, TAG } from "./der.ts";
import { describeName } from "./distinguished_name.ts";
import { decodePem } from "./pem.ts";
import { readSerial } from "./serial.ts";

/** One list. It keeps views of the bytes that it was read from. */
export interface Crl {
  /** What is signed. */
  signedContent: Uint8Array;
  /** The algorithm of the signature, in DER. */
  signatureAlgorithm: Uint8Array;
  signature: Uint8Array;
  /** The issuer as names are compared: in DER. */
  issuerName: Uint8Array;
  /** The issuer for people. */
  issuer: string;
  thisUpdate: Date;
  /** When there will be a newer one; absent when it does not say. */
  nextUpdate?: Date;
  /** Serial numbers of revoked certificates, as `Certificate.serial` has them. */
  serials: readonly string[];
}

/** What a list is called in PEM. RFC 7468 section 7. */
export const CRL_LABEL = "X509 CRL";
/** Lists in one file: there may be one for each root. */
const MAX_CRLS = 100;
/** The context tag of a list's extensions. RFC 5280 section 5.1. */
const EXTENSIONS_TAG = 0xa0;

/** Every list of a PEM text. @throws {SyntaxError} */
export function parsePemCrls(pem: string): Crl[] {
  const blocks = decodePem(pem).filter(({ label }) => label === CRL_LABEL);
  if (blocks.length > MAX_CRLS) {
    throw new SyntaxError(`it holds ${blocks.length} lists, want at most ${MAX_CRLS}`);
  }
  return blocks.map(({ der }) => parseCrl(der));
}

/** Parses one list from DER, of which it keeps views. @throws {SyntaxError} */
export function parseCrl(der: Uint8Array<ArrayBuffer>): Crl {
  const file = new DerReader(der);
  const signed = file.enter(TAG.sequence);
  file.expectEnd();
  const signedContent = signed.next(TAG.sequence);
  const algorithm = signed.next(TAG.sequence);
  const signature = readWholeBytes(signed.next(TAG.bitString));
  signed.expectEnd();

  const content = new DerReader(signedContent.content);
  const hasExtensions = readVersion(content.optional(TAG.integer)) === 2;
  if (!equalBytes(content.next(TAG.sequence).whole, algorithm.whole)) {
    throw new SyntaxError("two kinds of signature that differ");
  }
  const issuer = content.next(TAG.sequence);
  const thisUpdate = readTime(content.next());
  const nextUpdate = content.optional(TAG.utcTime) ?? content.optional(TAG.generalizedTime);
  const entries = content.optional(TAG.sequence);
  const extensions = hasExtensions ? content.optional(EXTENSIONS_TAG) : undefined;
  content.expectEnd();
  if (extensions !== undefined) {
    const member = new DerReader(extensions.content);
    refuseCritical(member.enter(TAG.sequence));
    member.expectEnd();
  }
  return {
    signedContent: signedContent.whole,
    signatureAlgorithm: algorithm.whole,
    signature,
    issuerName: issuer.whole,
    issuer: describeName(issuer),
    thisUpdate,
    ...(nextUpdate === undefined ? {} : { nextUpdate: readTime(nextUpdate) }),
    serials: entries === undefined ? [] : readEntries(entries, { hasExtensions }),
  };
}

/** 1 or 2; version 1 is what is meant where nothing is said. */
function readVersion(member: Element | undefined): number {
  if (member === undefined) return 1;
  const digits = readUnsigned(member);
  if (digits.length !== 1 || digits[0] !== 1) throw new SyntaxError("a version that cannot be");
  return 2;
}

function readEntries(
  { content }: Element,
  { hasExtensions }: { hasExtensions: boolean },
): string[] {
  const list = new DerReader(content);
  // DER has no list at all where nothing is revoked.
  if (list.done) throw new SyntaxError("a list of revoked certificates without any");
  const serials: string[] = [];
  while (!list.done) {
    const entry = list.enter(TAG.sequence);
    serials.push(readSerial(entry.next(TAG.integer)));
    // Since when matters to nobody here, and reading it would be half of the time that a long list takes.
    const { tag } = entry.next();
    if (tag !== TAG.utcTime && tag !== TAG.generalizedTime) {
      throw new SyntaxError("a time that cannot be read");
    }
    if (hasExtensions && !entry.done) refuseCritical(entry.enter(TAG.sequence));
    entry.expectEnd();
  }
  return serials;
}

/**
 * A critical extension changes what the list or an entry means: it has only changes since another one, or certificates of
 * other issuers, or only some of this one's.
 */
function refuseCritical(list: DerReader): void {
  const [oid] = readExtensionList(list).critical;
  if (oid !== undefined) {
    throw new SyntaxError(
      `it has the critical extension ${oid}, want a whole list of what its issuer has revoked`,
    );
  }
}
