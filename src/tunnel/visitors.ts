// The tunnelled connections of a connector, either side: who is connected now, one log line when each opens
// and one when it closes, and an end to all of them when the connector closes.

import type { Logger } from "@logtape/logtape";
import type { ByteChannel } from "../byte_channel.ts";
import type { ConnectionStats } from "../service.ts";
import { splice } from "../tcp/splice.ts";

/** What a connection is, for the log. */
export interface VisitorInfo {
  serviceId: string;
  /** The service's name. */
  service: string;
  /** host:port of the visitor's socket at the ingress, or of the destination's at the egress. */
  remote: string;
  side: "ingress" | "egress";
}

/** Splices, counted and logged. */
export class Visitors {
  readonly #logger: Logger;
  readonly #halfOpenMs: number;
  readonly #services = new Map<string, ServiceVisitors>();

  /** `halfOpenMs`: once one direction has ended, so long without a byte ends the other. */
  constructor({ logger, halfOpenMs }: { logger: Logger; halfOpenMs: number }) {
    this.#logger = logger;
    this.#halfOpenMs = halfOpenMs;
  }

  /** What was counted for a service. */
  statsOf(serviceId: string): ConnectionStats {
    return { ...this.#of(serviceId).stats };
  }

  /** Counts a connection that came to nothing, and why. */
  countFailure(serviceId: string, reason: string): void {
    const { stats } = this.#of(serviceId);
    stats.total += 1;
    stats.failed += 1;
    stats.lastClose = reason;
  }

  /** Copies between a socket and its stream until both directions have ended. Never rejects. */
  async carry(socket: ByteChannel, stream: ByteChannel, info: VisitorInfo): Promise<void> {
    const { open, stats } = this.#of(info.serviceId);
    const opened = performance.now();
    this.#logger.debug("connection opened", () => ({ ...info }));
    const reset = (reason: string) => {
      socket.reset("closing", reason);
      stream.reset("closing", reason);
    };
    open.add(reset);
    stats.open += 1;
    stats.total += 1;
    const [visitor, destination] = info.side === "ingress" ? [socket, stream] : [stream, socket];
    const { up, down, reason } = await splice(visitor, destination, {
      halfOpenMs: this.#halfOpenMs,
      onBytes(direction, count) {
        stats[direction === "up" ? "bytesIn" : "bytesOut"] += count;
      },
    });
    open.delete(reset);
    stats.open -= 1;
    if (reason !== "") stats.failed += 1;
    stats.lastClose = reason || "both sides finished";
    this.#logger.debug("connection closed", () => ({
      ...info,
      bytesIn: up,
      bytesOut: down,
      durationMs: Math.round(performance.now() - opened),
      reason: stats.lastClose,
    }));
  }

  /** Resets every connection of a service, and forgets it: whoever removes one means to cut it off. */
  closeService(serviceId: string): void {
    const { open } = this.#of(serviceId);
    this.#services.delete(serviceId);
    for (const reset of [...open]) reset("the service was removed");
  }

  /** Resets every connection. */
  closeAll(): void {
    for (const { open } of this.#services.values()) {
      for (const reset of [...open]) reset("the connector is closing");
    }
  }

  #of(serviceId: string): ServiceVisitors {
    const known = this.#services.get(serviceId);
    if (known !== undefined) return known;
    const made: ServiceVisitors = {
      open: new Set(),
      stats: { open: 0, total: 0, failed: 0, bytesIn: 0, bytesOut: 0 },
    };
    this.#services.set(serviceId, made);
    return made;
  }
}

interface ServiceVisitors {
  /** Resets one connection each. */
  open: Set<(reason: string) => void>;
  stats: ConnectionStats;
}
