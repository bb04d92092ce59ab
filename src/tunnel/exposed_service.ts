// An exposed service of either origin. It has an exposure and carries out its effects: the port,
// the connections, the timers, and messages to the peer. exposure.ts decides what it may become.

import { ConnectorError, type ErrorCode } from "../model/errors.ts";
import type { EventStream, Remover } from "../model/events.ts";
import { SOURCE_ADDR } from "../mux/negotiation.ts";
import type { Session } from "../mux/session.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import { principalOf } from "../model/principal.ts";
import { DENIED_BACKOFF, RETRY_BACKOFF, waitMs } from "../retry.ts";
import type {
  Registration,
  Service,
  ServiceReport,
  ServiceRequest,
  ServiceStatus,
  Side,
} from "../model/service.ts";
import type { OwnListeners } from "../net/own_listeners.ts";
import type { ControlFrame } from "../wire/frame.ts";
import { serviceToMessage } from "../wire/service_message.ts";
import { AnswerPace } from "./answer_pace.ts";
import type { Connections } from "./connections.ts";
import type { DialPace } from "./dial_pace.ts";
import {
  answerOf,
  detailsOf,
  dueOf,
  type Effect,
  exposedBy,
  type Exposure,
  type ExposureEvent,
  hasAsked,
  isAskedOver,
  linkOf,
  newExposure,
  type Origin,
  reduce,
  type State,
  statusOf,
  usesLink,
} from "./exposure.ts";
import { Ingress } from "./ingress.ts";
import type { ServiceConnections } from "./service_connections.ts";

/** What services need of the connector. */
export interface ServiceParts {
  events: EventStream;
  connections: Connections;
  listeners: OwnListeners;
  pace: DialPace;
  /** How long visitors wait for a link that was lost, and a port for its peer, in milliseconds. */
  graceMs: number;
  /** The IP addresses to listen on for a service of this peer, undefined for our own; none stands for every interface. */
  listensOn: (service: ServiceRequest, peer: PeerInfo | undefined) => readonly string[];
}

/** The peer of a service. */
export interface ServicePeer {
  /** Its services. */
  readonly services: Set<ExposedService>;
  /** Who the peer is: at least its address, as it is dialled or as it was seen. */
  readonly info: PeerInfo;
}

/** What a service is made of. */
export interface ExposedServiceOptions extends ServiceParts {
  origin: Origin;
  peer: ServicePeer;
  /** A peer's: who exposes it here. */
  claimant?: PeerInfo;
  /** In whose share its connections and its port count. */
  shareKey: string;
  /** Own: whether an earlier run may have exposed it under this id. */
  known?: boolean;
  /** The service has ended, and what has ended it. Called once. */
  onEnd: (service: ExposedService, by: Remover) => void;
}

/** A service that was exposed, here or by a peer. */
export class ExposedService {
  readonly service: Service;
  readonly origin: Origin;
  readonly side: Side;
  readonly connections: ServiceConnections;
  /** Own: whether it is in the configuration file. */
  inFile = false;
  readonly #options: ExposedServiceOptions;
  readonly #answers = new AnswerPace((frame, over) => this.#apply(frame, over));
  /** Ours: whether the peer is to listen on an address of our choice. */
  readonly #placed: boolean;
  #peer: ServicePeer;
  #exposure: Exposure<Session>;
  #ingress: Ingress | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Gives up the wait for the turn to try again. */
  #retrying: AbortController | undefined;
  #changed = Promise.withResolvers<void>();
  /** Whether others know of it. */
  #published = false;
  /** Ours: whether it is not allowed here. */
  #forbidden = false;

  constructor(service: Service, options: ExposedServiceOptions) {
    const { origin, peer, claimant, shareKey, known = false } = options;
    this.service = service;
    this.origin = origin;
    this.side = (service.type === "local") === (origin === "peer") ? "ingress" : "egress";
    const listensOn = this.side === "ingress" ? options.listensOn(service, claimant) : [];
    this.connections = options.connections.openService(service, this.side, { shareKey, listensOn });
    this.#options = options;
    this.#peer = peer;
    this.#placed = origin === "own" && service.type === "local" && service.sourceAddr !== undefined;
    const placed = this.#placed;
    this.#exposure = newExposure({ origin, type: service.type, now: new Date(), known, placed });
  }

  get state(): State<Session> {
    return this.#exposure.state;
  }

  /** A peer's: who has exposed it here. */
  get exposedBy(): PeerInfo | undefined {
    return exposedBy(this.state);
  }

  /** The link that carries its visitors or streams, or did until it was about to end. */
  get link(): Session | undefined {
    return linkOf(this.state);
  }

  /** Whether its port is open here. */
  get listening(): boolean {
    return this.#ingress !== undefined;
  }

  /** Whether it cannot be had here. */
  get obstructed(): boolean {
    return this.state.kind === "refused" && this.state.here;
  }

  /** Whether visitors are carried over a link, or the peer is asked over it. */
  uses(link: Session): boolean {
    return usesLink(this.#exposure, link);
  }

  /** Whether the peer was asked over a link. */
  hasAsked(link: Session): boolean {
    return hasAsked(this.#exposure, link);
  }

  /** A peer's: what its peer is told of it. */
  get answer(): ReturnType<typeof answerOf> {
    return answerOf(this.#exposure);
  }

  /** The status that a user reads. */
  get status(): ServiceStatus {
    return statusOf(this.state, this.#exposure.registration);
  }

  /** Where it stands with the scheduler. */
  get registration(): Registration | undefined {
    return this.#exposure.registration;
  }

  /** What is true of it now. */
  report(): ServiceReport {
    const { state, since, lastError, takenUpAt, registration } = this.#exposure;
    return {
      ...this.service,
      origin: this.origin === "peer" ? "peer" : this.inFile ? "file" : "api",
      status: statusOf(state, registration),
      since,
      ...(lastError && { lastError }),
      connections: this.connections.stats,
      listening: this.listening,
      ...(takenUpAt && { takenUpAt }),
      ...(this.exposedBy && { claimKey: principalOf(this.exposedBy).claimKey }),
      ...(registration && { registration }),
      ...detailsOf(this.#exposure),
    };
  }

  /** Something has happened to it: what follows is done before this returns. */
  tell(event: ExposureEvent<Session>): void {
    const before = this.#exposure;
    const { next, effects } = reduce(before, event, {
      now: new Date(),
      graceMs: this.#options.graceMs,
      retryMs: (failures, { denied }) => waitMs(failures, denied ? DENIED_BACKOFF : RETRY_BACKOFF),
    });
    this.#exposure = next;
    if (next.state !== before.state) this.#setTimer(next.state);
    if (next.state !== before.state || next.registration !== before.registration) {
      // First: what is carried out may end the link, which is told in its turn.
      this.#announce(before, next);
    }
    for (const effect of effects) this.#carryOut(effect);
  }

  /** It was taken up, and is in the list from now on. `restored`: an earlier run had it already; `rule`: what allows it. */
  publish(
    { restored = false, rule }: { restored?: boolean; rule?: string | undefined } = {},
  ): void {
    this.#published = true;
    this.#options.events.publish({ ...this.#subject, change: "exposed", restored, rule });
  }

  /** A peer's: it is about to go over another link, of this peer, which `rule` allows. */
  publishMoved({ rule, peer }: { rule: string | undefined; peer: PeerInfo }): void {
    this.#options.events.publish({ ...this.#subject, peer, change: "moved", rule });
  }

  /** It is in the list no more. */
  publishRemoved(by: Remover): void {
    if (this.#published) this.#options.events.publish({ ...this.#subject, change: "removed", by });
  }

  /**
   * The peer has answered over a link: only over the one in use that counts. Of many answers in a short time the last one
   * counts, later.
   */
  answered(frame: ControlFrame & { kind: "status" }, over: Session): void {
    if (this.state.kind !== "withdrawn" && isAskedOver(this.#exposure, over)) {
      this.#answers.take(frame, over);
    }
  }

  /** It is a service of another link of the same peer from now on, or of none: `services` of peers follow. */
  moveTo(peer: ServicePeer): void {
    this.#peer.services.delete(this);
    this.#peer = peer;
    peer.services.add(this);
  }

  /**
   * Listens, if that is its part.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use.
   */
  open(): void {
    if (this.side === "ingress" && !this.#ingress && !this.#exposure.stopped) {
      const { listeners } = this.#options;
      this.#ingress = Ingress.open({ connections: this.connections, listeners });
      this.#awaitLink();
    }
    this.tell({ kind: "opened" });
  }

  /** As `open`; what fails is tried again for as long as that may help. */
  tryToOpen(): void {
    try {
      this.open();
    } catch (error) {
      const { message, code } = ConnectorError.from(error, "This connector cannot take it up");
      this.tell({ kind: "obstructed", message, code });
    }
  }

  /** Listens in the place of another service, so that the port never refuses in between, unless its addresses are others. */
  openInPlaceOf(former: ExposedService): void {
    if (!sameAddresses(former.connections.listensOn, this.connections.listensOn)) {
      former.tell({ kind: "withdraw", by: "replaced", tell: false, cut: true });
      return this.open();
    }
    const ingress = former.#ingress;
    if (ingress === undefined) return this.open();
    former.#ingress = undefined;
    ingress.reassign(this.connections);
    this.#ingress = ingress;
    this.tell({ kind: "opened" });
  }

  /**
   * Listens on these addresses from now on, if that is its part. Connections go on.
   *
   * @throws {ConnectorError} when a peer's cannot listen there; our own is tried again for as long as that may help.
   */
  listenOn(addresses: readonly string[]): void {
    if (sameAddresses(this.connections.listensOn, addresses)) return;
    this.connections.listensOn = addresses;
    if (this.#ingress === undefined) return;
    this.#stopListening();
    if (this.origin === "own") this.tryToOpen();
    else this.open();
    const { link } = this;
    if (link !== undefined && !link.leaving && this.state.kind !== "resuming") {
      this.#ingress?.attach(link);
    }
  }

  /** It is not allowed here: a peer's is removed, and the peer told why; our own is there again once `allow` is called. */
  forbid({ message, code }: ConnectorError): void {
    if (this.origin === "peer") {
      const { id: serviceId } = this.service;
      this.link?.send({ kind: "status", serviceId, status: "error", message, code });
      return this.tell({
        kind: "withdraw",
        by: "policy",
        tell: false,
        cut: true,
        reason: message,
      });
    }
    if (this.#forbidden) return;
    this.#forbidden = true;
    this.connections.cut(message);
    this.#stopListening();
    this.tell({ kind: "obstructed", message, code });
  }

  /** It is allowed here: ends what `forbid` has begun. */
  allow(): void {
    if (this.#forbidden) this.tell({ kind: "due" });
    this.#forbidden = false;
  }

  /**
   * Resolves when it is complete.
   *
   * @throws {ConnectorError} as `Control.expose` says; `deadline_exceeded` when the signal is aborted before.
   */
  async completed(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      while (this.state.kind !== "ready") {
        const { state } = this;
        if (state.kind === "withdrawn") throw new ConnectorError("unavailable", "it was removed");
        const { message: reason = "the peer has not answered yet" } = detailsOf(this.#exposure);
        if (state.kind === "refused") throw new ConnectorError(codeFor(state.code), reason);
        if (signal.aborted) {
          throw new ConnectorError("deadline_exceeded", `it was not complete in time: ${reason}`);
        }
        await Promise.race([this.#changed.promise, aborted.promise]);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #apply({ status, message, code }: ControlFrame & { kind: "status" }, over: Session): void {
    this.tell({ kind: "answered", over, status, message, ...(code && { code }) });
  }

  #carryOut(effect: Effect<Session>): void {
    switch (effect.kind) {
      case "ask":
        return this.#ask(effect);
      case "tellRemoved":
        return effect.over.send({ kind: "destroy", serviceId: this.service.id });
      case "tellMoved":
        return effect.over.send({
          kind: "status",
          serviceId: this.service.id,
          status: "error",
          message: `the service was exposed anew from ${effect.to.peer.address}`,
          code: "failed_precondition",
        });
      case "tellStatus":
        return effect.over.send({ kind: "status", serviceId: this.service.id, ...this.answer });
      case "giveUp":
        return this.#giveUp(effect.over);
      case "open":
        return this.tryToOpen();
      case "attach":
        // One that takes no more streams carries nobody: visitors wait on, until that is told here, too.
        if (!effect.over.leaving) this.#ingress?.attach(effect.over);
        return;
      case "detach":
        return this.#ingress?.detach(effect);
      case "stopListening":
        return this.#stopListening();
      case "end":
        return this.#end(effect);
    }
  }

  #ask({ over, otherId }: Effect<Session> & { kind: "ask" }): void {
    const { id } = this.service;
    // It would listen on every interface.
    if (this.#placed && !over.supports(SOURCE_ADDR)) {
      const message =
        "the peer cannot listen on an address of our choice: expose without source_addr";
      return this.tell({
        kind: "answered",
        over,
        status: "error",
        message,
        code: "failed_precondition",
      });
    }
    if (otherId && !over.hasRenamed(id)) over.rename(id);
    over.send({
      kind: "expose",
      serviceId: id,
      service: serviceToMessage(this.service, "pending"),
    });
  }

  /** Ends a session that waits for another link, unless it has one now: a claim may be about to be granted. */
  #giveUp(over: Session): void {
    queueMicrotask(() => {
      if (over.suspended === undefined) return;
      const reason = "the link was lost, and the peer has gone to another replica";
      over.abort(new ConnectorError("unavailable", reason), { returns: true });
    });
  }

  /** Until there is a link, visitors wait. */
  #awaitLink(): void {
    const { graceMs } = this.#options;
    this.#ingress?.detach({ graceMs, reason: "there is no link to the peer" });
  }

  #stopListening(): void {
    this.#ingress?.close();
    this.#ingress = undefined;
  }

  #end({ by, cut, reason }: Effect<Session> & { kind: "end" }): void {
    this.#stopTrying();
    this.#answers[Symbol.dispose]();
    this.#stopListening();
    this.#peer.services.delete(this);
    if (cut) this.connections.abort(reason);
    else this.connections.close();
    this.#options.onEnd(this, by);
  }

  /** Sets the timer for the time that a state names. */
  #setTimer(state: State<Session>): void {
    this.#stopTrying();
    const due = dueOf(state);
    if (due === undefined) return;
    const onDue = state.kind === "refused" ? () => this.#retry() : () => this.tell({ kind: "due" });
    this.#timer = setTimeout(onDue, due.getTime() - Date.now());
  }

  async #retry(): Promise<void> {
    const retrying = new AbortController();
    this.#retrying = retrying;
    using _turn = await this.#options.pace.services.turn(retrying.signal);
    if (!retrying.signal.aborted) this.tell({ kind: "due" });
  }

  #stopTrying(): void {
    clearTimeout(this.#timer);
    this.#retrying?.abort();
    this.#retrying = undefined;
  }

  /** Tells callers that wait, and the log. */
  #announce(before: Exposure<Session>, next: Exposure<Session>): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    if (next.state.kind === "withdrawn") return;
    const status = statusOf(next.state, next.registration);
    if (status === statusOf(before.state, before.registration)) {
      if (next.takenUpAt === before.takenUpAt) return;
      return this.#options.events.publish({ ...this.#subject, change: "relinked" });
    }
    this.#options.events.publish({
      ...this.#subject,
      change: "status",
      status,
      message: detailsOf(next).message,
      since: next.since,
      ...(next.state.kind === "orphaned" && { graceMs: this.#options.graceMs }),
    });
  }

  /** What every event of it tells. */
  get #subject() {
    const { origin, service, side } = this;
    const peer = this.exposedBy ?? this.#peer.info;
    return { kind: "service", origin, service, side, peer } as const;
  }
}

function sameAddresses(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((each) => other.includes(each));
}

/** Whether two are the same but for their ids and peers. */
export function sameService(a: Service, b: Service): boolean {
  return a.name === b.name && a.type === b.type && a.sourcePort === b.sourcePort &&
    a.sourceAddr === b.sourceAddr &&
    a.destinationAddr === b.destinationAddr;
}

function codeFor(code: ErrorCode | undefined): ErrorCode {
  return code === "already_exists" || code === "permission_denied" ? code : "unavailable";
}
