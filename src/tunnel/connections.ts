// All tunnelled connections of a connector, on either side: counts them, bounds them for each peer,
// each service and in all, and ends them when the connector ends. It divides the file descriptors
// between them, the ports that are listened on and the links that we open. service_connections.ts
// has those of one service.

import type { Logger } from "@logtape/logtape";
import { type Address, parseAddress, type ResolveDestination } from "../model/address.ts";
import { BoundedLog } from "../bounded_log.ts";
import { descriptors } from "../descriptors.ts";
import { ConnectorError } from "../model/errors.ts";
import type { EventStream } from "../model/events.ts";
import type { Service, Side } from "../model/service.ts";
import type { Network } from "../net/network.ts";
import { Share } from "../share.ts";
import type { Admission } from "./admission.ts";
import { type CountersOfSides, type DialTimes, newCounters, newDialTimes } from "./counters.ts";
import { Passages } from "./passages.ts";
import { ServiceConnections } from "./service_connections.ts";

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
  /** What finds a destination whose port has a name; undefined where nothing does. */
  resolverOf?: (destination: Address) => ResolveDestination | undefined;
  /** How many file descriptors connections and ports may take, if so many are wanted. Default: those of the process. */
  countDescriptors?: (wanted: number) => number;
}

/** What they are joined with. */
export interface ConnectionsParts {
  /** Decides about each. */
  admission: Admission;
  /** Where each is published. */
  events: EventStream;
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
/** The part of all connections that visitors who wait may take, so that others are served while peers are away. */
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
const LOGGED_CHANGES = { burst: 2000, perSecond: 20, trickles: true };

/** The connections of all services. */
export class Connections implements Disposable {
  /** What strangers can have logged, of all services together. */
  readonly log: BoundedLog;
  /** What the peers that we dial can have logged of our own services and of links to them. */
  readonly changes: BoundedLog;
  /** What comes back to this connector. */
  readonly passages = new Passages();
  /** What was counted since the connector began. */
  readonly counters: CountersOfSides = newCounters();
  /** How long dialling took, since then. */
  readonly dials: DialTimes = newDialTimes();
  readonly events: EventStream;
  readonly #admission: Admission;
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

  constructor(options: ConnectionsOptions, { admission, events }: ConnectionsParts) {
    this.#admission = admission;
    this.events = events;
    this.#options = options;
    this.log = new BoundedLog(options.logger);
    this.changes = new BoundedLog(options.logger, LOGGED_CHANGES);
    this.#open = Share.ofAll(0);
    this.#waiting = Share.ofAll(0);
    this.#held = Share.ofAll(0);
  }

  /** Begins to carry connections of a service. `shareKey` says in whose share they count: that of whoever exposes it. */
  openService(
    service: Pick<Service, "id" | "name" | "sourcePort" | "destinationAddr">,
    side: Side,
    { shareKey = "", listensOn = [] }: {
      shareKey?: string;
      /** At the ingress: IP addresses to listen on. Default: every interface. */
      listensOn?: readonly string[];
    } = {},
  ): ServiceConnections {
    const share = (of: Share, max: number) => {
      const all = of.within(shareKey, { reserve: PEER_RESERVE });
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
    const destination = parseAddress(service.destinationAddr, { labels: true });
    const resolve = this.#options.resolverOf?.(destination);
    const made = new ServiceConnections({
      service,
      side,
      listensOn,
      destination,
      ...(resolve && { resolve }),
      shareKey,
      network: this.#options.network,
      halfOpenMs: this.#options.halfOpenMs,
      admission: this.#admission,
      events: this.events,
      counters: this.counters[side],
      dials: this.dials,
      passages: this.passages,
      open: open.one,
      waiting: waiting.one,
      take: (share) => this.#take(share),
      holdPort: () => this.hold(shareKey, `Cannot listen for service "${service.name}"`),
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

  /** How many visitors wait for a link. */
  get visitorsWaiting(): number {
    return this.#waiting.taken;
  }

  /** Resolves when no connection is open. */
  async idle(): Promise<void> {
    while (this.#open.taken > 0) await (this.#idle ??= Promise.withResolvers()).promise;
  }

  /**
   * Takes a descriptor for a port or a link, in the share of `shareKey`, until it is disposed, once. `action` begins the
   * message when that cannot be.
   *
   * @throws {ConnectorError} `resource_exhausted` when there are none left for more of them.
   */
  hold(shareKey: string, action: string): Disposable {
    const share = this.#held.within(shareKey, { reserve: PEER_RESERVE });
    while (!share.take()) {
      if (this.#findMore()) continue;
      share.release();
      const { taken } = this.#held;
      const reason = taken === 0
        ? "too few files may be open (ulimit -n)"
        : `${taken} ports and links are open already, ` +
          "and the file descriptors that are left are for connections";
      throw new ConnectorError("resource_exhausted", `${action}: ${reason}`);
    }
    this.#divide();
    return {
      [Symbol.dispose]: () => {
        share.give();
        share.release();
        this.#divide();
      },
    };
  }

  /** What is allowed has changed: ends the connections that are not, a step for each. */
  *readmit(): Generator<void, void, void> {
    for (const service of [...this.#services]) yield* service.readmit();
  }

  /** Resets every connection. */
  abort(): void {
    for (const service of [...this.#services]) service.abort("the connector is closing");
  }

  /** Resets every connection, and writes what is left of the log. */
  [Symbol.dispose](): void {
    this.abort();
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
