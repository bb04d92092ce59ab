// What a certificate proves of its subject, for decisions: the names that say who that is, and its
// key, both as the bytes stand. The certificate was verified before; description.ts makes what
// people are shown of it. docs/PROTOCOL.md, "Whose service it is".

import { createHash } from "node:crypto";
import { ConnectorError, reasonOf } from "../../model/errors.ts";
import { parseIp } from "../../model/ip.ts";
import { isSpiffeId, isTimeStamp } from "../../model/peer_identity.ts";
import { printable } from "../../plain_text.ts";
import { ANONYMOUS, type CertificateId } from "../../model/principal.ts";
import {
  type Certificate,
  describeNames,
  type GeneralName,
  NAME_TAG,
  parseCertificate,
} from "../reader/certificate.ts";
import { readLatin1 } from "../reader/der.ts";

/** A subject is a sequence, and no alternative name has this tag. */
const SUBJECT_TAG = 0x30;

/**
 * Reads what a certificate in DER proves.
 *
 * @throws {ConnectorError} `invalid_argument` when it cannot be read.
 */
export function identifyPeer(der: Uint8Array): CertificateId {
  try {
    // The copy is in a buffer of its own: node hands out views into shared ones.
    return certificateIdOf(parseCertificate(new Uint8Array(der)));
  } catch (error) {
    throw new ConnectorError(
      "invalid_argument",
      `Cannot read the peer's certificate: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

/** What a parsed certificate proves. */
export function certificateIdOf(
  { subject, subjectName, names, publicKeyInfo }: Pick<
    Certificate,
    "subject" | "subjectName" | "names" | "publicKeyInfo"
  >,
): CertificateId {
  const counted = whoIsNamed(names);
  const name = digestOf(
    counted.length > 0 ? counted : [{ tag: SUBJECT_TAG, content: subjectName }],
  );
  const valuesOf = (type: string) =>
    describeNames(names).filter((each) => each.type === type).map(({ value }) => value);
  return {
    name,
    key: createHash("sha256").update(publicKeyInfo).digest("hex"),
    displayName: counted.length > 0 ? showNames(counted, name) : showSubject(subject, name),
    spiffeIds: valuesOf("url").filter(isSpiffeId),
    dnsNames: valuesOf("dns"),
    ipAddresses: valuesOf("ip"),
    subject,
  };
}

/** The names that count: SPIFFE ids, else DNS names and IP addresses, else an id that is but a time stamp. */
function whoIsNamed(names: readonly GeneralName[]): readonly GeneralName[] {
  const ids = names.filter((name) => isSpiffeName(name));
  const lasting = ids.filter(({ content }) => !isTimeStamp(readLatin1(content)));
  if (lasting.length > 0) return lasting;
  const hosts = names.filter(({ tag }) => tag === NAME_TAG.dns || tag === NAME_TAG.ip);
  return hosts.length > 0 ? hosts : ids;
}

function isSpiffeName({ tag, content }: GeneralName): boolean {
  return tag === NAME_TAG.uri && isSpiffeId(readLatin1(content));
}

/** Of a set of names, in whatever order they stand. */
function digestOf(names: readonly GeneralName[]): string {
  const whole = createHash("sha256");
  // Digests have one length: no two sets have the same bytes here.
  const each = names.map(({ tag, content }) =>
    createHash("sha256").update(Uint8Array.of(tag)).update(content).digest("hex")
  );
  for (const digest of [...new Set(each)].sort()) whole.update(digest);
  return whole.digest("hex");
}

/** Texts that can be shown as they are: what separates them, and a name of another kind, is none of these. */
const PLAIN_SPIFFE_ID = /^spiffe:\/\/[!#-+\--~]+$/i;
const PLAIN_DNS_NAME = /^[A-Za-z0-9*_.:[\]-]+$/;

/** A name that counts, so that no two names look alike. */
function showName(name: GeneralName): string[] {
  return describeNames([name]).map(({ type, value }) => {
    if (type === "ip") return value;
    const plain = type === "url"
      ? PLAIN_SPIFFE_ID.test(value)
      : PLAIN_DNS_NAME.test(value) && parseIp(value) === undefined && value !== ANONYMOUS;
    return plain ? value : `${type === "url" ? "spiffe" : type}:${JSON.stringify(value)}`;
  });
}

/** The longest name that is shown whole, in characters. */
const MAX_SHOWN_LENGTH = 256;
/** How much of the digest of what counts tells two apart that would look alike, in characters. */
const SHOWN_DIGEST_LENGTH = 16;

function showNames(names: readonly GeneralName[], digest: string): string {
  const shown = [...new Set(names.flatMap(showName))].sort().join(",");
  const safe = printable(shown, MAX_SHOWN_LENGTH);
  return safe === shown ? shown : `${safe}… (${digest.slice(0, SHOWN_DIGEST_LENGTH)})`;
}

/** Always with a part of the digest: one text can stand in a certificate in several ways, which are not the same. */
function showSubject(subject: string, digest: string): string {
  const safe = printable(subject, MAX_SHOWN_LENGTH);
  const cut = subject.length > MAX_SHOWN_LENGTH ? "…" : "";
  return `${safe}${cut} (${digest.slice(0, SHOWN_DIGEST_LENGTH)})`;
}
