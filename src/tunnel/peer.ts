// A connector at the other end of a link, or of several, whichever side opened them: the sessions
// over them, the services that go over them, and their streams to destinations that we dial.
// outbound.ts opens our links, inbound_links.ts bounds those that peers open, and exposures.ts
// decides what a peer may ask for.

import type { Logger } from "@logtape/logtape";
import { ConnectorError, reasonOf, ruleOf } from "../model/errors.ts";
import type { EventStream } from "../model/events.ts";
import type { SessionLimits } from "../model/limits.ts";
import type { Link } from "../mux/link.ts";
import type { ClaimableSessions } from "../mux/claimable_sessions.ts";
import { Session } from "../mux/session.ts";
import type { DialectName } from "../mux/dialect.ts";
import type { Leaving } from "../mux/session_options.ts";
import type { Stream } from "../mux/stream.ts";
import { type PeerInfo, whoFields } from "../model/peer_identity.ts";
import { principalOf } from "../model/principal.ts";
import { MAX_NAME_LENGTH } from "../model/service.ts";
import type { PeerReport } from "../model/peer_report.ts";
import type { BoundedLog } from "../bounded_log.ts";
import type { ControlFrame } from "../wire/frame.ts";
import { checkServiceId, MAX_ID_LENGTH, serviceFromMessage } from "../wire/service_message.ts";
import { carryToDestination } from "./egress.ts";
import type { ExposedService, ServicePeer } from "./exposed_service.ts";
import type { Exposures } from "./exposures.ts";
import type { ServiceConnections } from "./service_connections.ts";

/** What stands for a rule in the log when a service was not refused by one: it cannot be had as it was asked for. */
const NOT_POSSIBLE = "not possible";

/**
 * So much longer an acceptor waits than it is asked to, in milliseconds: a dialler notices a silent path up to 14 s later
 * than one that was reset.
 */
const NOTICED_SOONER_MS = 15_000;

/** What peers need of the connector. */
export interface PeerParts {
  exposures: Exposures;
  events: EventStream;
  /** For what strangers can cause: one for all peers. */
  log: BoundedLog;
  logger: Logger;
  limits: SessionLimits;
  /** How long sessions wait for another link when theirs is lost, in milliseconds; 0: they end with it. */
  resumeMs: number;
  /** Sessions that peers may claim. */
  claimable: ClaimableSessions;
  /** A peer has another key than before, with the same names: what it may has to be looked at again. */
  onNewKey: () => void;
}

/** What a peer is made of. */
export interface PeerOptions extends PeerParts {
  /** Who dials: this connector, or the peer. */
  direction: "outbound" | "inbound";
  /** Where it is, as it is dialled or as it was seen, and who, if that is known already. */
  info: PeerInfo;
}

/** Callbacks to the code that opened a link. None may block or throw. */
export interface LinkHooks {
  /** The peer has said something over it: before it counts. */
  onHeard?: () => void;
  /** The peer has removed a service of ours. */
  onRemoved?: (serviceId: string) => void;
  onDialect?: (dialect: DialectName) => void;
  /** It is lost, and another one may follow. The services know. */
  onSuspended?: () => void;
  /** It takes no more streams. The services know. */
  onLeaving?: (leaving: Leaving) => void;
}

/** A session that waits for another link. */
interface Suspended {
  /** Since when, as of `performance.now()`. */
  since: number;
  /** How many streams of each service were open then, and where they are counted, whatever becomes of the service. */
  waiting: { id: string; count: number; connections: ServiceConnections }[];
  /** Whether the peer was heard over the link that is lost. */
  wasUp: boolean;
  /** The key of the peer's certificate then. */
  key: string | undefined;
}

/** A connector at the other end. */
export class Peer implements ServicePeer {
  readonly services = new Set<ExposedService>();
  readonly info: PeerInfo;
  readonly #options: PeerOptions;
  readonly #logger: Logger;
  /** Every link that has not ended, the oldest first. */
  readonly #sessions = new Set<Session>();
  /** Of these, the ones that have a link over which the peer was heard. */
  readonly #up = new WeakSet<Session>();
  /** Those that wait for another link. */
  readonly #suspended = new Map<Session, Suspended>();
  #askedAt: number | undefined;
  /** Links that were opened so far: the peer was heard over each. */
  #opened = 0;
  /** Since when a link is up without a break, or none is. */
  #since: Date | undefined;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.info = options.info;
    this.#logger = options.logger.with({ peer: options.info.address });
  }

  /** Every link that has not ended, the oldest first. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** Whether it has no services and no connection is open. */
  get idle(): boolean {
    return this.services.size === 0 &&
      [...this.#sessions].every(({ streamCount }) => streamCount === 0);
  }

  /** When it last asked for a service or removed one, as of `performance.now()`. */
  get askedAt(): number | undefined {
    return this.#askedAt;
  }

  /** Its links as they are now. */
  report(): PeerReport {
    const sessions = [...this.#sessions];
    const up = sessions.filter((session) => this.#up.has(session) && !session.leaving);
    const latest = up.at(-1) ?? sessions.at(-1);
    return {
      direction: this.#options.direction,
      peer: latest ? this.#peerOf(latest) : { address: this.info.address },
      up: up.length,
      leaving: sessions.filter(({ leaving }) => leaving).length,
      resuming: this.#suspended.size,
      resumingConnections: [...this.#suspended.keys()]
        .reduce((sum, { streamCounts }) => sum + sumOf(streamCounts), 0),
      dialect: up.at(-1)?.dialect,
      since: this.#since,
      reconnects: Math.max(0, this.#opened - 1),
      roundTripMs: up.at(-1)?.roundTripMs,
      heldBytes: sessions.reduce((sum, { heldBytes }) => sum + heldBytes, 0),
    };
  }

  /** Resolves when every link that is open now has ended, and the services have been told. Never rejects. */
  async ended(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.closed));
  }

  /** Runs a session over a link. */
  take(link: Link, hooks: LinkHooks = {}): Session {
    const { direction, limits, resumeMs, claimable } = this.#options;
    let returns = true;
    const tokens = claimable.tokensOf(link);
    const isInbound = direction === "inbound";
    const session: Session = Session.start(link, {
      role: isInbound ? "acceptor" : "dialler",
      limits,
      // It may have noticed the loss sooner than the dialler.
      resumeMs: resumeMs > 0 && isInbound ? resumeMs + NOTICED_SOONER_MS : resumeMs,
      ...(tokens && { tokens }),
      onSuspended: (reason) => {
        this.#onSuspended(session, reason);
        if (isInbound) claimable.suspended(session);
        else hooks.onSuspended?.();
      },
      onResumed: () => {
        if (isInbound) claimable.resumed(session);
        this.#onResumed(session);
      },
      onNotResumed: () => this.#onNotResumed(session),
      onControl: (frame) => {
        hooks.onHeard?.();
        this.#onControl(frame, session, hooks);
      },
      onStream: (stream) => this.#onStream(stream, session),
      onDialect: (dialect) => hooks.onDialect?.(dialect),
      onPong: () => hooks.onHeard?.(),
      onLeaving: (leaving) => {
        returns = leaving.returns;
        this.tellServices({ kind: "linkDown", over: session, ...leaving });
        this.#publish(session, { change: "leaving", reason: leaving.reason });
        hooks.onLeaving?.(leaving);
      },
      connects: (serviceId) => this.#find(serviceId, session)?.side === "egress",
    });
    this.#sessions.add(session);
    if (tokens) claimable.add(session, link);
    session.closed.then((reason) => {
      this.#sessions.delete(session);
      this.#noteDown(session);
      this.tellServices({ kind: "linkEnded", over: session, returns });
      this.#publish(session, { change: "down", reason: reason?.message ?? "" });
    });
    return session;
  }

  /** A link is open: the peer was heard over it. */
  publishUp(session: Session): void {
    this.#noteUp(session);
    this.#publish(session, { change: "up", dialect: session.dialect });
  }

  /** Something has happened to all its services. */
  tellServices(event: Parameters<ExposedService["tell"]>[0]): void {
    for (const service of [...this.services]) service.tell(event);
  }

  /** Takes no new streams and tells the peer so; open ones go on. `returns`: whether services of ours will be back. */
  drain({ returns }: { returns: boolean }): void {
    for (const session of this.#sessions) session.drain({ returns });
  }

  /** Ends every link in order, within `graceMs`. */
  close(options: { graceMs?: number } = {}): void {
    for (const session of this.#sessions) session.close(options);
  }

  /** Ends, at once, every link whose peer is not to be trusted any more, and tells it why: it has no claim to its services. */
  abortRevoked(): void {
    for (const session of this.#sessions) {
      const reason = session.revoked;
      if (reason !== undefined) session.abort(new ConnectorError("permission_denied", reason));
    }
  }

  /** Ends every link at once, and tells the peer why. */
  abort(reason: ConnectorError): void {
    for (const session of this.#sessions) session.abort(reason, { returns: true });
  }

  #noteUp(session: Session): void {
    this.#opened += 1;
    if (!this.#isUp) this.#since = new Date();
    this.#up.add(session);
  }

  /** Returns whether it was up. */
  #noteDown(session: Session): boolean {
    const wasUp = this.#up.delete(session);
    if (wasUp && !this.#isUp) this.#since = new Date();
    return wasUp;
  }

  /** Whether any link is open, also one that takes no new connections. */
  get #isUp(): boolean {
    return [...this.#sessions].some((session) => this.#up.has(session));
  }

  #onSuspended(session: Session, reason: string): void {
    const { streamCounts } = session;
    const waiting = [...streamCounts].flatMap(([id, count]) => {
      const found = this.#find(id, session);
      return found ? [{ id, count, connections: found.connections }] : [];
    });
    for (const { connections, count } of waiting) connections.suspended(count);
    const wasUp = this.#noteDown(session);
    const key = keyOf(session);
    this.#suspended.set(session, { since: performance.now(), waiting, wasUp, key });
    this.tellServices({ kind: "suspended", over: session, reason });
    this.#publish(session, { change: "suspended", reason, connections: sumOf(streamCounts) });
  }

  #onResumed(session: Session): void {
    const { streamCounts } = session;
    const { since, wasUp, key } = this.#settle(
      session,
      (id) => ({ resumed: streamCounts.get(id) ?? 0 }),
    );
    if (wasUp) this.#noteUp(session);
    const afterMs = Math.round(performance.now() - since);
    this.#publish(session, { change: "resumed", afterMs, connections: sumOf(streamCounts) });
    this.tellServices({ kind: "resumed", over: session });
    if (keyOf(session) !== key) this.#options.onNewKey();
  }

  #onNotResumed(session: Session): void {
    const { streamCounts } = session;
    this.#settle(session, (id) => ({ ended: streamCounts.get(id) ?? 0 }));
  }

  /** Connections do not wait any more: what has become of each service's. Returns how they have waited. */
  #settle(
    session: Session,
    whatOf: (id: string) => { resumed?: number; ended?: number },
  ): Suspended {
    const suspended = this.#suspended.get(session);
    if (suspended === undefined) throw new TypeError("the session has not waited");
    this.#suspended.delete(session);
    for (const { id, count, connections } of suspended.waiting) {
      connections.resumed({ waited: count, ...whatOf(id) });
    }
    return suspended;
  }

  #publish(
    session: Session,
    change:
      | { change: "up"; dialect: DialectName | undefined }
      | { change: "suspended"; reason: string; connections: number }
      | { change: "resumed"; afterMs: number; connections: number }
      | { change: "leaving" | "down"; reason: string },
  ): void {
    const { direction, events } = this.#options;
    events.publish({ kind: "link", direction, peer: this.#peerOf(session), ...change });
  }

  #onControl(frame: ControlFrame, session: Session, hooks: LinkHooks): void {
    switch (frame.kind) {
      case "expose":
        this.#askedAt = performance.now();
        return this.#onExpose(frame, session);
      case "destroy":
        this.#askedAt = performance.now();
        return this.#onDestroy(frame.serviceId, session, hooks);
      case "status": {
        // A peer has nothing to say about its own services.
        const service = this.#ownService(frame.serviceId);
        if (service) service.answered(frame, session);
        else this.#logger.debug("status for a service that is not ours ignored");
        return;
      }
      case "ping":
    }
  }

  #onExpose(
    { serviceId, service: message }: ControlFrame & { kind: "expose" },
    session: Session,
  ): void {
    try {
      if (this.#options.direction === "outbound") {
        const reason = "only the connector that opened the link can expose over it";
        throw new ConnectorError("failed_precondition", reason, { rule: "direction" });
      }
      const service = { ...serviceFromMessage(message), id: checkServiceId(serviceId) };
      const wanted = this.#options.exposures.takeUp(service, { peer: this, link: session });
      const answer = this.#find(serviceId, session)?.answer ?? { status: "complete", message: "" };
      session.send(
        wanted ? { kind: "status", serviceId, ...answer } : { kind: "destroy", serviceId },
      );
    } catch (error) {
      const reason = reasonOf(error);
      const code = error instanceof ConnectorError ? error.code : "internal";
      this.#options.log.info("service refused", {
        ...whoFields(session.peer),
        service: message?.name.slice(0, MAX_NAME_LENGTH),
        id: serviceId.slice(0, MAX_ID_LENGTH),
        rule: ruleOf(error) ?? NOT_POSSIBLE,
        reason,
      });
      session.send({ kind: "status", serviceId, status: "error", message: reason, code });
    }
  }

  #onDestroy(serviceId: string, session: Session, hooks: LinkHooks): void {
    const service = this.#find(serviceId, session);
    if (service === undefined) return;
    service.tell({ kind: "withdraw", by: "peer", tell: false, cut: true });
    if (service.origin === "own") hooks.onRemoved?.(serviceId);
  }

  #onStream(stream: Stream, session: Session): void {
    const found = this.#find(stream.serviceId, session);
    if (found === undefined || found.side !== "egress" || found.obstructed) {
      const reason = "there is no such service";
      this.#options.log.info("stream refused", {
        ...whoFields(this.#peerOf(session)),
        id: stream.serviceId.slice(0, MAX_ID_LENGTH),
        rule: "no_service",
        reason,
      });
      return stream.reset("no_service", reason);
    }
    carryToDestination(stream, { connections: found.connections, peer: this.#peerOf(session) });
  }

  /** Who is at the other end: one that we dial is called as it is dialled, another one comes from where its last link does. */
  #peerOf({ peer }: Session): PeerInfo {
    const { direction, info } = this.#options;
    return direction === "outbound" ? { ...peer, address: info.address } : peer;
  }

  /** A service that goes over a link of this peer. */
  #find(serviceId: string, session: Session): ExposedService | undefined {
    return this.#options.direction === "outbound"
      ? this.#ownService(serviceId)
      : this.#options.exposures.find(serviceId, session);
  }

  #ownService(serviceId: string): ExposedService | undefined {
    const service = this.#options.exposures.getOwn(serviceId);
    return service && this.services.has(service) ? service : undefined;
  }
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return counts.values().reduce((sum, count) => sum + count, 0);
}

/** By which a policy may tell a peer from others of its names. */
function keyOf({ peer }: Session): string | undefined {
  return principalOf(peer).certificate?.key;
}
