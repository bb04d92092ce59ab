// The tunnelled connections of one service, on the side of it that is here: let in by Admission, counted, published as
// events, and ended together when the service is removed.

import { type Address, parseAddress, type ResolveDestination } from "../model/address.ts";
import type { ByteChannel } from "../byte_channel.ts";
import type { ConnectionFacts, EventStream, RefusalEvent } from "../model/events.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { ConnectionReports, ConnectionStats, Service, Side } from "../model/service.ts";
import type { Share } from "../share.ts";
import { SwapSet, type SwapSetMember } from "../swap_set.ts";
import type { Network } from "../net/network.ts";
import { splice, type SpliceOptions } from "../net/splice.ts";
import type { Admission, PeerCount, Place, Refusal } from "./admission.ts";
import type { ConnectionCounters, DialTimes } from "./counters.ts";
import type { Passages } from "./passages.ts";

/** What is carried of a service, here. */
export type CarriedService = Pick<Service, "id" | "name" | "sourcePort">;

/** What the connections of one service need of those of all. */
export interface ServiceConnectionsOptions {
  service: CarriedService;
  side: Side;
  /** At the ingress: the IP addresses to listen on; none stands for every interface. */
  listensOn: readonly string[];
  destination: Address;
  /** Finds its address, anew for each connection. Absent where it is an address. */
  resolve?: ResolveDestination;
  /** In whose share they count: that of whoever exposes the service. */
  shareKey: string;
  /** What connections come over, and the destination is dialled with. */
  network: Network;
  halfOpenMs: number;
  admission: Admission;
  events: EventStream;
  /** Those of all services on this side. */
  counters: ConnectionCounters;
  /** How long dials took. */
  dials: DialTimes;
  passages: Passages;
  /** What is open, of this service. */
  open: Share;
  /** Of those, who waits for a link. */
  waiting: Share;
  /** Takes one of a share, if it may. */
  take: (share: Share) => boolean;
  /** Takes a descriptor for a port. @throws {ConnectorError} `resource_exhausted` */
  holdPort: () => Disposable;
  /** One connection less. */
  onLeave: () => void;
  onClose: () => void;
  /** It has closed, and nothing is open any more. */
  onEnd: () => void;
}

/** Whose connection it is. */
export interface Ends {
  /** host:port of the visitor; empty where the peer does not tell. */
  visitor: string;
  /** The connector at the other end of the link; undefined while there is none. */
  peer: PeerInfo | undefined;
}

/** What a connection is copied between. */
export interface Between {
  socket: ByteChannel;
  stream: ByteChannel;
  /** The socket's host:port. */
  remote: string;
}

/** One connection: unless it is refused it has a place, until `carry` resolves or `fail` is called. */
export class TunnelledConnection implements SwapSetMember, Place {
  place = -1;
  /** Why it is not let in: it has no place then, and nothing is to be called. */
  refusal: Refusal | undefined;
  /** Ends it, for a reason, when its service ends. Set by the code that has something to end. */
  cut: ((reason: string) => void) | undefined;
  /** Whether it waits for a link. */
  waits = false;
  readonly visitor: string;
  /** When it was let in, in milliseconds since 1970. */
  readonly since = Date.now();
  peer: PeerInfo | undefined;
  /** The other end of its socket, host:port, once it is carried. */
  remote: string | undefined;
  counted: PeerCount | undefined;
  /** How often its service was looked at again when it was let in. */
  readonly era: number;
  #onUncounted: ((peer: PeerCount) => void) | undefined;
  readonly #of: Carrier;

  constructor(of: Carrier, { visitor, peer, era }: Ends & { era: number }) {
    this.#of = of;
    this.visitor = visitor;
    this.peer = peer;
    this.era = era;
  }

  get carried(): boolean {
    return this.remote !== undefined;
  }

  count(peer: PeerCount, onLeave: (peer: PeerCount) => void): void {
    this.uncount();
    peer.connections += 1;
    this.counted = peer;
    this.#onUncounted = onLeave;
  }

  /** It is over, and counts for nobody. Idempotent. */
  uncount(): void {
    const { counted } = this;
    if (counted === undefined) return;
    counted.connections -= 1;
    this.counted = undefined;
    this.#onUncounted?.(counted);
    this.#onUncounted = undefined;
  }

  /** Why it may not be carried over a link to this peer after it has waited for one. `fail` is to be called then. */
  refusalOver(peer: PeerInfo): Refusal | undefined {
    this.peer = peer;
    return this.#of.refusalOf(this, "connect");
  }

  /** Why this IP address of its destination may not be dialled; `port`: on which port, if its name was looked up. */
  refusalOf(ip: string, port?: number): Refusal | undefined {
    return this.#of.refusalOf(this, "dial", { ip, port });
  }

  /** For Admission: takes its place, which it keeps if it is asked again. */
  take(): Refusal | undefined {
    return this.#of.take(this);
  }

  /** Lets it wait for a link, if there is room for one more that waits; `carry` and `fail` end that. */
  wait(): Refusal | undefined {
    return this.#of.wait(this);
  }

  /** Copies between a socket and its stream until both directions have ended. Never rejects. */
  carry(between: Between): Promise<void> {
    return this.#of.carry(this, between);
  }

  /** It came to nothing, and why. */
  fail(refusal: Refusal): void {
    this.#of.fail(this, refusal);
  }

  /** An address of its destination was refused, and another one was dialled. */
  passOver(refusal: Refusal): void {
    this.#of.passOver(this, refusal);
  }
}

/** What is about to be dialled, or was. */
interface Dialled {
  ip: string;
  /** If it is not that of the destination as it was exposed. */
  port?: number | undefined;
}

/** What a connection does in its service. */
interface Carrier {
  refusalOf(connection: TunnelledConnection, action: "connect" | "dial", dialled?: Dialled):
    | Refusal
    | undefined;
  take(connection: TunnelledConnection): Refusal | undefined;
  wait(connection: TunnelledConnection): Refusal | undefined;
  carry(connection: TunnelledConnection, between: Between): Promise<void>;
  fail(connection: TunnelledConnection, refusal: Refusal): void;
  passOver(connection: TunnelledConnection, refusal: Refusal): void;
}

/** The connections of one service, on one side. */
export class ServiceConnections implements Disposable {
  /** At the ingress: the IP addresses to listen on; none stands for every interface. */
  listensOn: readonly string[];
  readonly #options: ServiceConnectionsOptions;
  readonly #carrier: Carrier = {
    refusalOf: (connection, action, dialled) => this.#refusalOf(connection, action, dialled),
    take: (connection) => this.#take(connection),
    wait: (connection) => this.#wait(connection),
    carry: (connection, between) => this.#carry(connection, between),
    fail: (connection, refusal) => this.#fail(connection, refusal),
    passOver: (connection, refusal) => this.#publishRefusal(connection, refusal, "address"),
  };
  #closing = false;
  #aborted = false;
  /** How often what is allowed has changed. */
  #era = 0;
  #ended = false;
  readonly #open = new SwapSet<TunnelledConnection>();
  readonly #splicing: SpliceOptions;
  readonly #stats: Omit<ConnectionStats, "open"> = {
    total: 0,
    failed: 0,
    refused: 0,
    resuming: 0,
    resumed: 0,
    notResumed: 0,
    bytesIn: 0,
    bytesOut: 0,
  };

  constructor(options: ServiceConnectionsOptions) {
    this.#options = options;
    this.listensOn = options.listensOn;
    const stats = this.#stats;
    const { counters, halfOpenMs } = options;
    this.#splicing = {
      halfOpenMs,
      onBytes(direction, count) {
        const way = direction === "up" ? "bytesIn" : "bytesOut";
        stats[way] += count;
        counters[way] += count;
      },
    };
  }

  get service(): CarriedService {
    return this.#options.service;
  }

  /** What the egress dials. */
  get destination(): Address {
    return this.#options.destination;
  }

  /** In whose share its connections count. */
  get shareKey(): string {
    return this.#options.shareKey;
  }

  /** Finds the address of its destination; undefined where that is one. */
  get resolve(): ResolveDestination | undefined {
    return this.#options.resolve;
  }

  /** What its connections come over, and its destination is dialled with. */
  get network(): Network {
    return this.#options.network;
  }

  /** The connections of all services, as far as they may come back. */
  get passages(): Passages {
    return this.#options.passages;
  }

  /** How long dials took, those of all services. */
  get dials(): DialTimes {
    return this.#options.dials;
  }

  /** What was counted so far. */
  get stats(): ConnectionStats {
    const { size: open } = this.#open;
    // Some may have left meanwhile.
    return { ...this.#stats, open, resuming: Math.min(open, this.#stats.resuming) };
  }

  /** So many of them wait, because their link is lost. */
  suspended(count: number): void {
    this.#stats.resuming += count;
  }

  /** So many do not wait any more: so many go on over another link, and so many end because none has followed. */
  resumed({ waited, resumed = 0, ended = 0 }: {
    waited: number;
    resumed?: number;
    ended?: number;
  }): void {
    const { counters } = this.#options;
    this.#stats.resuming -= waited;
    this.#stats.resumed += resumed;
    counters.resumed += resumed;
    this.#stats.notResumed += ended;
    counters.notResumed += ended;
  }

  /** The connections that are open, `max` of them at most. */
  reports(max: number): ConnectionReports {
    const connections = this.#open.all().slice(0, max).map(({ visitor, remote, since }) => ({
      visitor,
      ...(remote !== undefined && { remote }),
      since: new Date(since),
    }));
    return { connections, more: this.#open.size - connections.length };
  }

  /** Counts a connection and lets it in, or says in its `refusal` why not. */
  admit(ends: Ends): TunnelledConnection {
    const { counters } = this.#options;
    this.#stats.total += 1;
    counters.total += 1;
    const connection = new TunnelledConnection(this.#carrier, { ...ends, era: this.#era });
    const refusal = this.#refusalOf(connection, "connect");
    if (refusal === undefined) return connection;
    connection.refusal = refusal;
    if (refusal.code === "limit") this.#stats.refused += 1;
    this.#fail(connection, refusal);
    return connection;
  }

  /**
   * Takes a descriptor for a port of the service, until it is disposed.
   *
   * @throws {ConnectorError} `resource_exhausted` when there is none for it.
   */
  holdPort(): Disposable {
    return this.#options.holdPort();
  }

  /** Takes no more connections; those that are open end by themselves. */
  close(): void {
    this.#closing = true;
    if (this.#open.size === 0) this.abort();
  }

  /**
   * What is allowed has changed: ends the connections that are not, a step for each, and tells both ends why. Those that
   * wait or dial are asked about when they are carried.
   */
  *readmit(): Generator<void, void, void> {
    this.#era += 1;
    for (const connection of this.#open.all()) {
      if (connection.remote === undefined || !this.#open.has(connection)) continue;
      const refusal = this.#refusalNow(connection, connection.remote);
      if (refusal !== undefined) {
        this.#publishRefusal(connection, refusal, "carried");
        connection.cut?.(refusal.told ?? refusal.reason);
      }
      yield;
    }
  }

  /** Resets the connections that are open. */
  cut(reason: string): void {
    for (const { cut } of this.#open.all()) cut?.(reason);
  }

  /** Resets every connection: to remove a service is to cut it off. Idempotent. */
  abort(reason = REMOVED): void {
    this.#aborted = true;
    this.#options.onClose();
    this.cut(reason);
    if (this.#open.size === 0) this.#finish();
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  #refusalOf(
    connection: TunnelledConnection,
    action: "connect" | "dial",
    dialled?: Dialled,
  ): Refusal | undefined {
    const { listensOn } = this;
    const { admission, service, side, destination } = this.#options;
    const { ip, port } = dialled ?? {};
    return admission.decide({
      action,
      side,
      service,
      principal: connection.peer?.principal,
      from: connection.visitor,
      listensOn,
      destination: port === undefined ? destination : { host: destination.host, port },
      ip,
      place: ip === undefined ? connection : undefined,
    });
  }

  /** What was dialled for a connection that is carried. */
  #dialled(remote: string): Dialled {
    const { host: ip, port } = parseAddress(remote);
    return this.#options.resolve ? { ip, port } : { ip };
  }

  /** Why one that is carried would not be let in now. It has its place. */
  #refusalNow(connection: TunnelledConnection, remote: string): Refusal | undefined {
    return this.#options.side === "egress"
      ? this.#refusalOf(connection, "dial", this.#dialled(remote))
      : this.#refusalOf(connection, "connect");
  }

  /** One that has a place keeps it. */
  #take(connection: TunnelledConnection): Refusal | undefined {
    if (this.#open.has(connection)) return undefined;
    const { take, open, counters } = this.#options;
    if (!take(open)) return TOO_MANY;
    counters.open += 1;
    this.#open.add(connection);
    return undefined;
  }

  #wait(connection: TunnelledConnection): Refusal | undefined {
    const { take, waiting } = this.#options;
    connection.waits = take(waiting);
    return connection.waits ? undefined : TOO_MANY_WAIT;
  }

  #stopWaiting(connection: TunnelledConnection): void {
    if (connection.waits) this.#options.waiting.give();
    connection.waits = false;
  }

  #carry(connection: TunnelledConnection, { socket, stream, remote }: Between): Promise<void> {
    this.#stopWaiting(connection);
    // Whichever of the two notices first knows no more than that it was reset.
    let cutFor: string | undefined;
    connection.cut = (reason) => {
      cutFor ??= reason;
      socket.reset("closing", reason);
      stream.reset("closing", reason);
    };
    if (this.#aborted) {
      connection.cut(REMOVED);
      this.#fail(connection, { code: "removed", reason: REMOVED });
      return Promise.resolve();
    }
    connection.remote = remote;
    const refusal = connection.era === this.#era ? undefined : this.#refusalNow(connection, remote);
    if (refusal !== undefined) {
      connection.cut(refusal.told ?? refusal.reason);
      this.#fail(connection, refusal);
      return Promise.resolve();
    }
    const opened = performance.now();
    const { counters, events, side } = this.#options;
    if (events.wants("connection")) {
      events.publish({
        kind: "connection",
        change: "opened",
        ...this.#factsOf(connection),
        remote,
      });
    }
    const spliced = side === "ingress"
      ? splice(socket, stream, this.#splicing)
      : splice(stream, socket, this.#splicing);
    return spliced.then(({ up, down, reason: found }) => {
      const reason = cutFor ?? found;
      const durationMs = performance.now() - opened;
      counters.durations.observe(durationMs / 1000);
      this.#end(connection, reason);
      if (!events.wants("connection")) return;
      events.publish({
        kind: "connection",
        change: "closed",
        ...this.#factsOf(connection),
        remote,
        bytesIn: up,
        bytesOut: down,
        durationMs: Math.round(durationMs),
        reason,
      });
    });
  }

  #factsOf({ visitor, peer }: TunnelledConnection): ConnectionFacts {
    const { service, side, destination } = this.#options;
    return { service, side, visitor, peer, destination };
  }

  #fail(connection: TunnelledConnection, refusal: Refusal): void {
    this.#options.counters.refused[refusal.code] += 1;
    this.#end(connection, refusal.reason);
    this.#publishRefusal(connection, refusal, "connection");
  }

  #publishRefusal(
    connection: TunnelledConnection,
    { code, reason, rule = code }: Refusal,
    refused: RefusalEvent["refused"],
  ): void {
    const { events } = this.#options;
    if (!events.wants("refusal")) return;
    events.publish({ kind: "refusal", code, rule, reason, refused, ...this.#factsOf(connection) });
  }

  /** An empty reason is an orderly end. */
  #end(connection: TunnelledConnection, reason: string): void {
    const { counters, open, onLeave } = this.#options;
    this.#stopWaiting(connection);
    connection.uncount();
    if (reason !== "") {
      this.#stats.failed += 1;
      counters.failed += 1;
    }
    this.#stats.lastClose = reason || IN_ORDER;
    if (this.#open.delete(connection)) {
      counters.open -= 1;
      open.give();
      onLeave();
    }
    if (this.#open.size > 0) return;
    if (this.#closing) this.abort();
    else if (this.#aborted) this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.onEnd();
  }
}

/** Why a connection has ended in order, in words. */
export const IN_ORDER = "both sides finished";
const REMOVED = "the service was removed";
const TOO_MANY: Refusal = { code: "limit", reason: "too many connections are open" };
const TOO_MANY_WAIT: Refusal = {
  code: "waiting",
  reason: "too many visitors wait for the peer already",
};
