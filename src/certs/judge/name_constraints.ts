// Decides whether names are within what a CA above them allows (RFC 5280 section 4.2.1.10). Pure. A
// constraint of a kind that is not known here allows no name of that kind.

import { parseIp } from "../../model/ip.ts";
import { type Certificate, type GeneralName, NAME_TAG } from "../reader/certificate.ts";
import { DerReader, readLatin1, TAG } from "../reader/der.ts";
import { comparableValue, readName } from "../reader/distinguished_name.ts";

/**
 * How many bytes of names and constraints are compared for one CA and one certificate; real ones need some thousand. It
 * takes some milliseconds.
 */
const MAX_COMPARED_BYTES = 2_000_000;

/** A name, or a constraint, ready to be compared. */
interface Comparable {
  tag: number;
  /** The bytes as text, in lower case. */
  text: string;
  content: Uint8Array;
  /** The parts of a directory name. */
  parts: readonly string[];
}

/** Whether the names of a certificate, and its subject, keep to the constraints of a CA above it. */
export function keepsTo(certificate: Certificate, ca: Certificate): boolean {
  const { nameConstraints } = ca;
  if (nameConstraints === undefined) return true;
  const all = [...nameConstraints.permitted, ...nameConstraints.excluded];
  const found = namesOf(certificate);
  const cost = found.length * bytesOf(all) + all.length * bytesOf(found);
  if (cost > MAX_COMPARED_BYTES) return false;
  const names = found.map(toComparable);
  const permitted = nameConstraints.permitted.map(toComparable);
  const excluded = nameConstraints.excluded.map(toComparable);
  return names.every((name) => {
    const ofKind = permitted.filter(({ tag }) => tag === name.tag);
    return (ofKind.length === 0 || ofKind.some((base) => isWithin(name, base, "permitted"))) &&
      !excluded.some((base) => base.tag === name.tag && isWithin(name, base, "excluded"));
  });
}

function bytesOf(names: readonly GeneralName[]): number {
  return names.reduce((sum, { content }) => sum + content.length, names.length);
}

function toComparable({ tag, content }: GeneralName): Comparable {
  const text = readLatin1(content).toLowerCase();
  return { tag, text, content, parts: tag === NAME_TAG.directory ? comparableParts(content) : [] };
}

/** The alternative names, and what counts as a name in the subject: itself, and e-mail addresses in it. */
function namesOf({ names, subjectName }: Certificate): GeneralName[] {
  const subject = new DerReader(subjectName).next(TAG.sequence);
  if (subject.content.length === 0) return [...names];
  const emails = readName(subject).flat().filter(({ oid }) => oid === EMAIL_ATTRIBUTE)
    .map(({ value }) => ({ tag: NAME_TAG.email, content: value.content }));
  return [...names, ...emails, { tag: NAME_TAG.directory, content: subjectName }];
}

/** `emailAddress`. RFC 2985 section 5.2.1. */
const EMAIL_ATTRIBUTE = "1.2.840.113549.1.9.1";

/**
 * Whether a name is within a subtree. What cannot be compared is not within what is permitted, and is within what is
 * excluded.
 */
function isWithin(
  name: Comparable,
  base: Comparable,
  list: "permitted" | "excluded",
): boolean {
  const { text } = name;
  const wanted = base.text;
  switch (name.tag) {
    case NAME_TAG.dns:
      return isDnsWithin(text, wanted, list);
    case NAME_TAG.uri: {
      const host = hostOfUri(text);
      // RFC 5280: constraints apply to host names, and a URI without one is refused.
      return host === undefined ? list === "excluded" : isHostWithin(host, wanted);
    }
    case NAME_TAG.email: {
      if (wanted.includes("@")) return text === wanted;
      return isHostWithin(text.slice(text.lastIndexOf("@") + 1), wanted);
    }
    case NAME_TAG.ip:
      return isIpWithin(name.content, base.content);
    case NAME_TAG.directory:
      // A name is within another when it begins with all of its parts.
      return base.parts.every((part, index) => name.parts[index] === part);
    default:
      return list === "excluded";
  }
}

/** A DNS constraint allows the name itself and everything below; with a dot in front only what is below. */
function isDnsWithin(name: string, base: string, list: "permitted" | "excluded"): boolean {
  if (base === "") return true;
  const below = base.startsWith(".") ? base : `.${base}`;
  if (name === base || name.endsWith(below)) return true;
  // A wildcard stands for a name that is excluded, too.
  if (list === "permitted" || !name.startsWith("*.")) return false;
  const parent = name.slice(1);
  return below.endsWith(parent) && !below.slice(1, -parent.length).includes(".");
}

/** A host constraint is one host; with a dot in front, every host below. */
function isHostWithin(host: string, base: string): boolean {
  return base.startsWith(".") ? host.endsWith(base) : host === base;
}

function hostOfUri(uri: string): string | undefined {
  const [, host] = /^[a-z][a-z0-9+.-]*:\/\/(?:[^@/?#]*@)?([^@:/?#[\]]+)(?::\d*)?(?:[/?#]|$)/
    .exec(uri) ?? [];
  return host === undefined || parseIp(host) !== undefined ? undefined : host;
}

/** A range is an address and a mask of the same length. */
function isIpWithin(address: Uint8Array, range: Uint8Array): boolean {
  if (range.length !== 2 * address.length) return false;
  return address.every((byte, index) => {
    const mask = range[address.length + index] ?? 0xff;
    return (byte & mask) === ((range[index] ?? 0) & mask);
  });
}

function comparableParts(name: Uint8Array): string[] {
  return readName(new DerReader(name).next(TAG.sequence)).map((part) =>
    JSON.stringify(part.map(({ oid, value }) => `${oid}=${comparableValue(value)}`).sort())
  );
}
