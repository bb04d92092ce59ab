// Opens a root that leaves are signed with: its certificate and its key, made here or by the Go connector.
// Used by generate-certs and by the API that issues leaves. No file is touched here.

import { ConnectorError } from "../../model/errors.ts";
import {
  type Certificate,
  certificatePem,
  parseCertificates,
  type PemText,
} from "../reader/certificate.ts";
import { isKeyOf, readPrivateKey } from "../files/private_key.ts";
import { type SigningKey, toSigningKey } from "./signing_key.ts";

/** A root that can sign. */
export interface Authority {
  /** What messages call the root certificate. */
  label: string;
  certificate: Certificate;
  /** The root certificate as PEM, alone. */
  pem: string;
  signingKey: SigningKey;
}

/**
 * Reads a root and its key, and makes sure that they can sign leaves. Of a file with several certificates,
 * the one that the key belongs to is meant.
 *
 * @throws {ConnectorError} `invalid_argument` for what cannot be read; `failed_precondition` when the key
 *   is not the certificate's, or the certificate is no CA.
 */
export async function openAuthority(
  pems: { certificate: PemText; key: PemText },
): Promise<Authority> {
  const certificates = parseCertificates(pems.certificate);
  const key = readPrivateKey(pems.key);
  const certificate = certificates.find((candidate) => isKeyOf(key, candidate));
  if (certificate === undefined) {
    throw new ConnectorError(
      "failed_precondition",
      `Cannot sign with ${pems.key.label}: it does not belong to ${pems.certificate.label}`,
      { hint: "Give the certificate and the key that were made together" },
    );
  }
  if (!certificate.isCa) {
    throw new ConnectorError(
      "failed_precondition",
      `Cannot sign with ${pems.certificate.label}: "${certificate.subject}" is not a CA`,
      { hint: "Make a root with connector generate-certs --ca" },
    );
  }
  return {
    label: pems.certificate.label,
    certificate,
    pem: `${certificatePem(certificate)}\n`,
    signingKey: await toSigningKey(key, pems.key.label),
  };
}

/**
 * Makes sure that the root is valid at this time.
 *
 * @throws {ConnectorError} `failed_precondition`.
 */
export function checkValidAt({ label, certificate }: Authority, now: Date): void {
  const { notBefore, notAfter } = certificate;
  const fail = (problem: string) =>
    new ConnectorError("failed_precondition", `Cannot sign with ${label}: ${problem}`);
  if (now > notAfter) throw fail(`it expired at ${notAfter.toISOString()}`);
  if (now < notBefore) throw fail(`it is not valid before ${notBefore.toISOString()}`);
}
