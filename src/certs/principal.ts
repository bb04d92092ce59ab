// What a certificate proves of its holder, for decisions: digests of its names and of its key, of the bytes as they stand.
// The certificate was verified before; what people are shown of it is in identity.ts.

import { createHash } from "node:crypto";
import { ConnectorError, reasonOf } from "../errors.ts";
import type { CertificateId } from "../principal.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";

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
  const name = createHash("sha256");
  // Each part says where it ends: no two certificates of different names have the same bytes here.
  name.update(subjectName);
  for (const { tag, content } of names) {
    name.update(`${tag} ${content.length} `);
    name.update(content);
  }
  return {
    name: name.digest("hex"),
    key: createHash("sha256").update(publicKeyInfo).digest("hex"),
  };
}
