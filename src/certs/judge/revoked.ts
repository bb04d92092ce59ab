// Certificates that are not to be trusted although they chain to a root: reads lists of them, in
// either form, and says whether a certificate is on one. Pure: what is in a file comes in as bytes.

import { createHash } from "node:crypto";
import { ConnectorError, reasonOf } from "../../model/errors.ts";
import { printable } from "../../plain_text.ts";
import { type Certificate, equalBytes } from "../reader/certificate.ts";
import { type Crl, CRL_LABEL, parseCrl, parsePemCrls } from "../reader/crl.ts";
import { MAX_SERIAL_DIGITS, plainSerial } from "../reader/serial.ts";
import { hasKnownSignature, isSignedBy } from "./signature.ts";

/** What a certificate is told by, once it has been judged: few bytes, because it is kept as long as a connection. */
export interface CertificateMark {
  /** SHA-256 of the certificate and of its public key, in hexadecimal. */
  fingerprint: string;
  key: string;
  serial: string;
  /** SHA-256 of the issuer's name. */
  issuer: string;
  /** It is one of the trusted roots: nobody has given it its serial number. */
  isRoot: boolean;
  /** For people. */
  subject: string;
}

/** The longest subject that is quoted, in characters. */
const MAX_SUBJECT_LENGTH = 200;
const FINGERPRINT_DIGITS = 64;

/** What a certificate of a path is told by. */
export function markOf(certificate: Certificate, { isRoot }: { isRoot: boolean }): CertificateMark {
  return {
    fingerprint: digest(certificate.der),
    key: digest(certificate.publicKeyInfo),
    serial: certificate.serial,
    issuer: digest(certificate.issuerName),
    isRoot,
    subject: printable(certificate.subject, MAX_SUBJECT_LENGTH),
  };
}

/** Certificates that are not to be trusted. */
export class RevokedCertificates {
  /** Of certificates, or of their keys. */
  readonly #fingerprints: ReadonlySet<string>;
  /** Whoever has issued them. */
  readonly #serials: ReadonlySet<string>;
  /** By the digest of their issuer's name. */
  readonly #bySerial: ReadonlyMap<string, ReadonlySet<string>>;
  /** When the first list of an authority is out of date. */
  readonly nextUpdate: Date | undefined;

  constructor(
    { fingerprints = [], serials = [], crls = [] }: {
      fingerprints?: readonly string[];
      serials?: readonly string[];
      crls?: readonly Crl[];
    } = {},
  ) {
    this.#fingerprints = new Set(fingerprints);
    this.#serials = new Set(serials);
    const bySerial = new Map<string, Set<string>>();
    for (const crl of crls) {
      const issuer = digest(crl.issuerName);
      const known = bySerial.get(issuer) ?? new Set();
      for (const serial of crl.serials) known.add(serial);
      bySerial.set(issuer, known);
    }
    this.#bySerial = bySerial;
    const ends = crls.flatMap(({ nextUpdate }) => nextUpdate?.getTime() ?? []);
    this.nextUpdate = ends.length === 0 ? undefined : new Date(Math.min(...ends));
  }

  /** How many entries it has. */
  get size(): number {
    const ofAuthorities = [...this.#bySerial.values()].reduce((sum, { size }) => sum + size, 0);
    return this.#fingerprints.size + this.#serials.size + ofAuthorities;
  }

  /** Whether a certificate is on it. */
  has({ fingerprint, key, serial, issuer, isRoot }: CertificateMark): boolean {
    if (this.#fingerprints.has(fingerprint) || this.#fingerprints.has(key)) return true;
    return !isRoot &&
      (this.#serials.has(serial) || this.#bySerial.get(issuer)?.has(serial) === true);
  }
}

/**
 * Reads a list: fingerprints and serial numbers, one a line, or CRLs in PEM or DER, which a root has to have signed.
 *
 * @throws {ConnectorError} `invalid_argument` for what cannot be read; `failed_precondition` for a CRL that is not a
 *   root's, or not valid yet.
 */
export function readRevoked(
  { label, bytes }: { label: string; bytes: Uint8Array<ArrayBuffer> },
  { roots, now }: { roots: readonly Certificate[]; now: Date },
): RevokedCertificates {
  if (bytes.length === 0) {
    // Whoever is about to write a list has a moment in which it is empty.
    throw new ConnectorError("invalid_argument", `Cannot use ${label}: it is empty`, {
      hint: "If nothing is revoked, write a line that begins with #",
    });
  }
  try {
    const text = isDer(bytes) ? undefined : readText(bytes);
    if (text?.includes("-----BEGIN ") === false) return new RevokedCertificates(readLines(text));
    const crls = text === undefined ? [parseCrl(bytes)] : parsePemCrls(text);
    if (crls.length === 0) throw new SyntaxError(`no block of it is called "${CRL_LABEL}"`);
    if (text !== undefined) refuseEntries(text);
    for (const crl of crls) checkCrl(crl, { label, roots, now });
    return new RevokedCertificates({ crls });
  } catch (error) {
    if (error instanceof ConnectorError) throw error;
    const problem = `Cannot use ${label}: ${reasonOf(error)}`;
    throw new ConnectorError("invalid_argument", problem, { cause: error, hint: FORMS_HINT });
  }
}

const FORMS_HINT =
  "Write a SHA-256 fingerprint or a serial number in hexadecimal a line, or give a CRL in PEM or DER";

/** A sequence of 128 bytes or more, as every CRL is: no text begins like that. */
function isDer([tag, length = 0]: Uint8Array): boolean {
  return tag === 0x30 && length >= 0x80;
}

/** What a text has besides the characters that show. */
const CONTROL = /[^\P{Cc}\t\r\n]/u;

/** @throws {SyntaxError} for what is no text: a damaged CRL, in which a comment could begin anywhere. */
function readText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SyntaxError(NO_LIST, { cause });
  }
  if (CONTROL.test(text)) throw new SyntaxError(NO_LIST);
  return text;
}

const NO_LIST = "it is neither text nor a CRL";

/** An entry, as OpenSSL prints it too: `serial=0A1B`, `sha256 Fingerprint=AB:CD:...`. */
const ENTRY =
  /^(?:(?<kind>serial(?: number)?|sha-?256(?: fingerprint)?)\s*[=:]\s*)?(?:0x)?(?<digits>[0-9a-f]{1,2}(?::[0-9a-f]{2})+|[0-9a-f]+)$/i;

function readLines(text: string): { fingerprints: string[]; serials: string[] } {
  const fingerprints: string[] = [];
  const serials: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const entry = line.replace(/#.*/s, "").trim();
    if (entry === "") continue;
    const { kind = "", digits = "" } = ENTRY.exec(entry)?.groups ?? {};
    const plain = digits.replaceAll(":", "").toLowerCase();
    const isFingerprint = plain.length === FINGERPRINT_DIGITS && !/^serial/i.test(kind);
    const isSerial = plain.length >= 1 && plain.length <= MAX_SERIAL_DIGITS && !/^sha/i.test(kind);
    if (isFingerprint) fingerprints.push(plain);
    else if (isSerial) serials.push(plainSerial(plain));
    else throw new SyntaxError(`line ${index + 1} "${shorten(entry)}" is ${WANTED_ENTRY}`);
  }
  return { fingerprints, serials };
}

/** What OpenSSL writes around a list is no entry, and does not look like one. */
const MEANT_ENTRY = /^(?:serial|sha-?256(?: fingerprint)?)\s*=|^[0-9a-f]{64}$/i;

/** @throws {SyntaxError} for an entry beside lists, which would count for nothing. */
function refuseEntries(text: string): void {
  let inBlock = false;
  for (const [index, line] of text.split("\n").entries()) {
    const entry = line.trim();
    if (entry.startsWith("-----")) inBlock = entry.startsWith("-----BEGIN ");
    if (inBlock || !MEANT_ENTRY.test(entry)) continue;
    const shown = `line ${index + 1} "${shorten(entry)}"`;
    throw new SyntaxError(`${shown} is an entry, and the file has CRLs, want one or the other`);
  }
}

const WANTED_ENTRY =
  `neither a SHA-256 fingerprint nor a serial number, want ${FINGERPRINT_DIGITS} or 1 to ${MAX_SERIAL_DIGITS} hexadecimal digits`;

/** How much of a line is quoted, in characters: a fingerprint with its colons is shorter. */
const MAX_LINE_LENGTH = 100;

function shorten(line: string): string {
  const shown = printable(line, MAX_LINE_LENGTH);
  return line.length > MAX_LINE_LENGTH ? `${shown}…` : shown;
}

/**
 * That it may be relied on. A root may sign lists whatever its key usage says: it could as well have issued no such
 * certificate, and the roots of `generate-certs` do not have that bit.
 */
function checkCrl(
  crl: Crl,
  { label, roots, now }: { label: string; roots: readonly Certificate[]; now: Date },
): void {
  const unfit = (problem: string, hint?: string) =>
    new ConnectorError("failed_precondition", `Cannot use ${label}: ${problem}`, {
      ...(hint !== undefined && { hint }),
    });
  const issuer = `"${printable(crl.issuer, MAX_SUBJECT_LENGTH)}"`;
  const named = roots.filter(({ subjectName }) => equalBytes(subjectName, crl.issuerName));
  if (named.length === 0) {
    throw unfit(
      `its issuer ${issuer} is not one of the roots`,
      "Give the CRL of a root, or the fingerprints of certificates of other issuers",
    );
  }
  if (!hasKnownSignature(crl)) throw unfit("it has a signature of a kind that is not supported");
  if (!named.some((root) => isSignedBy(crl, root))) {
    throw unfit(`it was not signed with the key of ${issuer}`);
  }
  if (crl.thisUpdate > now) {
    const hint = "Check the clocks of this machine and of the one that issued it";
    throw unfit(`it is not valid before ${crl.thisUpdate.toISOString()}`, hint);
  }
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
