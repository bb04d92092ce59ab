// Who is at the other end of a link or call, as far as that was proven: what decisions are made on,
// and its name in logs and lists. What else a certificate says, for people only, is in
// peer_identity.ts. docs/PROTOCOL.md, "Whose service it is".

import { createHash, timingSafeEqual } from "node:crypto";
import { unmapIpv4 } from "./address.ts";
import { parseIp } from "./ip.ts";

/** What a verified certificate proves of its holder. Only `displayName` is ever cut or made printable. */
export interface CertificateId {
  /** SHA-256, in hexadecimal, of the names that count, byte for byte: a renewed certificate has the same. */
  name: string;
  /**
   * The fingerprint of the public key: SHA-256 of its SubjectPublicKeyInfo, in hexadecimal. Two certificates that a CA has
   * given the same names differ in it.
   */
  key: string;
  /** The names that count, and no others, for logs and lists: on one line, bounded, the same for the same `name`. */
  displayName: string;
  /** URIs with the scheme `spiffe`, as they stand in the certificate. */
  spiffeIds: readonly string[];
  /** DNS names as they stand in the certificate, those with a port too. */
  dnsNames: readonly string[];
  /** Each in its one spelling. */
  ipAddresses: readonly string[];
  /** The subject as RFC 4514 writes it, in the order of the certificate: `O=Jumppad, CN=Connector Leaf`. */
  subject: string;
}

/** The name of a peer that has shown no certificate. No certificate has this display name. */
export const ANONYMOUS = "anonymous";
/** The name of whoever runs this connector, in the log. */
export const LOCAL_USER = "local user";

/** Reads what a certificate in DER proves. @throws {ConnectorError} when it cannot be read. */
export type IdentifyPeer = (certificate: Uint8Array) => CertificateId;

/** What is known of a peer when it is made. */
export interface PrincipalParts {
  /** The IP address that it came from, or the host that was dialled, in brackets or not. */
  host: string;
  /** From its verified certificate; over plaintext there is none. */
  certificate?: CertificateId | undefined;
  /** What it sent to prove which instance it is. docs/PROTOCOL.md, "Instance". */
  proof?: Uint8Array | undefined;
}

/** What is known of a peer, as far as it matters here. */
interface KnownPeer {
  /** host:port. */
  address: string;
  principal?: Principal;
}

/** A peer. Of its proof only a digest is kept, where no log and no answer finds it. */
export class Principal {
  readonly certificate: CertificateId | undefined;
  /** IP address, or the host that was dialled; an IPv4 address that came as IPv6 is IPv4. */
  readonly host: string;
  readonly #proof: Uint8Array | undefined;
  #peerKey: string | undefined;
  #claimKey: string | undefined;

  constructor({ host, certificate, proof }: PrincipalParts) {
    this.host = unmapIpv4(host.replace(/^\[|\]$/g, ""));
    this.certificate = certificate;
    this.#proof = proof && digest(proof);
  }

  /** What to call it in logs and lists: the names that decide who it is, or `anonymous` without a certificate. */
  get displayName(): string {
    return this.certificate?.displayName ?? ANONYMOUS;
  }

  /**
   * By which it counts for a policy: the names that decide who it is, whatever its key; over plaintext its address. Kept,
   * because it is compared with that of every service.
   */
  get peerKey(): string {
    const { certificate, host } = this;
    return this.#peerKey ??= certificate
      ? `certificate ${certificate.name}`
      : `address ${addressKey(host)}`;
  }

  /**
   * A digest of what proves whose services these are, for connectors that share a scheduler: where it is the same, one may
   * take over what the other has registered. Nothing can be proven with it.
   */
  get claimKey(): string {
    return this.#claimKey ??= digest(this.#claim).toHex();
  }

  get #claim(): string {
    if (this.certificate !== undefined) return `certificate ${this.certificate.name}`;
    return this.#proof === undefined ? `host ${this.host}` : `proof ${this.#proof.toHex()}`;
  }

  /** Whether it has proven an instance at all. */
  get proves(): boolean {
    return this.#proof !== undefined;
  }

  /** Whether both have proven to be the same instance. In constant time. */
  provesSame(principal: Principal): boolean {
    const other = principal.#proof;
    return this.#proof !== undefined && other !== undefined && timingSafeEqual(this.#proof, other);
  }
}

/**
 * Whether a service of `holder` is `claimant`'s as well: to see, to remove and to take over by its id. `away`: whether the
 * holder's link is gone, or takes no more streams.
 *
 * With certificates it takes the same names. While the holder's link lives, it takes the same key, too, or a proof: of two
 * whom a CA has given the same names, neither takes what the other has in use.
 *
 * Without, it takes the proof that the service was exposed with; one without is anybody's of the same host.
 */
export function mayClaim(
  holder: Principal,
  claimant: Principal,
  { away }: { away: boolean },
): boolean {
  if (holder.certificate === undefined && claimant.certificate === undefined) {
    return holder.proves ? holder.provesSame(claimant) : onSameHost(holder, claimant);
  }
  if (holder.certificate?.name !== claimant.certificate?.name) return false;
  return away || holder.certificate?.key === claimant.certificate?.key ||
    holder.provesSame(claimant);
}

/**
 * Whether `claimant` may go on with a session of `holder` over another link, if it knows the token: it has the same names,
 * or no certificate either, and has proven to be the same instance, or proves nothing either. Its address and its key may
 * have changed.
 */
export function mayResume(holder: Principal, claimant: Principal): boolean {
  return holder.certificate?.name === claimant.certificate?.name &&
    (holder.proves || claimant.proves ? holder.provesSame(claimant) : true);
}

/**
 * Whether `claimant` may have the port of a service of `holder` that is away, under another id: a connector that was
 * started anew and knows nothing of its former services. It takes the same names, and the same host or a proof.
 */
export function mayInherit(holder: Principal, claimant: Principal): boolean {
  return holder.certificate?.name === claimant.certificate?.name &&
    (onSameHost(holder, claimant) || holder.provesSame(claimant));
}

/**
 * Whether a call of gRPC's control API is the local user's, and not a peer's: it comes from this machine, from 127.0.0.1
 * or ::1, and with this connector's own certificate if there are any. Any other certificate is a peer's, and any other
 * loopback address is that of a program which passes peers on, such as one that ends TLS: the system gives none by itself.
 */
export function isLocalUser(caller: Principal, own: CertificateId | undefined): boolean {
  return LOCAL_HOSTS.includes(caller.host) &&
    caller.certificate?.name === own?.name && caller.certificate?.key === own?.key;
}

/** A connection that was lost before it was asked has no address, and is on the same host as no other. */
function onSameHost(one: Principal, other: Principal): boolean {
  return one.host !== "" && one.host === other.host;
}

/** Where the local user's programs come from, unless they ask for another address. */
const LOCAL_HOSTS: readonly string[] = ["127.0.0.1", "::1"];

/** The principal of a peer, even if only its address is known. */
export function principalOf({ principal, address }: KnownPeer): Principal {
  return principal ?? new Principal({ host: hostOf(address) });
}

/**
 * In whose share a peer counts: that of its certificate, whatever the number of its links; over plaintext that of its address.
 * IPv6 addresses count by their first 64 bits, because every host has that many to choose from.
 */
export function shareKeyOf(peer: KnownPeer): string {
  const { certificate } = principalOf(peer);
  // By key: a CA that gives all its certificates one name does not make them have one share.
  if (certificate !== undefined) return `certificate ${certificate.key}`;
  return `address ${addressKey(hostOf(peer.address))}`;
}

/** An IP address, in brackets or not, as shares count it. */
export function addressKey(host: string): string {
  const address = unmapIpv4(host.replace(/^\[|\]$/g, ""));
  const ip = parseIp(address);
  if (ip?.length !== 16) return address;
  const groups = [0, 2, 4, 6].map((at) => ((ip[at] ?? 0) << 8 | (ip[at + 1] ?? 0)).toString(16));
  return `${groups.join(":")}::/64`;
}

function hostOf(address: string): string {
  return address.slice(0, Math.max(0, address.lastIndexOf(":")));
}

function digest(bytes: Uint8Array | string): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
