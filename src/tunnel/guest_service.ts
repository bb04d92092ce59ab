// A service that a peer has exposed on us, as a value: its link or its wait for one, and what follows from that. No
// timers and no sockets are touched here; guest_services.ts does.

import type { Address } from "../address.ts";
import type { Session } from "../mux/session.ts";
import type { PeerInfo } from "../peer_identity.ts";
import type { Service, ServiceReport } from "../service.ts";
import type { Ingress } from "./ingress.ts";
import type { ServiceVisitors } from "./visitors.ts";

/** The link that a service came over. */
export interface Owner {
  readonly session: Session;
  readonly peer: PeerInfo;
  /** Whether the session takes no more streams. */
  readonly leaving: boolean;
}

/** Where a service stands: its link, or until when it waits for one. */
export type Tenure =
  | { kind: "owned"; owner: Owner }
  | { kind: "orphaned"; peer: PeerInfo; until: Date; timer: ReturnType<typeof setTimeout> };

/** One of them. */
export interface GuestService {
  service: Service;
  /** What the egress dials. */
  destination: Address;
  since: Date;
  visitors: ServiceVisitors;
  /** Only of services of type local. */
  ingress: Ingress | undefined;
  tenure: Tenure;
}

/** The link of a service; undefined while it waits for one. */
export function ownerOf({ tenure }: GuestService): Owner | undefined {
  return tenure.kind === "owned" ? tenure.owner : undefined;
}

/** What is true of a service now. */
export function reportOf({ service, since, visitors, tenure }: GuestService): ServiceReport {
  const connections = visitors.stats;
  if (tenure.kind === "orphaned") {
    const message = `the link to ${tenure.peer.address} is lost; ` +
      `its port is kept until ${tenure.until.toISOString()}`;
    return { ...service, status: "pending", message, since, connections };
  }
  const { peer, leaving } = tenure.owner;
  return leaving
    ? { ...service, status: "pending", message: "the peer is leaving", since, connections, peer }
    : { ...service, status: "complete", since, connections, peer };
}

/** Whether two are the same but for their ids and peers. */
export function sameService(a: Service, b: Service): boolean {
  return a.name === b.name && a.type === b.type && a.sourcePort === b.sourcePort &&
    a.destinationAddr === b.destinationAddr;
}

/**
 * Whether a port waits for the very connector that asks for it: one that was started anew and knows nothing of its
 * former services.
 */
export function isFormerSelf({ tenure }: GuestService, peer: PeerInfo): boolean {
  const away = tenure.kind === "orphaned" || tenure.owner.leaving;
  return away && isSamePeer(peerOf(tenure), peer);
}

/** Whether a peer may have been the one that a service came from: with certificates, only one with the same. */
export function mayBelongTo({ tenure }: GuestService, peer: PeerInfo): boolean {
  return hasSameIdentity(peerOf(tenure), peer);
}

/** Whether two links come from one connector, as far as can be told: one host, and one certificate if there are any. */
export function isSamePeer(a: PeerInfo, b: PeerInfo): boolean {
  return hostOf(a) === hostOf(b) && hasSameIdentity(a, b);
}

function hasSameIdentity(a: PeerInfo, b: PeerInfo): boolean {
  return JSON.stringify(a.identity) === JSON.stringify(b.identity);
}

function peerOf(tenure: Tenure): PeerInfo {
  return tenure.kind === "orphaned" ? tenure.peer : tenure.owner.peer;
}

function hostOf({ address }: PeerInfo): string {
  return address.slice(0, address.lastIndexOf(":"));
}

/** Why a service cannot have its port. */
export function portInUse(
  { name, sourcePort }: Service,
  { service, tenure }: GuestService,
): string {
  const holder = tenure.kind === "owned"
    ? `by service "${service.name}" of ${tenure.owner.peer.address}`
    : `until ${tenure.until.toISOString()} by service "${service.name}" of ${tenure.peer.address}, ` +
      `whose link is lost`;
  return `Cannot listen for service "${name}" on port ${sourcePort}: the port is in use ${holder}`;
}
