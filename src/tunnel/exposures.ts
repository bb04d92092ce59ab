// All exposed services: those that were exposed here, and those that peers have exposed here,
// whichever link they came over. It decides whose a peer's service is, which service gets a port,
// and how many there may be; exposure.ts decides where each stands.

import { ConnectorError } from "../model/errors.ts";
import type { RefusalCode, Remover } from "../model/events.ts";
import type { Session } from "../mux/session.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import {
  mayClaim,
  mayInherit,
  type Principal,
  principalOf,
  shareKeyOf,
} from "../model/principal.ts";
import {
  type ConnectionReports,
  listenKey,
  MAX_SERVICES_PER_LINK,
  type Registration,
  type Service,
  type ServiceCounts,
  type ServiceReport,
  type ServiceRequest,
} from "../model/service.ts";
import { Share } from "../share.ts";
import {
  ExposedService,
  type ExposedServiceOptions,
  sameService,
  type ServiceParts,
  type ServicePeer,
} from "./exposed_service.ts";
import { shareOfPeer } from "./peer_share.ts";

/** The most services of our own. */
const MAX_OWN_SERVICES = 10_000;
/** The most services that peers may have exposed here, with those that wait for their peers; one has a share of them. */
const MAX_PEER_SERVICES = 10_000;
/** The most ids that are remembered as removed: of all services that there may be. The oldest are forgotten first. */
const MAX_REMOVED = 10_000;
/** The most holders of one id that are remembered: one, unless others have used the id, too. */
const MAX_REMOVED_HOLDERS = 10;

/** What the registry needs of the connector. */
export interface ExposuresOptions extends ServiceParts {
  /**
   * Refuses a service of a peer, undefined for our own, that may not be had here. Returns what allows it, for the log.
   *
   * @throws {ConnectorError} with the reason.
   */
  admit: (service: Service, peer: PeerInfo | undefined) => string | undefined;
  /** The most services that a peer may have here, and what says so. Default: as many as there is room for. */
  maxServices?: (peer: PeerInfo) => { most: number; rule: string };
  /** Whether an id is that of a service of our own, which may not be used over this link. */
  isTaken: (serviceId: string, link: Session) => boolean;
}

/** What another configuration file changes. */
export interface FileChange {
  added: ServiceRequest[];
  adopted: ExposedService[];
  gone: ExposedService[];
  /** How many are as before. */
  unchanged: number;
}

/** Told of a service that is not allowed any more: of a peer, or, if that is undefined, of our own. */
export type OnForbidden = (
  service: Service,
  why: { peer: PeerInfo | undefined; error: unknown },
) => void;

/** Every exposed service, of both origins. */
export class Exposures {
  readonly #options: ExposuresOptions;
  /** Those that were exposed here, by id. */
  readonly #own = new Map<string, ExposedService>();
  /** Those that peers have exposed here, by id. One that leads back to this connector is in both. */
  readonly #peers = new Map<string, ExposedService>();
  /** What each of a peer takes of the services that there are for all peers. */
  readonly #places = new Map<ExposedService, Share>();
  readonly #all = Share.ofAll(MAX_PEER_SERVICES);
  /** Which service of a peer listens on which port. */
  readonly #ports = new Map<number, ExposedService>();
  /**
   * Whose services the user has removed here, by id. Their holder is told again when it asks for one: the first word may
   * have been lost. To everybody else they never were there.
   */
  readonly #removed = new Map<string, Principal[]>();
  #stopped = false;
  #ended = false;

  constructor(options: ExposuresOptions) {
    this.#options = options;
  }

  /** Whether every service has ended with the connector. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Those that were exposed here over the API: once they have ended, those that were until then. */
  get ofApi(): Service[] {
    return [...this.#own.values()].filter(({ inFile }) => !inFile).map(({ service }) => service);
  }

  /** What is to change so that the services of the configuration file are these. `adopted`: the API has exposed them already. */
  compareFile(wanted: readonly ServiceRequest[]): FileChange {
    const own = new Map<string, ExposedService>();
    for (const each of this.#own.values()) {
      const key = requestKey(each.service);
      // Of two with the same words, one of which is in error, that of the file is the file's.
      if (each.inFile || !own.has(key)) own.set(key, each);
    }
    const kept = new Set<ExposedService>();
    const added: ServiceRequest[] = [];
    for (const request of wanted) {
      const found = own.get(requestKey(request));
      if (found === undefined) added.push(request);
      else kept.add(found);
    }
    return {
      added,
      adopted: [...kept].filter(({ inFile }) => !inFile),
      gone: [...this.#own.values()].filter((each) => each.inFile && !kept.has(each)),
      unchanged: [...kept].filter(({ inFile }) => inFile).length,
    };
  }

  /** Refuses services of the file that cannot be beside those that the API has exposed. @throws {ConnectorError} */
  checkFile({ added, gone, adopted }: FileChange): void {
    if (this.#own.size - gone.length + added.length > MAX_OWN_SERVICES) {
      const reason = `There would be over ${MAX_OWN_SERVICES} services`;
      throw new ConnectorError("resource_exhausted", reason);
    }
    const adoptedNow = new Set(adopted);
    const ofApi = [...this.#own.values()].filter((each) => !each.inFile && !adoptedNow.has(each));
    const taken = new Map(ofApi.map(({ service }) => [listenKey(service), service]));
    for (const request of added) {
      const other = taken.get(listenKey(request));
      if (other === undefined) continue;
      throw new ConnectorError(
        "already_exists",
        `Cannot expose service "${request.name}" on port ${request.sourcePort}: ` +
          `the port is in use by service "${other.name}", which was exposed over the API`,
      );
    }
  }

  /** Those of some services that are not in the configuration file with the same words. */
  outsideFile(services: readonly Service[]): Service[] {
    const inFile = [...this.#own.values()].filter((each) => each.inFile);
    const keys = new Set(inFile.map(({ service }) => requestKey(service)));
    return services.filter((service) => !keys.has(requestKey(service)));
  }

  /** One that was exposed here. */
  getOwn(id: string): ExposedService | undefined {
    return this.#own.get(id);
  }

  /** An integration says where one stands with its scheduler. */
  register(id: string, registration: Registration): void {
    // One that leads back to this connector has its port on the peer's side.
    (this.#peers.get(id) ?? this.#own.get(id))?.tell({ kind: "registered", registration });
  }

  /** What is true of one. */
  report(id: string): ServiceReport | undefined {
    return (this.#own.get(id) ?? this.#peers.get(id))?.report();
  }

  /** The connections of a service that are open here, `max` at most; undefined when there is no such service. */
  connectionsOf(id: string, max: number): ConnectionReports | undefined {
    return (this.#own.get(id) ?? this.#peers.get(id))?.connections.reports(max);
  }

  /** What is true of them now; `of`: of those that are this peer's. */
  list({ of }: { of?: PeerInfo | undefined } = {}): ServiceReport[] {
    const theirs = [...this.#peers.values()];
    if (of !== undefined) {
      return theirs.filter((each) => isClaimedBy(each, of)).map((each) => each.report());
    }
    // What was exposed to ourselves is one service, though both its ends are here.
    const others = theirs.filter(({ service }) => !this.#own.has(service.id));
    return [...this.#own.values(), ...others].map((each) => each.report());
  }

  /** How many there are of each status, those that were exposed here and those of peers, and how many are registered. */
  counts(): ServiceCounts {
    const counts = {
      own: { pending: 0, complete: 0, error: 0 },
      peer: { pending: 0, complete: 0, error: 0 },
      registrations: { registered: 0, pending: 0, refused: 0, moved: 0 },
    };
    for (const { status, registration } of this.#own.values()) {
      counts.own[status] += 1;
      if (registration) counts.registrations[registration.state] += 1;
    }
    for (const [id, { status, registration }] of this.#peers) {
      if (!this.#own.has(id)) counts.peer[status] += 1;
      if (registration) counts.registrations[registration.state] += 1;
    }
    return counts;
  }

  /** Refuses what cannot be beside the services that were exposed here. @throws {ConnectorError} */
  checkConflict(request: ServiceRequest): void {
    const { name, sourcePort } = request;
    if (this.#own.size >= MAX_OWN_SERVICES) {
      const reason =
        `Cannot expose service "${name}": there are ${MAX_OWN_SERVICES} services already`;
      throw new ConnectorError("resource_exhausted", reason);
    }
    const key = listenKey(request);
    for (const { service: other } of this.#own.values()) {
      if (listenKey(other) !== key) continue;
      throw new ConnectorError(
        "already_exists",
        `Cannot expose service "${name}" on port ${sourcePort}: ` +
          `the port is in use by service "${other.name}"`,
      );
    }
  }

  /** Exposes a service to a peer. `known`: whether an earlier run may have done so under this id. Nothing is opened yet. */
  expose(
    service: Service,
    { peer, shareKey, known }: Pick<ExposedServiceOptions, "peer" | "shareKey"> & {
      known: boolean;
    },
  ): ExposedService {
    const added = this.#add(this.#own, service, { origin: "own", peer, shareKey, known });
    this.#own.set(service.id, added);
    peer.services.add(added);
    return added;
  }

  /**
   * Takes up a service for a peer, or lets its peer have it back. Returns whether it is wanted: if not, the peer is to be
   * told that it was removed.
   *
   * @throws {ConnectorError} saying why it is refused.
   */
  takeUp(service: Service, { peer, link }: { peer: ServicePeer; link: Session }): boolean {
    if (this.#stopped) {
      const rule: RefusalCode = "draining";
      throw new ConnectorError("unavailable", "This connector is shutting down", { rule });
    }
    const claimant = link.peer;
    if (this.#wasRemoved(service.id, principalOf(claimant))) return false;
    const rule = this.#options.admit(service, claimant);
    const known = this.#peers.get(service.id);
    const taken = known ? !isClaimedBy(known, claimant) : this.#options.isTaken(service.id, link);
    // The claimant is not told whose it is.
    if (taken) {
      const rule = "taken";
      throw new ConnectorError("already_exists", "The id belongs to another service", { rule });
    }
    const same = known !== undefined && sameService(known.service, service);
    // One whose peer has left and will not return has no listener any more.
    if (same && (known.listening || service.type === "remote")) {
      if (known.link !== link) known.publishMoved({ rule, peer: claimant });
      this.#assign(known, { peer, link });
      // It may have come with another certificate, of which the policy says something else.
      if (known.side === "ingress") {
        try {
          known.listenOn(this.#options.listensOn(service, claimant));
        } catch (error) {
          known.tell({ kind: "withdraw", by: "policy", tell: false, cut: true });
          throw error;
        }
      }
      return true;
    }
    const onPort = service.type === "local" ? this.#listenerOn(service.sourcePort) : undefined;
    if (known === undefined) this.#checkRoom(peer, claimant, { inPlaceOf: onPort });
    if (onPort && onPort !== known && !isInheritedBy(onPort, claimant)) {
      const reason = portInUse(service, onPort, { claimant });
      throw new ConnectorError("already_exists", reason, { rule: "taken" });
    }
    const added = this.#add(this.#peers, service, {
      origin: "peer",
      peer,
      claimant,
      shareKey: shareKeyOf(claimant),
    });
    try {
      if (onPort) added.openInPlaceOf(onPort);
      else added.open();
    } catch (error) {
      added.tell({ kind: "withdraw", by: "peer", tell: false, cut: true });
      throw error;
    }
    // What is still open of a peer that leaves goes on.
    known?.tell({ kind: "withdraw", by: "replaced", tell: false, cut: !same });
    if (onPort !== known) {
      onPort?.tell({ kind: "withdraw", by: "replaced", tell: false, cut: false });
    }
    this.#peers.set(service.id, added);
    this.#takePlace(added, claimant);
    if (added.listening) this.#ports.set(service.sourcePort, added);
    added.publish({ rule });
    this.#assign(added, { peer, link });
    return true;
  }

  /** A peer's service that came over this link, or over a newer one of it, who may not have heard yet that it has moved. */
  find(serviceId: string, link: Session): ExposedService | undefined {
    const found = this.#peers.get(serviceId);
    const known = found && (found.link === link || isClaimedBy(found, link.peer));
    return known ? found : undefined;
  }

  /**
   * Removes a peer's service, and tells the peer now or when it returns. Returns whether there was one of this id; `of`:
   * and whether it is this peer's, who has asked for it and may expose it again.
   */
  removeOfPeer(serviceId: string, { of }: { of?: PeerInfo | undefined } = {}): boolean {
    const found = this.#peers.get(serviceId);
    if (found === undefined || of !== undefined && !isClaimedBy(found, of)) return false;
    const holder = found.exposedBy;
    if (of === undefined && holder) this.#rememberRemoved(serviceId, principalOf(holder));
    const by = of === undefined ? "user" : "peer";
    found.tell({ kind: "withdraw", by, tell: true, cut: true });
    return true;
  }

  /**
   * What is allowed has changed: ends what is not, has again what is, and listens where that is allowed, a step for each
   * service. `onForbidden` is told of each service that is not allowed, before it ends.
   */
  *readmit(onForbidden: OnForbidden): Generator<void, void, void> {
    for (const services of [this.#own, this.#peers]) {
      for (const each of [...services.values()]) {
        // It may have been removed since the first step.
        if (services.get(each.service.id) !== each) continue;
        this.#readmit(each, onForbidden);
        yield;
      }
    }
  }

  /** Takes no new visitors of peers' services, and none up any more; open connections go on. */
  drain(): void {
    this.#stopped = true;
    for (const each of this.#peers.values()) each.tell({ kind: "stop" });
  }

  /** Ends every service, with the connector: connections are reset, nobody is told, and nothing is removed. */
  abort(): void {
    this.#ended = true;
    const reason = "the connector is closing";
    for (const each of [...this.#own.values(), ...this.#peers.values()]) {
      each.tell({ kind: "withdraw", by: "user", tell: false, cut: true, reason });
    }
  }

  #add(
    among: Map<string, ExposedService>,
    service: Service,
    options: Pick<ExposedServiceOptions, "origin" | "peer" | "claimant" | "shareKey" | "known">,
  ): ExposedService {
    return new ExposedService(service, {
      ...this.#options,
      ...options,
      onEnd: (ended, by) => this.#onEnd(ended, { among, by }),
    });
  }

  #onEnd(
    ended: ExposedService,
    { among, by }: { among: Map<string, ExposedService>; by: Remover },
  ): void {
    const { service: { id, sourcePort } } = ended;
    // One that never was open, or that another one has replaced, is not there. One that ends with the connector stays in the
    // list, which may be about to be saved.
    if (among.get(id) === ended && !this.#ended) among.delete(id);
    if (this.#ports.get(sourcePort) === ended) this.#ports.delete(sourcePort);
    const place = this.#places.get(ended);
    this.#places.delete(ended);
    place?.give();
    place?.release();
    if (!this.#ended) ended.publishRemoved(by);
  }

  /** The service of a peer that listens on a port now. */
  #listenerOn(port: number): ExposedService | undefined {
    const service = this.#ports.get(port);
    return service?.listening ? service : undefined;
  }

  /** A service goes over a link of its peer from now on. */
  #assign(service: ExposedService, { peer, link }: { peer: ServicePeer; link: Session }): void {
    service.moveTo(peer);
    service.tell({ kind: "linkUp", over: link });
    if (link.leaving) {
      service.tell({ kind: "linkDown", over: link, reason: "the peer is leaving", returns: true });
    }
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

  #takePlace(service: ExposedService, peer: PeerInfo): void {
    const share = shareOfPeer(this.#all, peer);
    share.takeOver();
    this.#places.set(service, share);
  }

  #readmit(service: ExposedService, onForbidden: OnForbidden): void {
    const peer = service.origin === "peer" ? service.exposedBy : undefined;
    try {
      this.#options.admit(service.service, peer);
      if (service.side === "ingress") {
        service.listenOn(this.#options.listensOn(service.service, peer));
      }
    } catch (error) {
      onForbidden(service.service, { peer, error });
      return service.forbid(ConnectorError.from(error, "No longer allowed"));
    }
    service.allow();
  }

  /** `inPlaceOf`: the service that has the port, which ends if its peer may have it under another id. */
  #checkRoom(
    peer: ServicePeer,
    info: PeerInfo,
    { inPlaceOf }: { inPlaceOf: ExposedService | undefined },
  ): void {
    this.#checkLimit(info, { inPlaceOf });
    const share = shareOfPeer(this.#all, info);
    const { full, taken } = share;
    share.release();
    if (!full && peer.services.size < MAX_SERVICES_PER_LINK) return;
    const reason = full
      ? `This connector has ${taken} services of the peer already, and ${this.#all.taken} of all`
      : `The link has ${MAX_SERVICES_PER_LINK} services already`;
    const rule: RefusalCode = "limit";
    throw new ConnectorError("resource_exhausted", reason, { rule });
  }

  #checkLimit(
    peer: PeerInfo,
    { inPlaceOf }: { inPlaceOf: ExposedService | undefined },
  ): void {
    const { most, rule } = this.#options.maxServices?.(peer) ?? { most: Infinity, rule: "" };
    if (most === Infinity) return;
    const key = principalOf(peer).peerKey;
    let count = 0;
    for (const each of this.#peers.values()) {
      const { exposedBy } = each;
      if (each === inPlaceOf || exposedBy === undefined) continue;
      if (principalOf(exposedBy).peerKey === key) count += 1;
    }
    if (count < most) return;
    const reason = `The policy allows the peer no more services than ${most}`;
    throw new ConnectorError("resource_exhausted", reason, { rule });
  }
}

/** Everything that is asked for: the same text, the same service. */
function requestKey(
  { name, sourcePort, sourceAddr, remoteConnectorAddr, destinationAddr, type }: ServiceRequest,
): string {
  return JSON.stringify([name, sourcePort, sourceAddr, remoteConnectorAddr, destinationAddr, type]);
}

/** Whether a service is a peer's as well: to see, to remove and to take over by its id. */
function isClaimedBy({ exposedBy, state }: ExposedService, claimant: PeerInfo): boolean {
  return exposedBy !== undefined &&
    mayClaim(principalOf(exposedBy), principalOf(claimant), { away: state.kind !== "ready" });
}

/** Whether a peer may have the port of a service under another id: one whose link is gone, or about to. */
function isInheritedBy({ exposedBy, state }: ExposedService, claimant: PeerInfo): boolean {
  return exposedBy !== undefined && state.kind !== "ready" &&
    mayInherit(principalOf(exposedBy), principalOf(claimant));
}

/** Why a service cannot have its port, in words for a peer: whose it is is told only to who may see that one, too. */
function portInUse(
  { name, sourcePort }: Service,
  onPort: ExposedService,
  { claimant }: { claimant: PeerInfo },
): string {
  const { service, state, exposedBy } = onPort;
  const whose = exposedBy && isClaimedBy(onPort, claimant)
    ? `service "${service.name}" of ${exposedBy.address}`
    : "another service";
  const how = state.kind === "orphaned"
    ? `until ${state.until.toISOString()} by ${whose}, whose link is lost`
    : `by ${whose}`;
  return `Cannot listen for service "${name}" on port ${sourcePort}: the port is in use ${how}`;
}
