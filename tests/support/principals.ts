// What a certificate proves, made up for tests that decide about peers and have no certificates.

import type { CertificateId } from "../../src/model/principal.ts";

/** A certificate with this digest of its names and this fingerprint, and no names to show. */
export function certificateId({ name, key }: Pick<CertificateId, "name" | "key">): CertificateId {
  return {
    name,
    key,
    displayName: name,
    spiffeIds: [],
    dnsNames: [name],
    ipAddresses: [],
    subject: `CN=${name}`,
  };
}
