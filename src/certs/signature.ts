// Verifies signatures of certificates with the certificate library, for the kinds that node:crypto does not
// know. Loaded only when node:crypto has not found a signature good.

import "reflect-metadata"; // @peculiar/x509 does not load without it
import { X509Certificate } from "@peculiar/x509";

/** Whether a certificate in DER was signed with the key of another. */
export async function isSignedBy(
  certificate: Uint8Array<ArrayBuffer>,
  issuer: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  try {
    const { publicKey } = new X509Certificate(issuer);
    return await new X509Certificate(certificate).verify({ publicKey, signatureOnly: true });
  } catch {
    // It throws for a signature of another kind than the key's, which is no signature by this key.
    return false;
  }
}
