// What a certificate proves of its holder, for decisions: digests of who it names and of its key, of the bytes as they
// stand. The certificate was verified before; what people are shown of it is in identity.ts.
// docs/PROTOCOL.md, "Whose service it is".

import { createHash } from "node:crypto";
import { ConnectorError, reasonOf } from "../errors.ts";
import { isSpiffeId, isTimeStamp } from "../peer_identity.ts";
import type { CertificateId } from "../principal.ts";
import { type Certificate, type GeneralName, NAME_TAG, parseCertificate } from "./certificate.ts";

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
  { subjectName, names, publicKeyInfo }: Pick<
    Certificate,
    "subjectName" | "names" | "publicKeyInfo"
  >,
): CertificateId {
  const counted = whoIsNamed(names);
  return {
    name: digestOf(counted.length > 0 ? counted : [{ tag: SUBJECT_TAG, content: subjectName }]),
    key: createHash("sha256").update(publicKeyInfo).digest("hex"),
  };
}

/** The names that count: SPIFFE ids, else DNS names and IP addresses, else an id that is but a time stamp. */
function whoIsNamed(names: readonly GeneralName[]): readonly GeneralName[] {
  const ids = names.filter((name) => name.tag === NAME_TAG.uri && isSpiffeId(textOf(name)));
  const lasting = ids.filter((name) => !isTimeStamp(textOf(name)));
  if (lasting.length > 0) return lasting;
  const hosts = names.filter(({ tag }) => tag === NAME_TAG.dns || tag === NAME_TAG.ip);
  return hosts.length > 0 ? hosts : ids;
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

function textOf({ content }: GeneralName): string {
  return new TextDecoder("latin1").decode(content);
}
