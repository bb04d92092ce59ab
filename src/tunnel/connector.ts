// The connector, which REST and gRPC drive. It owns all peers, outbound and inbound, the services that
// go over their links, and every tunnelled connection.

import { type Address, parseAddress } from "../model/address.ts";
import { delay } from "../delay.ts";
import { ConnectorError, type ErrorCode, reasonOf, ruleOf } from "../model/errors.ts";
import type { SessionLimits } from "../model/limits.ts";
import { ClaimableSessions } from "../mux/claimable_sessions.ts";
import type { Hello, Link } from "../mux/link.ts";
import type { Session } from "../mux/session.ts";
import { type PeerInfo, whoFields } from "../model/peer_identity.ts";
import { LOCAL_USER, principalOf } from "../model/principal.ts";
import type { PeerReport } from "../model/peer_report.ts";
import type { Route } from "../proxies.ts";
import { inSlices } from "../slices.ts";
import type {
  AskOptions,
  ConnectionReports,
  Control,
  ExposeOptions,
  Registration,
  Service,
  ServiceCounts,
  ServiceReport,
  ServiceRequest,
} from "../model/service.ts";
import { EventStream, type RefusalCode } from "../model/events.ts";
import type { OwnListeners } from "../net/own_listeners.ts";
import {
  type Action,
  Admission,
  notDisabled,
  notDraining,
  notOwnAddress,
  resolvable,
  withinLimits,
  withinServiceBind,
} from "./admission.ts";
import type { CountersOfSides, DialTimes } from "./counters.ts";
import { EventLog } from "./event_log.ts";
import { newDialPace } from "./dial_pace.ts";
import type { ExposedService } from "./exposed_service.ts";
import { Exposures, type OnForbidden } from "./exposures.ts";
import { InboundLinks } from "./inbound_links.ts";
import { Keeper } from "./keeper.ts";
import type { PolicyGuard } from "./policy_guard.ts";
import { Outbound } from "./outbound.ts";
import { Peer, type PeerParts } from "./peer.ts";
import { Connections, type ConnectionsOptions } from "./connections.ts";

/** What a connector may do, and what it does it with. */
export interface ConnectorOptions extends ConnectionsOptions {
  /** Starts to open a link to a peer. `resume`: a claim of a session, or an introduction, if that is to be said. */
  dial: (address: Address, resume: string) => Link;
  /** How a peer is dialled. Default: directly. */
  routeTo?: (address: Address) => Route;
  limits: SessionLimits;
  /** Where this connector listens: no tunnel leads there. Its services are added by themselves. */
  listeners: OwnListeners;
  /** How long a listener, and visitors, wait for a peer whose link is lost, in milliseconds. */
  graceMs: number;
  /** How long connections wait for another link when theirs is lost, in milliseconds. Default: 0, they end with it. */
  resumeMs?: number;
  /** Never dial a destination: nothing reachable from here is exposed. */
  disableLocalExpose: boolean;
  /** Never listen for a service: nothing of other connectors is reachable here. */
  disableRemoteExpose: boolean;
  /** The IP addresses on which services are listened for, unless they say. Default: none, which stands for every interface. */
  serviceBind?: readonly string[];
  /** What peers are held to. Default: nothing but the rest of these options. */
  policy?: PolicyGuard;
  /**
   * Keeps what is exposed, so that it survives the process. Resolves when it is safe. Absent when nothing is kept.
   *
   * @throws {ConnectorError} when it cannot be kept.
   */
  save?: (services: Service[]) => Promise<void>;
}

/** How many services of the configuration file were changed, and how many were not. */
export type FileCounts = Record<"exposed" | "removed" | "unchanged", number>;

/** What stands in the log where a policy's rule would, if there is no policy. */
const NO_POLICY = "no policy";
/** How long peers may take to end their links once nothing is open any more, at least, in milliseconds. */
const CLOSE_GRACE_MS = 1000;
/** The same when `close` is hastened. */
const HURRIED_GRACE_MS = 200;
/** Between two looks at what peers with other keys may, in milliseconds: one that has several shows them as often as it likes. */
const NEW_KEYS_MS = 1000;

/** A connector, without its servers. Disposing aborts it. */
export class Connector implements Control, AsyncDisposable {
  /** Everything that happens here, for subscribers. */
  readonly events: EventStream;
  readonly #options: ConnectorOptions;
  readonly #admission: Admission;
  readonly #eventLog: EventLog;
  readonly #keeper: Keeper | undefined;
  readonly #connections: Connections;
  readonly #pace = newDialPace();
  /** Peers that we dial, by the address as the user wrote it: the contract opens one link for each distinct text. */
  readonly #outbound = new Map<string, Outbound>();
  /** Peers that dialled us, one for each link. */
  readonly #inbound = new Set<Peer>();
  readonly #inboundLinks = new InboundLinks();
  readonly #claimable = new ClaimableSessions();
  readonly #exposures: Exposures;
  /** What all peers are made of. */
  readonly #peerParts: PeerParts;
  /**
   * Ids of services that are not kept: their exposure is not answered yet, or they are about to be removed; and for how many
   * requests each.
   */
  readonly #unkept = new Map<string, number>();
  /** What looks at everything again, since what is allowed has changed. */
  #readmission: Generator<void, void, void> | undefined;
  /** Resolves when it is done. */
  #readmitted: Promise<void> | undefined;
  /** Whether a peer has shown another key since the last look, and whether there are looks because of that. */
  #newKeys = false;
  #judgesKeys = false;
  readonly #closing = new AbortController();
  readonly #aborted = new AbortController();
  #closed: Promise<void> | undefined;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    const { listeners, logger, limits, graceMs, policy } = options;
    this.events = new EventStream((subscriber, reason) =>
      logger.error("events not handled", { subscriber, reason })
    );
    this.#admission = new Admission([
      notDisabled(options),
      notDraining(this.#closing.signal),
      notOwnAddress(listeners),
      resolvable((destination) => options.resolverOf?.(destination) !== undefined),
      policy?.rule ?? withinServiceBind(options.serviceBind ?? []),
      withinLimits,
    ]);
    const { events } = this;
    const connections = new Connections(options, { admission: this.#admission, events });
    this.#connections = connections;
    const { save } = options;
    this.#keeper = save && new Keeper(events, { services: () => this.#kept(), save, logger });
    this.#eventLog = new EventLog(events, { logger, strangers: connections.log });
    this.#exposures = new Exposures({
      events,
      connections,
      listeners,
      pace: this.#pace,
      graceMs,
      admit: (service, peer) => this.#admit(service, peer),
      listensOn: (service, peer) => this.#listensOn(service, peer),
      ...(policy && { maxServices: (peer) => policy.maxServices(principalOf(peer)) }),
      isTaken: (id, link) => this.#isTaken(id, link),
    });
    this.#peerParts = {
      exposures: this.#exposures,
      events,
      log: connections.log,
      logger,
      limits,
      resumeMs: options.resumeMs ?? 0,
      claimable: this.#claimable,
      onNewKey: () => void this.#onNewKey(),
    };
  }

  async expose(
    request: ServiceRequest,
    { waitMs = 0, signal }: ExposeOptions = {},
  ): Promise<string> {
    this.#refuseWhenClosing();
    const rule = this.#admit(request);
    const address = parseAddress(request.remoteConnectorAddr);
    this.#exposures.checkConflict(request);
    const service: Service = { ...request, id: crypto.randomUUID() };
    const peer = this.#peerAt(request.remoteConnectorAddr, address);
    const keep = this.#leaveOut(service.id);
    let kept = false;
    try {
      const added = peer.add(service, { rule });
      if (waitMs > 0) await this.#completed(added, { waitMs, signal });
      keep();
      kept = true;
      await this.#keeper?.settled();
    } catch (error) {
      const refused = kept ? this.#leaveOut(service.id) : keep;
      // Unless the configuration file has it by now: it is not the caller's any more.
      if (!this.#exposures.getOwn(service.id)?.inFile) peer.remove(service.id);
      this.#forget(refused);
      this.#dropIdle(request.remoteConnectorAddr, peer);
      // What others have written meanwhile may have it.
      if (kept) this.#keeper?.soon();
      throw ConnectorError.from(error, `Cannot expose service "${request.name}"`);
    }
    return service.id;
  }

  /** Takes up the services of an earlier run, each as soon as that can be done. */
  restore(services: readonly Service[]): void {
    const restored = this.#exposures.outsideFile(services);
    for (const service of restored) this.#restore(service, { inFile: false });
    // The others are the configuration file's now: the next start is not to find them here.
    if (restored.length < services.length) this.#keeper?.soon();
  }

  /**
   * Refuses services that the configuration file cannot have now: what is new among them must be allowed, and fit beside what
   * the API has exposed. Whether a port is free, and what a peer says, shows when they are exposed.
   *
   * @throws {ConnectorError} naming the service at fault.
   */
  checkFile(services: readonly ServiceRequest[]): void {
    const change = this.#exposures.compareFile(services);
    this.#exposures.checkFile(change);
    for (const request of change.added) {
      try {
        this.#admit(request);
      } catch (error) {
        throw ConnectorError.from(error, `Cannot expose service "${request.name}"`);
      }
    }
  }

  /**
   * Makes these the services of the configuration file: exposes what is new, each as soon as that can be done, removes what is
   * gone, and leaves the rest alone. Returns how many of each there were. A connector that is closing changes nothing.
   */
  useFile(services: readonly ServiceRequest[]): FileCounts {
    const { added, adopted, gone, unchanged } = this.#exposures.compareFile(services);
    if (this.#closing.signal.aborted) return { exposed: 0, removed: 0, unchanged };
    for (const service of adopted) service.inFile = true;
    if (adopted.length > 0) this.#keeper?.soon();
    const peers = new Set<string>();
    for (const { service: { id, remoteConnectorAddr } } of gone) {
      this.#outbound.get(remoteConnectorAddr)?.remove(id, { by: "configuration" });
      peers.add(remoteConnectorAddr);
    }
    for (const request of added) {
      this.#restore({ ...request, id: crypto.randomUUID() }, { inFile: true });
    }
    // Last: a peer may have lost a service and got another one, over the same link.
    for (const text of peers) {
      const peer = this.#outbound.get(text);
      if (peer) this.#dropIdle(text, peer);
    }
    return {
      exposed: added.length,
      removed: gone.length,
      unchanged: unchanged + adopted.length,
    };
  }

  async destroy(id: string, { of }: AskOptions = {}): Promise<void> {
    if (this.#exposures.ended) this.#refuseWhenClosing();
    // Only the user may remove what was exposed here.
    const ours = of === undefined ? [...this.#outbound].filter(([, peer]) => peer.has(id)) : [];
    for (const [text, peer] of ours) {
      this.#refuseInFile(id);
      const leftOut = await this.#saveWithout(id);
      try {
        // The file may have got it meanwhile.
        this.#refuseInFile(id);
      } catch (error) {
        leftOut();
        throw error;
      }
      const removed = peer.remove(id);
      this.#forget(leftOut);
      this.#dropIdle(text, peer);
      // It may have ended with the connector meanwhile: it does not come back after the next start.
      if (removed || this.#exposures.ended) return;
    }
    // If somebody else has removed our service meanwhile, one of a peer's with the same id was not meant.
    if (ours.length > 0 || !this.#exposures.removeOfPeer(id, { of })) throw noSuchService(id);
  }

  get(id: string): ServiceReport {
    const found = this.#exposures.report(id);
    if (found === undefined) throw noSuchService(id);
    return found;
  }

  /** The connections of a service that are open here, `max` at most; none when there is no such service. */
  connectionsOf(id: string, max: number): ConnectionReports {
    return this.#exposures.connectionsOf(id, max) ?? { connections: [], more: 0 };
  }

  list(options: AskOptions = {}): ServiceReport[] {
    return this.#exposures.list(options);
  }

  /** An integration says where a service stands with its scheduler. Without effect on one that is not there any more. */
  register(id: string, registration: Registration): void {
    this.#exposures.register(id, registration);
  }

  /** How many services there are of each origin and status. */
  serviceCounts(): ServiceCounts {
    return this.#exposures.counts();
  }

  /** Every peer that is dialled, or has dialled us, with its links. */
  peers(): PeerReport[] {
    return [...this.#outbound.values(), ...this.#inbound].map((peer) => peer.report());
  }

  /**
   * What to answer to a peer that opens a link and has agreed on resumption: `connector-resume`. To be followed by `accept`.
   *
   * @throws {ConnectorError} `invalid_argument` when it claims a session in a way that makes no sense.
   */
  answer(link: Link, offer: Hello): string {
    return this.#claimable.answer(link, offer);
  }

  /** Takes over a link that a peer opened to us. */
  accept(link: Link): void {
    if (this.#claimable.take(link)) return;
    const refuse = (code: ErrorCode, { rule, reason }: { rule: RefusalCode; reason: string }) => {
      this.#connections.log.info("link refused", { ...whoFields(link.peer), rule, reason });
      link.abort(new ConnectorError(code, reason));
    };
    if (this.#closing.signal.aborted) {
      const reason = "the connector is shutting down";
      return refuse("unavailable", { rule: "draining", reason });
    }
    const place = this.#inboundLinks.admit(link.peer);
    if (place === undefined) {
      const reason = "This connector has too many links of the peer already";
      return refuse("resource_exhausted", { rule: "limit", reason });
    }
    const peer = new Peer({ ...this.#peerParts, direction: "inbound", info: link.peer });
    peer.publishUp(peer.take(link));
    this.#inbound.add(peer);
    this.#inboundLinks.hold(peer, place);
    peer.ended().then(() => this.#inbound.delete(peer));
  }

  /** Ends, at once, every link whose peer is not to be trusted any more, whichever side opened it, and tells the peer why. */
  abortRevoked(): void {
    for (const peer of [...this.#outbound.values(), ...this.#inbound]) peer.abortRevoked();
  }

  /**
   * Stops listening, tells every peer, and lets open connections finish for up to `drainMs`; then resets what is
   * left and ends every link. Aborting the signal ends it at once. Resolves when all has ended. A further call waits for
   * the same end; only `abort` hastens it.
   */
  close({ drainMs, signal }: { drainMs: number; signal?: AbortSignal }): Promise<void> {
    const aborted = this.#aborted.signal;
    const hurry = signal === undefined ? aborted : AbortSignal.any([signal, aborted]);
    return this.#closed ??= this.#close({ drainMs, signal: hurry });
  }

  /** Ends it at once: connections are reset, and peers get a fifth of a second to hear of it. Resolves as `close` does. */
  abort(): Promise<void> {
    this.#aborted.abort();
    return this.close({ drainMs: 0 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  /**
   * What is allowed has changed: ends the services and connections that are not, and has services again that are; while the
   * connector drains, the connections alone. In slices: what goes on is not held up, however much there is to look at. A
   * further call begins anew. Resolves when all has been looked at. Never rejects.
   */
  async readmit(): Promise<void> {
    this.#readmission?.return();
    this.#readmission = this.#readmit();
    this.#readmitted = inSlices(this.#readmission);
    await this.#readmitted;
  }

  /** What was counted of all connections, those of removed services too. */
  get counters(): Readonly<CountersOfSides> {
    return this.#connections.counters;
  }

  /** How long it took to dial destinations, and those that failed. */
  get dials(): Readonly<DialTimes> {
    return this.#connections.dials;
  }

  /** How many visitors wait for a link. */
  get visitorsWaiting(): number {
    return this.#connections.visitorsWaiting;
  }

  /** What the policy has refused. */
  get policyRefusals(): Readonly<Record<Action, number>> {
    return this.#admission.policyRefusals;
  }

  async #close({ drainMs, signal }: { drainMs: number; signal: AbortSignal }): Promise<void> {
    this.#closing.abort();
    // One that is under way has the connections to judge still.
    if (this.#readmission !== undefined) void this.readmit();
    const deadline = performance.now() + drainMs;
    const outbound = [...this.#outbound.values()];
    const inbound = [...this.#inbound];
    const peers = [...outbound, ...inbound];
    this.#exposures.drain();
    // A peer that dialled us may come back whatever we do.
    for (const peer of inbound) peer.drain({ returns: true });
    for (const peer of outbound) {
      peer.drain({ returns: this.#options.save !== undefined || peer.inFile });
    }
    const waited = new AbortController();
    const hurried = AbortSignal.any([signal, waited.signal]);
    await Promise.race([this.#connections.idle(), delay(drainMs, { signal: hurried })]);
    waited.abort();
    // Before the links end: a service is not down or removed because its process ends.
    this.#exposures.abort();
    this.#connections.abort();
    const graceMs = signal.aborted
      ? HURRIED_GRACE_MS
      : Math.max(CLOSE_GRACE_MS, deadline - performance.now());
    const ended = Promise.all(peers.map((peer) => peer.ended()));
    for (const peer of peers) peer.close({ graceMs });
    const hurry = () => peers.forEach((peer) => peer.close({ graceMs: HURRIED_GRACE_MS }));
    signal.addEventListener("abort", hurry);
    await ended;
    signal.removeEventListener("abort", hurry);
    this.#readmission?.return();
    this.#keeper?.[Symbol.dispose]();
    this.#eventLog[Symbol.dispose]();
    this.#connections[Symbol.dispose]();
  }

  /** @throws {ConnectorError} when it does not become complete in time, or the caller waits no more. */
  async #completed(
    service: ExposedService,
    { waitMs, signal }: { waitMs: number; signal: AbortSignal | undefined },
  ): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), waitMs);
    const signals = [late.signal, this.#closing.signal, ...(signal ? [signal] : [])];
    try {
      await service.completed(AbortSignal.any(signals));
    } catch (error) {
      this.#refuseWhenClosing();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    // The caller would not learn the id.
    if (signal?.aborted) throw new ConnectorError("cancelled", "nobody waits any more");
  }

  /** @throws {ConnectorError} for a service of the configuration file, which is not removed elsewhere. */
  #refuseInFile(id: string): void {
    const { inFile, service } = this.#exposures.getOwn(id) ?? {};
    if (!inFile) return;
    const name = service?.name;
    throw new ConnectorError(
      "failed_precondition",
      `Cannot remove service "${name}": it is in the configuration file, take it out there`,
    );
  }

  /** What is to be kept of what is exposed. */
  #kept(): Service[] {
    return this.#exposures.ofApi.filter(({ id }) => !this.#unkept.has(id));
  }

  /** Leaves a service out of what is kept. Returns what ends that. */
  #leaveOut(id: string): () => void {
    this.#unkept.set(id, (this.#unkept.get(id) ?? 0) + 1);
    return () => {
      const left = (this.#unkept.get(id) ?? 0) - 1;
      if (left > 0) this.#unkept.set(id, left);
      else this.#unkept.delete(id);
    };
  }

  /** Ends that, of a service that was removed. What ended with the connector is listed still: it stays left out. */
  #forget(leftOut: () => void): void {
    if (!this.#exposures.ended) leftOut();
  }

  /**
   * A service that is to be removed is taken out of the file first: once it is gone here, nobody could ask for that again.
   * Returns what ends that it is left out.
   *
   * @throws {ConnectorError} when it cannot be written; then the service is kept.
   */
  async #saveWithout(id: string): Promise<() => void> {
    const leftOut = this.#leaveOut(id);
    try {
      await this.#keeper?.settled();
      return leftOut;
    } catch (error) {
      leftOut();
      this.#keeper?.soon();
      throw ConnectorError.from(error, "Cannot remove the service");
    }
  }

  #restore(service: Service, { inFile }: { inFile: boolean }): void {
    const { remoteConnectorAddr } = service;
    const peer = this.#peerAt(remoteConnectorAddr, parseAddress(remoteConnectorAddr));
    let obstacle: ConnectorError | undefined;
    try {
      this.#admit(service);
    } catch (error) {
      this.#logForbidden(service, { peer: undefined, error });
      obstacle = ConnectorError.from(error, "This connector cannot take it up");
    }
    peer.restore(service, { obstacle, inFile });
  }

  #peerAt(text: string, address: Address): Outbound {
    const known = this.#outbound.get(text);
    if (known) return known;
    const { dial, routeTo } = this.#options;
    const peer: Outbound = Outbound.start({
      ...this.#peerParts,
      address,
      dial,
      route: routeTo?.(address) ?? { kind: "direct" },
      connections: this.#connections,
      pace: this.#pace,
      onRemoved: () => {
        this.#dropIdle(text, peer);
        this.#keeper?.soon();
      },
      onTold: () => this.#dropIdle(text, peer),
    });
    this.#outbound.set(text, peer);
    return peer;
  }

  #dropIdle(text: string, peer: Outbound): void {
    if (!peer.idle || !peer.told || this.#closing.signal.aborted) return;
    // It may have been dropped before, and another may be in its place.
    if (this.#outbound.get(text) === peer) this.#outbound.delete(text);
    peer.close();
  }

  #refuseWhenClosing(): void {
    if (!this.#closing.signal.aborted) return;
    throw new ConnectorError("unavailable", "The connector is shutting down");
  }

  /** One that was exposed is not allowed: of a peer, or, if that is undefined, of our own. */
  #logForbidden(
    { id, name: service, remoteConnectorAddr }: Service,
    { peer, error }: Parameters<OnForbidden>[1],
  ): void {
    this.#connections.changes.info("service no longer allowed", {
      ...(peer ? whoFields(peer) : { peer: remoteConnectorAddr, principal: LOCAL_USER }),
      service,
      id,
      rule: ruleOf(error),
      reason: reasonOf(error),
    });
  }

  /**
   * Refuses what may not be exposed, by a peer or, if that is undefined, from here. Returns what allows it, for the log.
   *
   * @throws {ConnectorError} saying why.
   */
  #admit(service: ServiceRequest, peer?: PeerInfo): string {
    const side = (service.type === "local") === (peer === undefined) ? "egress" : "ingress";
    const listensOn = side === "ingress" ? this.#listensOn(service, peer) : [];
    this.#admission.expose(service, { side, peer, listensOn });
    const { policy } = this.#options;
    if (policy === undefined) return NO_POLICY;
    const { sourcePort, destinationAddr } = service;
    const principal = peer?.principal;
    const destination = parseAddress(destinationAddr, { labels: true });
    return policy.rulesOf({ side, principal, sourcePort, destination, listensOn });
  }

  /** A peer has another key than before: all is looked at again, but not so often that a look never comes to its end. */
  async #onNewKey(): Promise<void> {
    this.#newKeys = true;
    if (this.#judgesKeys) return;
    this.#judgesKeys = true;
    while (this.#newKeys) {
      this.#newKeys = false;
      await this.#readmitted;
      await this.readmit();
      await delay(NEW_KEYS_MS, { signal: this.#closing.signal });
    }
    this.#judgesKeys = false;
  }

  *#readmit(): Generator<void, void, void> {
    if (!this.#closing.signal.aborted) {
      yield* this.#exposures.readmit((service, why) => this.#logForbidden(service, why));
    }
    yield* this.#connections.readmit();
  }

  /** Where to listen for a service of a peer, undefined for our own. */
  #listensOn(service: ServiceRequest, peer: PeerInfo | undefined): readonly string[] {
    const { serviceBind: bind = [], policy } = this.#options;
    const { sourceAddr } = service;
    if (sourceAddr !== undefined) return sourceAddr === "::" ? [] : [sourceAddr];
    const principal = peer && principalOf(peer);
    return policy?.listensOn(service, { principal, bind }) ?? bind;
  }

  /**
   * Whether an id is that of a service of our own, which a peer may not use: only a link of ours that leads back to us
   * brings the very id. It is known by its TCP connection: whatever we send, a peer could send back.
   */
  #isTaken(id: string, { connections }: Session): boolean {
    const ours = [...this.#outbound.values()].filter((peer) => peer.has(id));
    return ours.length > 0 && !ours.some((peer) => peer.isOver(connections));
  }
}

function noSuchService(id: string): ConnectorError {
  return new ConnectorError("not_found", `There is no service with the id "${id.slice(0, 100)}"`);
}
