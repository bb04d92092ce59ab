// Describes a peer by its certificate: for logs, for the list of services, for people. TLS has
// verified the certificate; its text still comes from a stranger, so it is bounded and made
// printable here.

import { ConnectorError, reasonOf } from "../../model/errors.ts";
import { isSpiffeId, type PeerIdentity } from "../../model/peer_identity.ts";
import { printable } from "../../plain_text.ts";
import { type Certificate, parseCertificate } from "../reader/certificate.ts";

/** The longest text that is kept of a subject or a name, in characters. */
const MAX_TEXT_LENGTH = 512;
/** Names of one kind that are kept; the rest is dropped, since they are for people to read. */
const MAX_KEPT_NAMES = 100;

/**
 * Describes a certificate in DER, or node's PeerCertificate, whose `raw` holds the DER.
 *
 * @throws {ConnectorError} `invalid_argument` when it cannot be parsed.
 */
export function describePeer(certificate: Uint8Array | { raw: Uint8Array }): PeerIdentity {
  const der = certificate instanceof Uint8Array ? certificate : certificate.raw;
  try {
    // The copy is in a buffer of its own: node hands out views into shared ones.
    return identityOf(parseCertificate(new Uint8Array(der)));
  } catch (error) {
    throw new ConnectorError(
      "invalid_argument",
      `Cannot read the peer's certificate: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

/** The identity in a parsed certificate. */
export function identityOf({ subject, alternativeNames }: Certificate): PeerIdentity {
  const valuesOf = (type: string) =>
    alternativeNames.filter((name) => name.type === type).slice(0, MAX_KEPT_NAMES)
      .map(({ value }) => printable(value, MAX_TEXT_LENGTH));
  const spiffe = valuesOf("url").find(isSpiffeId);
  return {
    subject: printable(subject, MAX_TEXT_LENGTH),
    ...(spiffe === undefined ? {} : { spiffe }),
    dnsNames: valuesOf("dns"),
    ipAddresses: valuesOf("ip"),
  };
}
