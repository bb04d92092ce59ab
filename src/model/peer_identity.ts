// What a peer's certificate says of it, bounded and printable, for logs and lists only: decisions
// are made on its principal. certs/ reads it, links carry it, and the API shows it.

import { ANONYMOUS, type Principal } from "./principal.ts";

/** The texts of a certificate. */
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
  /** What its certificate says, when links are secured by certificates. */
  identity?: PeerIdentity;
  /** Who it has proven to be, once it is known. What decisions are made on. */
  principal?: Principal;
}

/** `generate-certs` of Go connectors, and ours before 0.2, put the time into the id: it is new in each certificate. */
const TIME_STAMP = /^spiffe:\/\/jumppad\.dev\/private\/\d+$/;

/** Whether a URI in a certificate is a SPIFFE id at all. */
export function isSpiffeId(uri: string): boolean {
  return uri.toLowerCase().startsWith("spiffe://");
}

/** Whether a SPIFFE id says no more than when its certificate was issued. */
export function isTimeStamp(spiffe: string): boolean {
  return TIME_STAMP.test(spiffe);
}

/** How much of a key's fingerprint tells two keys apart for people, in characters. */
const SHOWN_KEY_LENGTH = 16;

/** Who asked for something, for the log: in few words, and where from. */
export function whoFields({ address, principal }: PeerInfo): Record<string, unknown> {
  const certificate = principal?.certificate;
  return {
    peer: address,
    principal: principal?.displayName ?? ANONYMOUS,
    ...(certificate && { key: certificate.key.slice(0, SHOWN_KEY_LENGTH) }),
  };
}

/** Who a peer is, for the log, and what else its certificate says; nothing over plaintext. */
export function identityFields({ identity, principal }: PeerInfo): Record<string, unknown> {
  if (identity === undefined) return {};
  const { subject, spiffe, dnsNames, ipAddresses } = identity;
  return { principal: principal?.displayName, subject, spiffe, dnsNames, ipAddresses };
}
