// The judge of the certificates that a peer shows: a function that certs/ makes and grpc/ asks.

/** In which role of TLS a peer shows its certificates: it dials us, or it was dialled as `host`. */
export type PeerRole = { purpose: "client" } | { purpose: "server"; host: string };

/** A peer that was trusted. Certificates can be revoked later; nothing else is judged again. */
export interface JudgedPeer {
  /** Why it is not to be trusted any more, in a sentence about the certificate at fault; undefined while it is. */
  revoked: () => string | undefined;
}

/**
 * Judges certificates in DER, the peer's own first, as they came. It stands beside the TLS library's verdict and does
 * not rely on it.
 *
 * @throws {ConnectorError} `permission_denied`; its message is a clause about the peer, "its certificate ...".
 */
export type JudgePeer = (chain: readonly Uint8Array[], role: PeerRole) => JudgedPeer;
