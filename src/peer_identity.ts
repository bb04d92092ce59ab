// Who a peer is, as its certificate says. A leaf: read in certs/, carried by links, shown by the API.

/** The identity in a certificate. */
export interface PeerIdentity {
  /** Subject, such as `O=Jumppad, CN=Connector Leaf`. */
  subject: string;
  /** The first URI among its names whose scheme is `spiffe`. */
  spiffe?: string;
  /** DNS names, those that carry a port too. */
  dnsNames: string[];
  ipAddresses: string[];
}

/** What is known of a peer. */
export interface PeerInfo {
  /** host:port, as dialled or as seen. */
  address: string;
  /** Who it is, when links are secured by certificates. */
  identity?: PeerIdentity;
}

/** Who a peer is, for the log. */
export function identityFields({ identity }: PeerInfo): Record<string, unknown> {
  if (identity === undefined) return {};
  const { subject, spiffe, dnsNames, ipAddresses } = identity;
  return { subject, spiffe, dnsNames, ipAddresses };
}
