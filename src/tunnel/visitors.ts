// The tunnelled connections of a connector, either side: who is connected now, one log line when each opens
// and one when it closes, and an end to all of them when the connector closes.

import type { Logger } from "@logtape/logtape";
import type { ByteChannel } from "../byte_channel.ts";
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
  readonly #open = new Map<object, { serviceId: string; reset: (reason: string) => void }>();

  /** `halfOpenMs`: once one direction has ended, so long without a byte ends the other. */
  constructor({ logger, halfOpenMs }: { logger: Logger; halfOpenMs: number }) {
    this.#logger = logger;
    this.#halfOpenMs = halfOpenMs;
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  /** Copies between a socket and its stream until both directions have ended. Never rejects. */
  async carry(socket: ByteChannel, stream: ByteChannel, info: VisitorInfo): Promise<void> {
    const logger = this.#logger.with({ ...info });
    const opened = performance.now();
    logger.debug("connection opened");
    const key = {};
    this.#open.set(key, {
      serviceId: info.serviceId,
      reset(reason) {
        socket.reset("closing", reason);
        stream.reset("closing", reason);
      },
    });
    const { up, down, reason } = await splice(socket, stream, {
      halfOpenMs: this.#halfOpenMs,
    });
    this.#open.delete(key);
    logger.debug("connection closed", {
      bytesIn: up,
      bytesOut: down,
      durationMs: Math.round(performance.now() - opened),
      reason: reason || "both sides finished",
    });
  }

  /** Resets every connection of a service: whoever removes one means to cut it off. */
  closeService(serviceId: string): void {
    for (const each of [...this.#open.values()]) {
      if (each.serviceId === serviceId) each.reset("the service was removed");
    }
  }

  /** Resets every connection. */
  closeAll(): void {
    for (const each of [...this.#open.values()]) each.reset("the connector is closing");
  }
}
