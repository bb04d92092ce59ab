// Issues leaves on request, for the API: it opens a root once, and each leaf is one call. The API
// decides who may have one.

import { openAuthority } from "./authority.ts";
import type { PemText } from "../reader/certificate.ts";

/** What a leaf is asked for with. */
export interface LeafRequest {
  /** Becomes the subject's common name: 1 to 64 printable characters. */
  name: string;
  ipAddresses: readonly string[];
  dnsNames: readonly string[];
}

/** A new leaf, its private key and the root that signed it, each PEM. */
export interface LeafBundle {
  ca: string;
  certificate: string;
  privateKey: string;
  /** When the leaf ends. */
  notAfter: Date;
}

/** Issues leaves signed by one root. */
export interface LeafIssuer {
  /**
   * Issues a leaf with a new ECDSA P-256 key, valid for a year or until the root ends.
   *
   * @throws {ConnectorError} `invalid_argument` for a bad name or address; `failed_precondition` when the
   *   root has expired.
   */
  issue(request: LeafRequest): Promise<LeafBundle>;
}

/**
 * Opens the root that leaves are to be signed with.
 *
 * @throws {ConnectorError} as `openAuthority` does.
 */
export async function openLeafIssuer(
  pems: { certificate: PemText; key: PemText },
): Promise<LeafIssuer> {
  const root = await openAuthority(pems);
  return {
    async issue({ name, ipAddresses, dnsNames }) {
      // The library takes long to load, and most connectors are never asked.
      const { issueLeaf } = await import("./issue.ts");
      const leaf = await issueLeaf(root, { commonName: name, ipAddresses, dnsNames });
      return { ca: root.pem, ...leaf };
    },
  };
}
