// A service that a peer has exposed on us, as a value: its link or its wait for one, and what follows from that. No
// timers and no sockets are touched here; guest_services.ts does.

import type { Session } from "../mux/session.ts";
import type { PeerInfo } from "../peer_identity.ts";
import { mayClaim, mayInherit, principalOf } from "../principal.ts";
import type { Service, ServiceReport } from "../service.ts";
import type { Ingress } from "./ingress.ts";
import type { ServiceConnections } from "./service_connections.ts";

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
  since: Date;
  connections: ServiceConnections;
  /** Only of services of type local. */
  ingress: Ingress | undefined;
  tenure: Tenure;
}

/** The link of a service; undefined while it waits for one. */
export function ownerOf({ tenure }: GuestService): Owner | undefined {
  return tenure.kind === "owned" ? tenure.owner : undefined;
}

/** What is true of a service now. */
export function reportOf({ service, since, connections, tenure }: GuestService): ServiceReport {
  const stats = connections.stats;
  if (tenure.kind === "orphaned") {
    const message = `the link to ${tenure.peer.address} is lost; ` +
      `its port is kept until ${tenure.until.toISOString()}`;
    return { ...service, status: "pending", message, since, connections: stats };
  }
  const { peer, leaving } = tenure.owner;
  return leaving
    ? {
      ...service,
      status: "pending",
      message: "the peer is leaving",
      since,
      connections: stats,
      peer,
    }
    : { ...service, status: "complete", since, connections: stats, peer };
}

/** Whether two are the same but for their ids and peers. */
export function sameService(a: Service, b: Service): boolean {
  return a.name === b.name && a.type === b.type && a.sourcePort === b.sourcePort &&
    a.destinationAddr === b.destinationAddr;
}

/** Whether a service is a peer's as well: to see, to remove and to take over by its id. */
export function isClaimedBy({ tenure }: GuestService, claimant: PeerInfo): boolean {
  return mayClaim(principalOf(peerOf(tenure)), principalOf(claimant), { away: isAway(tenure) });
}

/** Whether a peer may have the port of a service under another id: one whose link is gone, or about to. */
export function isInheritedBy({ tenure }: GuestService, claimant: PeerInfo): boolean {
  return isAway(tenure) && mayInherit(principalOf(peerOf(tenure)), principalOf(claimant));
}

/** Who exposed a service. */
export function peerOf(tenure: Tenure): PeerInfo {
  return tenure.kind === "orphaned" ? tenure.peer : tenure.owner.peer;
}

function isAway(tenure: Tenure): boolean {
  return tenure.kind === "orphaned" || tenure.owner.leaving;
}

/** Why a service cannot have its port, in words for a peer: whose it is is told only to who may see that one, too. */
export function portInUse(
  { name, sourcePort }: Service,
  holder: GuestService,
  { claimant }: { claimant: PeerInfo },
): string {
  const { service, tenure } = holder;
  const whose = isClaimedBy(holder, claimant)
    ? `service "${service.name}" of ${peerOf(tenure).address}`
    : "another service";
  const how = tenure.kind === "owned"
    ? `by ${whose}`
    : `until ${tenure.until.toISOString()} by ${whose}, whose link is lost`;
  return `Cannot listen for service "${name}" on port ${sourcePort}: the port is in use ${how}`;
}
