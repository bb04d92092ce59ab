// The judge of the certificates that a peer shows: a function that certs/ makes and grpc/ asks.

/** In which role of TLS a peer shows its certificates: it dials us, or it was dialled as `host`. */
export type PeerRole = { purpose: "client" } | { purpose: "server"; host: string };

/**
 * Judges certificates in DER, the peer's own first, as they came. It stands beside the TLS library's verdict and does
 * not rely on it.
 *
 * @throws {ConnectorError} `permission_denied`; its message is a clause about the peer, "its certificate ...".
 */
export type JudgePeer = (chain: readonly Uint8Array[], role: PeerRole) => void;
