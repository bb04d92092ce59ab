// Who a peer is, as its certificate says. A leaf: read in certs/, carried by links, shown by the API.

import type { Principal } from "./principal.ts";

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
  /** Who it has proven to be: of whoever opened the link or made the call. What decisions are made on. */
  principal?: Principal;
}

/** How much of a key's digest tells two keys apart for people, in characters. */
const SHOWN_KEY_LENGTH = 16;

/** Who asked for something, for the log: in few words, and where from. */
export function whoFields({ address, identity, principal }: PeerInfo): Record<string, unknown> {
  const { spiffe, dnsNames = [], subject } = identity ?? {};
  const certificate = principal?.certificate;
  return {
    peer: address,
    principal: spiffe ?? (dnsNames.join(",") || subject) ?? "anonymous",
    ...(certificate && { key: certificate.key.slice(0, SHOWN_KEY_LENGTH) }),
  };
}

/** Who a peer is, for the log. */
export function identityFields({ identity }: PeerInfo): Record<string, unknown> {
  if (identity === undefined) return {};
  const { subject, spiffe, dnsNames, ipAddresses } = identity;
  return { subject, spiffe, dnsNames, ipAddresses };
}
