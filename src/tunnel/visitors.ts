// The tunnelled connections of a connector, either side, service by service: counted, logged when each opens
// and when it closes, and ended together when their service or the connector ends.

import type { Logger } from "@logtape/logtape";
import type { ByteChannel } from "../byte_channel.ts";
import type { ConnectionStats } from "../service.ts";
import { splice } from "../tcp/splice.ts";

/** What all services share. */
export interface VisitorsOptions {
  logger: Logger;
  /** Once one direction has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
}

/** The connections of all services. */
export class Visitors {
  readonly #options: VisitorsOptions;
  readonly #services = new Set<ServiceVisitors>();

  constructor(options: VisitorsOptions) {
    this.#options = options;
  }

  /** Begins to carry connections of a service. */
  openService(service: { id: string; name: string }, side: "ingress" | "egress"): ServiceVisitors {
    const fields = { serviceId: service.id, service: service.name, side };
    const made = new ServiceVisitors(fields, {
      ...this.#options,
      onClose: () => this.#services.delete(made),
    });
    this.#services.add(made);
    return made;
  }

  /** Resets every connection. */
  closeAll(): void {
    for (const service of [...this.#services]) service.close("the connector is closing");
  }
}

/** The connections of one service, on one side. */
export class ServiceVisitors {
  readonly #fields: Record<string, unknown>;
  readonly #options: VisitorsOptions & { onClose: () => void };
  readonly #closed = new AbortController();
  /** Resets one connection each. */
  readonly #open = new Set<(reason: string) => void>();
  readonly #stats: ConnectionStats = { open: 0, total: 0, failed: 0, bytesIn: 0, bytesOut: 0 };

  constructor(
    fields: Record<string, unknown>,
    options: VisitorsOptions & { onClose: () => void },
  ) {
    this.#fields = fields;
    this.#options = options;
  }

  /** Aborted when the service has ended: nothing is dialled for it any more. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** What was counted so far. */
  get stats(): ConnectionStats {
    return { ...this.#stats };
  }

  /** Counts a connection that came to nothing, and why. */
  countFailure(reason: string): void {
    this.#stats.total += 1;
    this.#stats.failed += 1;
    this.#stats.lastClose = reason;
  }

  /** Copies between a socket and its stream until both directions have ended. `remote` is the socket's host:port. Never rejects. */
  async carry(socket: ByteChannel, stream: ByteChannel, remote: string): Promise<void> {
    const { logger, halfOpenMs } = this.#options;
    const stats = this.#stats;
    const reset = (reason: string) => {
      socket.reset("closing", reason);
      stream.reset("closing", reason);
    };
    if (this.signal.aborted) return reset("the service was removed");
    const opened = performance.now();
    logger.debug("connection opened", () => ({ ...this.#fields, remote }));
    this.#open.add(reset);
    stats.open += 1;
    stats.total += 1;
    const atIngress = this.#fields.side === "ingress";
    const [visitor, destination] = atIngress ? [socket, stream] : [stream, socket];
    const { up, down, reason } = await splice(visitor, destination, {
      halfOpenMs,
      onBytes(direction, count) {
        stats[direction === "up" ? "bytesIn" : "bytesOut"] += count;
      },
    });
    this.#open.delete(reset);
    stats.open -= 1;
    if (reason !== "") stats.failed += 1;
    stats.lastClose = reason || "both sides finished";
    logger.debug("connection closed", () => ({
      ...this.#fields,
      remote,
      bytesIn: up,
      bytesOut: down,
      durationMs: Math.round(performance.now() - opened),
      reason: reason || "both sides finished",
    }));
  }

  /** Resets every connection: whoever removes a service means to cut it off. Idempotent. */
  close(reason = "the service was removed"): void {
    this.#closed.abort();
    this.#options.onClose();
    for (const reset of [...this.#open]) reset(reason);
  }
}
