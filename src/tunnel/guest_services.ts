// What peers have exposed on us, whichever link they came over. A service outlives its link for a while: its port
// stays open and new visitors wait, so that a peer that returns takes over where it was.

import type { Logger } from "@logtape/logtape";
import { BoundedLog } from "../bounded_log.ts";
import { ConnectorError } from "../errors.ts";
import { type PeerInfo, whoFields } from "../peer_identity.ts";
import { boundKey, mayClaim, type Principal, principalOf } from "../principal.ts";
import type { Service, ServiceReport } from "../service.ts";
import {
  type GuestService,
  isClaimedBy,
  isInheritedBy,
  type Owner,
  ownerOf,
  peerOf,
  portInUse,
  reportOf,
  sameService,
  type Tenure,
} from "./guest_service.ts";
import type { OwnListeners } from "../tcp/own_listeners.ts";
import { Ingress } from "./ingress.ts";
import { shareOfPeer } from "./peer_share.ts";
import { Share } from "../share.ts";
import type { Connections } from "./connections.ts";
import type { ServiceConnections } from "./service_connections.ts";

/** The most services that one peer may have exposed on us over one link. */
const MAX_SERVICES_PER_LINK = 1000;
/** The most services that peers may have exposed on us, with those that wait for their peers; one has a share of them. */
const MAX_SERVICES = 10_000;
/** The most ids that are remembered as removed: of all services that there may be. The oldest are forgotten first. */
const MAX_REMOVED = 10_000;
/** The most holders of one id that are remembered: one, unless others have used the id, too. */
const MAX_REMOVED_HOLDERS = 10;
/** Changes of services that are logged at once, all that a link may come with and go with, and then in a second. */
const LOGGED_CHANGES = { burst: 2000, perSecond: 20 };
/** How long visitors wait at most for a peer that drains, in milliseconds; then its link may still be open. */
const DRAIN_PATIENCE_MS = 60_000;

/** What the services need of the connector. */
export interface GuestServicesOptions {
  connections: Connections;
  listeners: OwnListeners;
  logger: Logger;
  /** How long a service waits for its peer to return, in milliseconds. */
  graceMs: number;
  /** Refuses a service that may not be taken up here. @throws {ConnectorError} with the reason. */
  admit: (service: Service, peer: PeerInfo) => void;
  /** Whether an id is that of a service of our own, which may not be used over this link. */
  isTaken: (serviceId: string, owner: Owner) => boolean;
}

/** The services that peers have exposed on us. */
export class GuestServices {
  readonly #options: GuestServicesOptions;
  readonly #services = new Map<string, GuestService>();
  /** Those of each link that lives. */
  readonly #owned = new Map<Owner, Set<GuestService>>();
  /** What each takes of the services that there are for all peers. */
  readonly #places = new Map<GuestService, Share>();
  readonly #all = Share.ofAll(MAX_SERVICES);
  /** Who listens on which port. */
  readonly #ports = new Map<number, GuestService>();
  /**
   * Whose services the user has removed here, by id. Their holder is told again when it asks for one: the first word may
   * have been lost. To everybody else they never were there.
   */
  readonly #removed = new Map<string, Principal[]>();
  /** For what peers do: one for all of them. */
  readonly changes: BoundedLog;
  #stopped = false;

  constructor(options: GuestServicesOptions) {
    this.#options = options;
    this.changes = new BoundedLog(options.logger, LOGGED_CHANGES);
  }

  /** What is true of them now; `of`: of those that are this peer's. */
  list({ of }: { of?: PeerInfo | undefined } = {}): ServiceReport[] {
    return [...this.#services.values()]
      .filter((entry) => of === undefined || isClaimedBy(entry, of))
      .map(reportOf);
  }

  /** How many have come over this link. */
  countOf(owner: Owner): number {
    return this.#owned.get(owner)?.size ?? 0;
  }

  /** A service that came over this link, or over a newer one of its peer, who may not have heard yet that it has moved. */
  get(
    serviceId: string,
    owner: Owner,
  ): Pick<GuestService, "service" | "connections"> | undefined {
    const entry = this.#services.get(serviceId);
    const known = entry && (ownerOf(entry) === owner || isClaimedBy(entry, owner.peer));
    return known ? entry : undefined;
  }

  /**
   * Takes up a service, or lets its peer have it back. Returns whether it is wanted: if not, the peer is to be
   * told that it was removed.
   *
   * @throws {ConnectorError} saying why it is refused.
   */
  takeUp(service: Service, owner: Owner): boolean {
    if (this.#stopped) {
      throw new ConnectorError("unavailable", "This connector is shutting down");
    }
    if (this.#wasRemoved(service.id, principalOf(owner.peer))) return false;
    this.#options.admit(service, owner.peer);
    const known = this.#services.get(service.id);
    const taken = known
      ? !isClaimedBy(known, owner.peer)
      : this.#options.isTaken(service.id, owner);
    // Whose it is is nobody else's business.
    if (taken) throw new ConnectorError("already_exists", "The id belongs to another service");
    const same = known !== undefined && sameService(known.service, service);
    // One whose peer had left for good has no listener any more.
    if (same && (known.ingress || service.type === "remote")) {
      this.#assign(known, owner);
      return true;
    }
    if (known === undefined) this.#checkRoom(owner);
    const holder = service.type === "local" ? this.#ports.get(service.sourcePort) : undefined;
    if (holder && holder !== known && !isInheritedBy(holder, owner.peer)) {
      const reason = portInUse(service, holder, { claimant: owner.peer });
      throw new ConnectorError("already_exists", reason);
    }
    const side = service.type === "local" ? "ingress" : "egress";
    const bounds = { holder: boundKey(owner.peer) };
    const connections = this.#options.connections.openService(service, side, bounds);
    const ingress = service.type === "local"
      ? this.#openIngress({ connections, holder })
      : undefined;
    // What is still open of a peer that leaves goes on.
    if (known) this.#drop(known, { cut: !same });
    if (holder && holder !== known) this.#drop(holder, { cut: false });
    const { id, name, sourcePort, type, destinationAddr } = service;
    const tenure: Tenure = { kind: "owned", owner };
    const since = new Date();
    const entry: GuestService = { service, since, connections, ingress, tenure };
    this.#services.set(id, entry);
    this.#place(entry, owner);
    if (ingress) this.#ports.set(sourcePort, entry);
    this.#assign(entry, owner);
    this.changes.info("service exposed by peer", {
      ...whoFields(owner.peer),
      service: name,
      id,
      type,
      sourcePort,
      destinationAddr,
    });
    return true;
  }

  /** The peer has removed a service that came over this link, or over another one of its, which may be dead. */
  release(serviceId: string, owner: Owner): void {
    const entry = this.#services.get(serviceId);
    if (entry === undefined) return;
    if (ownerOf(entry) === owner || isClaimedBy(entry, owner.peer)) this.#drop(entry);
  }

  /**
   * Removes a service, and tells the peer now or when it returns. Returns whether there was one of this id; `of`: and
   * whether it is this peer's, who has asked for it and may expose it again.
   */
  destroy(serviceId: string, { of }: { of?: PeerInfo | undefined } = {}): boolean {
    const entry = this.#services.get(serviceId);
    if (entry === undefined || of !== undefined && !isClaimedBy(entry, of)) return false;
    ownerOf(entry)?.session.send({ kind: "destroy", serviceId });
    if (of === undefined) this.#rememberRemoved(serviceId, principalOf(peerOf(entry.tenure)));
    this.#drop(entry);
    return true;
  }

  /** A link takes no more streams: visitors wait, if the peer may return. */
  leaving(owner: Owner, { returns }: { returns: boolean }): void {
    for (const entry of this.#of(owner)) {
      entry.since = new Date();
      if (returns) entry.ingress?.detach({ graceMs: DRAIN_PATIENCE_MS, reason: NO_LINK });
      else this.#stopListening(entry);
    }
  }

  /** A link has ended. What nobody can return to is removed now, everything else in a while. */
  ended(owner: Owner, { returns }: { returns: boolean }): void {
    for (const entry of this.#of(owner)) {
      if (entry.ingress && returns) this.#orphan(entry, owner.peer);
      else this.#drop(entry, { cut: false });
    }
  }

  /** Takes no new visitors, and nothing up any more; open connections go on. */
  stopListening(): void {
    this.#stopped = true;
    for (const entry of this.#services.values()) this.#stopListening(entry);
  }

  /** Ends everything. */
  close(): void {
    for (const entry of [...this.#services.values()]) this.#drop(entry);
    this.changes[Symbol.dispose]();
  }

  #wasRemoved(serviceId: string, claimant: Principal): boolean {
    const holders = this.#removed.get(serviceId) ?? [];
    // Whoever held it then holds nothing now.
    return holders.some((holder) => mayClaim(holder, claimant, { away: true }));
  }

  #rememberRemoved(serviceId: string, holder: Principal): void {
    if (this.#wasRemoved(serviceId, holder)) return;
    const holders = this.#removed.get(serviceId) ?? [];
    if (holders.length < MAX_REMOVED_HOLDERS) holders.push(holder);
    this.#removed.set(serviceId, holders);
    const [oldest] = this.#removed.keys();
    if (this.#removed.size > MAX_REMOVED && oldest !== undefined) this.#removed.delete(oldest);
  }

  #of(owner: Owner): GuestService[] {
    return [...this.#owned.get(owner) ?? []];
  }

  #setTenure(entry: GuestService, tenure: Tenure): void {
    this.#disown(entry);
    entry.tenure = tenure;
    if (tenure.kind === "orphaned") return;
    const owned = this.#owned.get(tenure.owner) ?? new Set();
    this.#owned.set(tenure.owner, owned.add(entry));
  }

  #disown(entry: GuestService): void {
    const owner = ownerOf(entry);
    const owned = owner && this.#owned.get(owner);
    if (owner === undefined || owned === undefined) return;
    owned.delete(entry);
    if (owned.size === 0) this.#owned.delete(owner);
  }

  #place(entry: GuestService, owner: Owner): void {
    const share = shareOfPeer(this.#all, owner.peer);
    share.takeOver();
    this.#places.set(entry, share);
  }

  #freePlace(entry: GuestService): void {
    const share = this.#places.get(entry);
    this.#places.delete(entry);
    share?.give();
    share?.release();
  }

  /** Opens a port, or takes over the one that is open already, so that it never refuses in between. */
  #openIngress(
    { connections, holder }: { connections: ServiceConnections; holder: GuestService | undefined },
  ): Ingress {
    const ingress = holder?.ingress;
    if (holder && ingress) {
      holder.ingress = undefined;
      ingress.reassign(connections);
      return ingress;
    }
    try {
      return Ingress.open({ connections, listeners: this.#options.listeners });
    } catch (error) {
      connections.close();
      throw error;
    }
  }

  #assign(entry: GuestService, owner: Owner): void {
    const former = entry.tenure;
    const changed = former.kind === "orphaned" || former.owner !== owner;
    if (former.kind === "orphaned") clearTimeout(former.timer);
    else if (changed) {
      former.owner.session.send({
        kind: "status",
        serviceId: entry.service.id,
        status: "error",
        message: `the service was exposed anew from ${owner.peer.address}`,
        code: "failed_precondition",
      });
    }
    if (changed) entry.since = new Date();
    this.#setTenure(entry, { kind: "owned", owner });
    if (owner.leaving) entry.ingress?.detach({ graceMs: this.#options.graceMs, reason: NO_LINK });
    else entry.ingress?.attach(owner.session);
  }

  #orphan(entry: GuestService, peer: PeerInfo): void {
    const { graceMs } = this.#options;
    const { id, name } = entry.service;
    entry.ingress?.detach({ graceMs, reason: NO_LINK });
    entry.since = new Date();
    this.#setTenure(entry, {
      kind: "orphaned",
      peer,
      until: new Date(Date.now() + graceMs),
      timer: setTimeout(() => this.#drop(entry), graceMs),
    });
    this.changes.info("service waits for its peer", { service: name, id, graceMs });
  }

  #stopListening(entry: GuestService): void {
    entry.ingress?.close();
    entry.ingress = undefined;
    this.#freePort(entry);
  }

  /** Removes a service. Its connections are cut, or end with the link by themselves: what has arrived is delivered. */
  #drop(entry: GuestService, { cut = true }: { cut?: boolean } = {}): void {
    const { id, name } = entry.service;
    if (entry.tenure.kind === "orphaned") clearTimeout(entry.tenure.timer);
    if (this.#services.get(id) === entry) this.#services.delete(id);
    this.#disown(entry);
    this.#freePlace(entry);
    this.#stopListening(entry);
    if (cut) entry.connections.close();
    else entry.connections.retire();
    this.changes.info("service removed", {
      ...whoFields(peerOf(entry.tenure)),
      service: name,
      id,
    });
  }

  #freePort(entry: GuestService): void {
    const { sourcePort } = entry.service;
    if (this.#ports.get(sourcePort) === entry) this.#ports.delete(sourcePort);
  }

  #checkRoom(owner: Owner): void {
    const share = shareOfPeer(this.#all, owner.peer);
    const { full, taken } = share;
    share.release();
    if (!full && this.countOf(owner) < MAX_SERVICES_PER_LINK) return;
    const reason = full
      ? `This connector has ${taken} services of the peer already, and ${this.#all.taken} of all`
      : `The link has ${MAX_SERVICES_PER_LINK} services already`;
    throw new ConnectorError("resource_exhausted", reason);
  }
}

const NO_LINK = "there is no link to the peer";
