// The access log: one line for each connection that has ended, or was refused. A subscriber to the events of a connector;
// the logger that it is given says where lines go and how they look.

import type { Logger } from "@logtape/logtape";
import { formatAddress } from "../model/address.ts";
import type { ConnectionEvent, EventStream, RefusalEvent, Subscription } from "../model/events.ts";
import { ANONYMOUS } from "../model/principal.ts";
import { IN_ORDER } from "./service_connections.ts";

/** Connections that wait for their lines at most: as many as may end in one moment. */
const CAPACITY = 20_000;

/** Writes lines until it is disposed. */
export class AccessLog implements Disposable {
  readonly #subscription: Subscription;

  constructor(events: EventStream, logger: Logger) {
    const options = { kinds: ["connection", "refusal"], capacity: CAPACITY } as const;
    this.#subscription = events.subscribe("access log", options, (event) => {
      if (event.kind === "lost") return logger.warn("lines left out", { count: event.count });
      if (event.kind === "connection") {
        if (event.change === "closed") logger.info("connection", fieldsOf(event));
        return;
      }
      // One that was carried has its line when it closes, and one address of several is no connection.
      if (event.refused === "connection") logger.info("connection", fieldsOf(event));
    });
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
  }
}

/** A connection that has ended, or never was carried. */
type Ended = RefusalEvent | ConnectionEvent & { change: "closed" };

function fieldsOf(event: Ended): Record<string, unknown> {
  const { service, side, visitor, peer, destination } = event;
  const carried = event.kind === "connection"
    ? { bytesIn: event.bytesIn, bytesOut: event.bytesOut, durationMs: event.durationMs }
    : { bytesIn: 0, bytesOut: 0, durationMs: 0 };
  const outcome = event.kind === "refusal" ? "refused" : event.reason === "" ? "done" : "failed";
  return {
    service: service.name,
    id: service.id,
    side,
    // A peer of the reference dialect does not tell.
    visitor: visitor || undefined,
    peer: peer?.address,
    principal: peer && (peer.principal?.displayName ?? ANONYMOUS),
    destination: formatAddress(destination),
    ...carried,
    outcome,
    ...(event.kind === "refusal" && { code: event.code, rule: event.rule }),
    reason: event.reason || IN_ORDER,
  };
}
