// The tunnelled connections of a connector, either side, service by service: admitted within bounds, counted,
// logged when each opens and when it closes, and ended together when their service or the connector ends.

import type { Logger } from "@logtape/logtape";
import type { ByteChannel } from "../byte_channel.ts";
import { type Enrolled, Roster } from "../roster.ts";
import type { ConnectionStats } from "../service.ts";
import { splice, type SpliceOptions } from "../tcp/splice.ts";

/** What all services share. */
export interface VisitorsOptions {
  logger: Logger;
  /** Once one direction has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
  /** The most connections open at once, of all services and sides together. */
  maxConnections: number;
  /** Of those, the most of one service on one side. */
  maxServiceConnections: number;
}

/** The connections of all services. */
export class Visitors {
  readonly #options: VisitorsOptions;
  readonly #services = new Set<ServiceVisitors>();
  #open = 0;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: VisitorsOptions) {
    this.#options = options;
  }

  /** Begins to carry connections of a service. */
  openService(service: { id: string; name: string }, side: "ingress" | "egress"): ServiceVisitors {
    const fields = { serviceId: service.id, service: service.name, side };
    const made = new ServiceVisitors(fields, {
      ...this.#options,
      enter: () => this.#enter(),
      leave: () => this.#leave(),
      onClose: () => this.#services.delete(made),
    });
    this.#services.add(made);
    return made;
  }

  /** Resolves when no connection is open. */
  async idle(): Promise<void> {
    while (this.#open > 0) await (this.#idle ??= Promise.withResolvers()).promise;
  }

  /** Resets every connection. */
  closeAll(): void {
    for (const service of [...this.#services]) service.close("the connector is closing");
  }

  #enter(): boolean {
    if (this.#open >= this.#options.maxConnections) return false;
    this.#open += 1;
    return true;
  }

  #leave(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}

/** What the connections of one service need of those of all. */
interface ServiceVisitorsOptions extends VisitorsOptions {
  /** Counts one more; refuses when there are too many in all. */
  enter: () => boolean;
  leave: () => void;
  onClose: () => void;
}

/** What a visit does in its service. */
interface VisitHooks {
  carry: (visit: Visit, between: Between) => Promise<void>;
  end: (visit: Visit, reason: string) => void;
}

/** What a connection is copied between. */
interface Between {
  socket: ByteChannel;
  stream: ByteChannel;
  /** The socket's host:port. */
  remote: string;
}

/** A place for one connection, from its admission until `carry` resolves or `fail` is called. */
export class Visit implements Enrolled {
  place = -1;
  /** Ends it, for a reason, when its service ends. Whoever has something to end sets it. */
  cut: ((reason: string) => void) | undefined;
  readonly #hooks: VisitHooks;

  constructor(hooks: VisitHooks) {
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
export class ServiceVisitors {
  readonly #fields: Record<string, unknown>;
  readonly #options: ServiceVisitorsOptions;
  readonly #hooks: VisitHooks = {
    carry: (visit, between) => this.#carry(visit, between),
    end: (visit, reason) => this.#end(visit, reason),
  };
  #closed = false;
  #retired = false;
  readonly #visits = new Roster<Visit>();
  readonly #splicing: SpliceOptions;
  readonly #stats: Omit<ConnectionStats, "open"> = {
    total: 0,
    failed: 0,
    refused: 0,
    bytesIn: 0,
    bytesOut: 0,
  };

  constructor(fields: Record<string, unknown>, options: ServiceVisitorsOptions) {
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
    return { open: this.#visits.size, ...this.#stats };
  }

  /** Counts a connection and gives it a place; `undefined`, counted too, when a bound is reached. */
  admit(): Visit | undefined {
    const stats = this.#stats;
    stats.total += 1;
    if (this.#visits.size >= this.#options.maxServiceConnections || !this.#options.enter()) {
      stats.failed += 1;
      stats.refused += 1;
      stats.lastClose = TOO_MANY;
      return undefined;
    }
    const visit = new Visit(this.#hooks);
    this.#visits.add(visit);
    return visit;
  }

  #carry(visit: Visit, { socket, stream, remote }: Between): Promise<void> {
    visit.cut = (reason) => {
      socket.reset("closing", reason);
      stream.reset("closing", reason);
    };
    if (this.#closed) {
      visit.cut(REMOVED);
      this.#end(visit, REMOVED);
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
      this.#end(visit, reason);
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
    if (this.#visits.size === 0) this.close();
  }

  /** An empty reason is an orderly end. */
  #end(visit: Visit, reason: string): void {
    const stats = this.#stats;
    this.#visits.delete(visit);
    if (reason !== "") stats.failed += 1;
    stats.lastClose = reason || IN_ORDER;
    this.#options.leave();
    if (this.#retired && this.#visits.size === 0) this.close();
  }

  /** Resets every connection: whoever removes a service means to cut it off. Idempotent. */
  close(reason = REMOVED): void {
    this.#closed = true;
    this.#options.onClose();
    for (const { cut } of this.#visits.all()) cut?.(reason);
  }
}

const IN_ORDER = "both sides finished";
const REMOVED = "the service was removed";
/** Why a connection is not admitted. */
export const TOO_MANY = "too many connections are open";
