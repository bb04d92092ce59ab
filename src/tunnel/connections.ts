// The tunnelled connections of a connector, either side, service by service: admitted within bounds, counted,
// logged when each opens and when it closes, and ended together when their service or the connector ends. No peer, and
// no service of one, gets so many that none are left for the others. All of them, the ports that are listened on and the
// links that we open keep to the file descriptors that there are.

import type { Logger } from "@logtape/logtape";
import { BoundedLog } from "../bounded_log.ts";
import type { ByteChannel } from "../byte_channel.ts";
import { descriptors } from "../descriptors.ts";
import { ConnectorError } from "../errors.ts";
import { SwapSet, type SwapSetMember } from "../swap_set.ts";
import type { ConnectionStats } from "../service.ts";
import type { Network } from "../tcp/network.ts";
import { splice, type SpliceOptions } from "../tcp/splice.ts";
import { Share } from "../share.ts";
import { Passages } from "./passages.ts";

/** What all services share. */
export interface ConnectionsOptions {
  logger: Logger;
  /** What connections come over, and destinations are dialled with. */
  network: Network;
  /** Once one direction has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
  /** The most connections open at once, of all services and sides together. */
  maxConnections: number;
  /** Of those, the most of one service on one side. */
  maxServiceConnections: number;
  /** How many file descriptors connections and ports may take, if so many are wanted. Default: those of the process. */
  countDescriptors?: (wanted: number) => number;
}

/**
 * What one peer may not have of the connections that the other peers leave: a single one may have three quarters of all, and
 * a second one three quarters of the rest.
 */
const PEER_RESERVE = 1 / 4;
/** What one service may not have of those that the other services of its peer leave: most peers have one that matters. */
const SERVICE_RESERVE = 1 / 8;
/** A service with fewer has a part that is kept for such: five busy services of a peer do not keep its sixth out. */
const FEW = 16;
/** The most visitors that wait for a link, of all services: each costs a socket and a descriptor. */
const MAX_WAITING = 5_000;
/** Of one service. */
const MAX_SERVICE_WAITING = 1_000;
/** What they may take of all connections, lest nobody else is served while peers are away. */
const WAITING_PART = 1 / 2;
/** What ports and links may take of the descriptors: without any left, nobody could be carried. */
const HELD_PART = 1 / 2;
/** Ports and links that are of use at most: there may be 10,000 services of ours, and as many of peers. */
const MAX_HELD = 20_000;
/**
 * So many descriptors are asked for first, and twice as many each time that more are needed: to count them takes 20 µs each,
 * during which nothing else is done. Most connectors never need more.
 */
const FIRST_DESCRIPTORS = 128;

/** Changes of our own services that are logged at once, all that a start may bring, and then in a second. */
const LOGGED_CHANGES = { burst: 2000, perSecond: 20 };

/** The connections of all services. */
export class Connections {
  /** What strangers can have logged, of all services together. */
  readonly log: BoundedLog;
  /** What the peers that we dial can have logged of our own services and of links to them. */
  readonly changes: BoundedLog;
  /** What comes back to this connector. */
  readonly passages = new Passages();
  readonly #options: ConnectionsOptions;
  readonly #services = new Set<ServiceConnections>();
  readonly #open: Share;
  readonly #waiting: Share;
  /** Ports that are listened on, and links that we have opened. */
  readonly #held: Share;
  /** How many descriptors there are for all of them, as far as it was necessary to find out. */
  #descriptors = 0;
  /** Whether there are no more. */
  #exhausted = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.log = new BoundedLog(options.logger);
    this.changes = new BoundedLog(options.logger, LOGGED_CHANGES);
    this.#open = Share.ofAll(0);
    this.#waiting = Share.ofAll(0);
    this.#held = Share.ofAll(0);
  }

  /** Begins to carry connections of a service. `holder` is for whom they are counted: whoever exposes it. */
  openService(
    service: { id: string; name: string },
    side: "ingress" | "egress",
    { holder = "" }: { holder?: string } = {},
  ): ServiceConnections {
    const fields = { serviceId: service.id, service: service.name, side };
    const share = (of: Share, max: number) => {
      const all = of.within(holder, { reserve: PEER_RESERVE });
      const one = all.within(`${service.id} ${side}`, { max, reserve: SERVICE_RESERVE, few: FEW });
      return {
        one,
        release: () => {
          one.release();
          all.release();
        },
      };
    };
    const open = share(this.#open, this.#options.maxServiceConnections);
    const waiting = share(this.#waiting, MAX_SERVICE_WAITING);
    const made = new ServiceConnections(fields, {
      ...this.#options,
      holder,
      log: this.log,
      passages: this.passages,
      open: open.one,
      waiting: waiting.one,
      take: (share) => this.#take(share),
      holdPort: () => this.hold(holder, `Cannot listen for service "${service.name}"`),
      onLeave: () => this.#onLeave(),
      onClose: () => this.#services.delete(made),
      onEnd: () => {
        open.release();
        waiting.release();
      },
    });
    this.#services.add(made);
    return made;
  }

  /** Resolves when no connection is open. */
  async idle(): Promise<void> {
    while (this.#open.taken > 0) await (this.#idle ??= Promise.withResolvers()).promise;
  }

  /**
   * Takes a descriptor for a port or a link of a holder, and returns what gives it back, which is to be called once.
   * `action` begins the message when that cannot be.
   *
   * @throws {ConnectorError} `resource_exhausted` when there are none left for more of them.
   */
  hold(holder: string, action: string): () => void {
    const share = this.#held.within(holder, { reserve: PEER_RESERVE });
    while (!share.take()) {
      if (this.#findMore()) continue;
      share.release();
      const reason = `${action}: ${this.#held.taken} ports and links are open already, ` +
        "and the file descriptors that are left are for connections";
      throw new ConnectorError("resource_exhausted", reason);
    }
    this.#divide();
    return () => {
      share.give();
      share.release();
      this.#divide();
    };
  }

  /** Resets every connection. */
  closeAll(): void {
    for (const service of [...this.#services]) service.close("the connector is closing");
  }

  /** Writes what is left of the log. */
  [Symbol.dispose](): void {
    this.log[Symbol.dispose]();
    this.changes[Symbol.dispose]();
  }

  /** Takes one of a share of the connections, if it may. */
  #take(share: Share): boolean {
    while (!share.take()) {
      const enough = this.#open.limit >= this.#options.maxConnections;
      if (enough || share.atMax || !this.#findMore()) return false;
    }
    return true;
  }

  /** Finds out whether there are more descriptors, as long as more may be of use. */
  #findMore(): boolean {
    if (this.#exhausted) return false;
    const { maxConnections, logger } = this.#options;
    const { countDescriptors = (wanted) => descriptors.share("connections", wanted) } =
      this.#options;
    const known = this.#descriptors;
    const wanted = Math.min(
      Math.max(FIRST_DESCRIPTORS, 2 * known),
      maxConnections + MAX_HELD,
    );
    this.#descriptors = countDescriptors(wanted);
    this.#exhausted = this.#descriptors < wanted || wanted === maxConnections + MAX_HELD;
    this.#divide();
    if (this.#descriptors < maxConnections && this.#exhausted) {
      logger.warn("fewer connections than --max-connections: too few files may be open", {
        maxConnections,
        possible: this.#open.limit,
      });
    }
    return this.#descriptors > known;
  }

  #divide(): void {
    const free = Math.max(0, this.#descriptors - this.#held.taken);
    const open = Math.min(this.#options.maxConnections, free);
    this.#held.resize(Math.floor(this.#descriptors * HELD_PART));
    this.#open.resize(open);
    this.#waiting.resize(Math.min(MAX_WAITING, Math.ceil(open * WAITING_PART)));
  }

  #onLeave(): void {
    if (this.#open.taken > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}

/** What the connections of one service need of those of all. */
interface ServiceConnectionsOptions extends ConnectionsOptions {
  holder: string;
  log: BoundedLog;
  passages: Passages;
  /** What is open, of this service. */
  open: Share;
  /** Of those, who waits for a link. */
  waiting: Share;
  /** Takes one of a share, if it may. */
  take: (share: Share) => boolean;
  /** Takes a descriptor for a port. @throws {ConnectorError} `resource_exhausted` */
  holdPort: () => () => void;
  /** One connection less. */
  onLeave: () => void;
  onClose: () => void;
  /** It has closed, and nothing is open any more. */
  onEnd: () => void;
}

/** What a connection does in its service. */
interface ConnectionHooks {
  carry: (connection: TunnelledConnection, between: Between) => Promise<void>;
  end: (connection: TunnelledConnection, reason: string) => void;
}

/** What a connection is copied between. */
interface Between {
  socket: ByteChannel;
  stream: ByteChannel;
  /** The socket's host:port. */
  remote: string;
}

/** A place for one connection, from its admission until `carry` resolves or `fail` is called. */
export class TunnelledConnection implements SwapSetMember {
  place = -1;
  /** Ends it, for a reason, when its service ends. Whoever has something to end sets it. */
  cut: ((reason: string) => void) | undefined;
  /** Whether it waits for a link. */
  waits = false;
  readonly #hooks: ConnectionHooks;

  constructor(hooks: ConnectionHooks) {
    this.#hooks = hooks;
  }

  /** Copies between a socket and its stream until both directions have ended. Never rejects. */
  carry(between: Between): Promise<void> {
    return this.#hooks.carry(this, between);
  }

  /** It came to nothing, and why. */
  fail(reason: string): void {
    this.#hooks.end(this, reason);
  }
}

/** The connections of one service, on one side. */
export class ServiceConnections {
  readonly #fields: Record<string, unknown>;
  readonly #options: ServiceConnectionsOptions;
  readonly #hooks: ConnectionHooks = {
    carry: (connection, between) => this.#carry(connection, between),
    end: (connection, reason) => this.#end(connection, reason),
  };
  #closed = false;
  #retired = false;
  #ended = false;
  readonly #open = new SwapSet<TunnelledConnection>();
  readonly #splicing: SpliceOptions;
  readonly #stats: Omit<ConnectionStats, "open"> = {
    total: 0,
    failed: 0,
    refused: 0,
    bytesIn: 0,
    bytesOut: 0,
  };

  constructor(fields: Record<string, unknown>, options: ServiceConnectionsOptions) {
    this.#fields = fields;
    this.#options = options;
    const stats = this.#stats;
    this.#splicing = {
      halfOpenMs: options.halfOpenMs,
      onBytes(direction, count) {
        stats[direction === "up" ? "bytesIn" : "bytesOut"] += count;
      },
    };
  }

  /** What was counted so far. */
  get stats(): ConnectionStats {
    return { open: this.#open.size, ...this.#stats };
  }

  /** Counts a connection and gives it a place; `undefined`, counted too, when a bound is reached. */
  admit(): TunnelledConnection | undefined {
    const stats = this.#stats;
    stats.total += 1;
    if (!this.#options.take(this.#options.open)) {
      stats.failed += 1;
      stats.refused += 1;
      stats.lastClose = TOO_MANY;
      return undefined;
    }
    const connection = new TunnelledConnection(this.#hooks);
    this.#open.add(connection);
    return connection;
  }

  /** For whom its connections are counted: whoever exposes it. */
  get holder(): string {
    return this.#options.holder;
  }

  /** What its connections come over, and its destination is dialled with. */
  get network(): Network {
    return this.#options.network;
  }

  /** What strangers can have logged. */
  get log(): BoundedLog {
    return this.#options.log;
  }

  /** The connections of all services, as far as they may come back. */
  get passages(): Passages {
    return this.#options.passages;
  }

  /** Lets a connection wait for a link, if there is room for one more who waits; `carry` and `fail` end that. */
  wait(connection: TunnelledConnection): boolean {
    connection.waits = this.#options.take(this.#options.waiting);
    return connection.waits;
  }

  /**
   * Takes a descriptor for a port of the service, and returns what gives it back.
   *
   * @throws {ConnectorError} `resource_exhausted` when there is none for it.
   */
  holdPort(): () => void {
    return this.#options.holdPort();
  }

  #stopWaiting(connection: TunnelledConnection): void {
    if (connection.waits) this.#options.waiting.give();
    connection.waits = false;
  }

  #carry(connection: TunnelledConnection, { socket, stream, remote }: Between): Promise<void> {
    this.#stopWaiting(connection);
    connection.cut = (reason) => {
      socket.reset("closing", reason);
      stream.reset("closing", reason);
    };
    if (this.#closed) {
      connection.cut(REMOVED);
      this.#end(connection, REMOVED);
      return Promise.resolve();
    }
    const opened = performance.now();
    const { logger } = this.#options;
    if (logger.isEnabledFor("debug")) {
      logger.debug("connection opened", { ...this.#fields, remote });
    }
    const atIngress = this.#fields.side === "ingress";
    const spliced = atIngress
      ? splice(socket, stream, this.#splicing)
      : splice(stream, socket, this.#splicing);
    return spliced.then(({ up, down, reason }) => {
      this.#end(connection, reason);
      if (!logger.isEnabledFor("debug")) return;
      logger.debug("connection closed", {
        ...this.#fields,
        remote,
        bytesIn: up,
        bytesOut: down,
        durationMs: Math.round(performance.now() - opened),
        reason: reason || IN_ORDER,
      });
    });
  }

  /** Takes no more connections; those that are open end by themselves. */
  retire(): void {
    this.#retired = true;
    if (this.#open.size === 0) this.close();
  }

  /** An empty reason is an orderly end. */
  #end(connection: TunnelledConnection, reason: string): void {
    const stats = this.#stats;
    this.#stopWaiting(connection);
    this.#open.delete(connection);
    if (reason !== "") stats.failed += 1;
    stats.lastClose = reason || IN_ORDER;
    this.#options.open.give();
    this.#options.onLeave();
    if (this.#open.size > 0) return;
    if (this.#retired) this.close();
    else if (this.#closed) this.#finish();
  }

  /** Resets every connection: whoever removes a service means to cut it off. Idempotent. */
  close(reason = REMOVED): void {
    this.#closed = true;
    this.#options.onClose();
    for (const { cut } of this.#open.all()) cut?.(reason);
    if (this.#open.size === 0) this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.onEnd();
  }
}

const IN_ORDER = "both sides finished";
const REMOVED = "the service was removed";
/** Why a connection is not admitted. */
export const TOO_MANY = "too many connections are open";
