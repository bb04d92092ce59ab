// The log lines of services, links and connections: a subscriber to the events of a connector.

import type { Logger } from "@logtape/logtape";
import { BoundedLog } from "../bounded_log.ts";
import type {
  ConnectionEvent,
  EventStream,
  LinkEvent,
  RefusalEvent,
  ServiceEvent,
  Subscription,
} from "../model/events.ts";
import { identityFields, whoFields } from "../model/peer_identity.ts";
import { LOCAL_USER } from "../model/principal.ts";
import { IN_ORDER } from "./service_connections.ts";

/** Where lines are written. */
export interface EventLogOptions {
  logger: Logger;
  /** For what strangers can cause. */
  strangers: BoundedLog;
}

/** Changes that are logged at once, all that a start or a link may bring, and then in a second. */
const LOGGED_CHANGES = { burst: 2000, perSecond: 20, trickles: true };
/** Events that wait for their lines at most: all that a start brings, which takes up 10,000 services in one turn. */
const CAPACITY = 20_000;

/** Writes them until it is disposed. */
export class EventLog implements Disposable {
  readonly #logger: Logger;
  readonly #strangers: BoundedLog;
  /** Of what the peers that we dial can change: our own services, and links to them. */
  readonly #ours: BoundedLog;
  /** Of what peers that dialled us do. */
  readonly #theirs: BoundedLog;
  readonly #subscriptions: Subscription[];

  constructor(events: EventStream, { logger, strangers }: EventLogOptions) {
    this.#logger = logger;
    this.#strangers = strangers;
    this.#ours = new BoundedLog(logger, LOGGED_CHANGES);
    this.#theirs = new BoundedLog(logger, LOGGED_CHANGES);
    // Each of its own: no flood of connections hides a change.
    this.#subscriptions = [
      events.subscribe("log", { kinds: ["service", "link"], capacity: CAPACITY }, (event) => {
        if (event.kind === "service") this.#logService(event);
        else if (event.kind === "link") this.#logLink(event);
        else this.#theirs.leaveOut("changes", { count: event.count, level: "info" });
      }),
      events.subscribe("log", { kinds: ["refusal"], capacity: CAPACITY }, (event) => {
        if (event.kind === "refusal") this.#logRefusal(event);
        else this.#strangers.leaveOut("refused connections", { count: event.count, level: "info" });
      }),
    ];
    if (!logger.isEnabledFor("debug")) return;
    const subscription = events.subscribe(
      "log",
      { kinds: ["connection"], capacity: CAPACITY },
      (event) => {
        if (event.kind === "connection") this.#logConnection(event);
        else this.#strangers.leaveOut("connections", { count: event.count, level: "info" });
      },
    );
    this.#subscriptions.push(subscription);
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription[Symbol.dispose]();
    this.#ours[Symbol.dispose]();
    this.#theirs[Symbol.dispose]();
  }

  #logService(event: ServiceEvent): void {
    const { origin, peer } = event;
    const { id, name: service, type, sourcePort, destinationAddr } = event.service;
    if (origin === "own") {
      const who = { peer: peer.address };
      switch (event.change) {
        case "exposed":
          // The user's own, of which there are 10,000 at most.
          return this.#logger.info("service exposed", {
            ...who,
            principal: LOCAL_USER,
            service,
            id,
            type,
            sourcePort,
            destinationAddr,
            rule: event.rule,
          });
        case "status": {
          const { status, message } = event;
          return this.#ours.info("service status", { ...who, service, id, status, message });
        }
        case "relinked":
          return;
        case "removed":
          return this.#ours.info("service removed", {
            ...who,
            ...(event.by !== "peer" && { principal: LOCAL_USER }),
            service,
            id,
            rule: event.by,
          });
      }
    }
    switch (event.change) {
      case "exposed":
        return this.#theirs.info("service exposed by peer", {
          ...whoFields(peer),
          service,
          id,
          type,
          sourcePort,
          destinationAddr,
          rule: event.rule,
        });
      case "moved":
        return this.#theirs.info("service exposed by peer again", {
          ...whoFields(peer),
          service,
          id,
          rule: event.rule,
        });
      case "status": {
        const { graceMs } = event;
        if (graceMs === undefined) return;
        return this.#theirs.info("service waits for its peer", { service, id, graceMs });
      }
      case "relinked":
        return;
      case "removed":
        return this.#theirs.info("service removed", {
          ...whoFields(peer),
          service,
          id,
          rule: event.by,
        });
    }
  }

  #logLink(event: LinkEvent): void {
    const { direction, peer } = event;
    const isOurs = direction === "outbound";
    const log = isOurs ? this.#ours : this.#theirs;
    const who = isOurs ? { peer: peer.address } : whoFields(peer);
    switch (event.change) {
      case "up":
        return isOurs
          ? log.info("link opened", { ...who, dialect: event.dialect, ...identityFields(peer) })
          : log.info("peer connected", { ...who, ...identityFields(peer) });
      case "suspended": {
        const { reason, connections } = event;
        return log.info("link lost, connections wait", { ...who, reason, connections });
      }
      case "resumed": {
        const { afterMs, connections } = event;
        return log.info("link resumed", { ...who, afterMs, connections, ...identityFields(peer) });
      }
      case "leaving":
        return;
      case "down":
        if (isOurs) return;
        return log.info("peer disconnected", {
          ...who,
          reason: event.reason || "closed in order",
        });
    }
  }

  #logConnection(event: ConnectionEvent): void {
    const { service: { id: serviceId, name: service }, side, remote } = event;
    const fields = { serviceId, service, side, remote };
    if (event.change === "opened") return this.#logger.debug("connection opened", fields);
    const { bytesIn, bytesOut, durationMs, reason } = event;
    this.#logger.debug("connection closed", {
      ...fields,
      bytesIn,
      bytesOut,
      durationMs,
      reason: reason || IN_ORDER,
    });
  }

  #logRefusal(
    { side, code, rule, reason, refused, service: { name: service }, visitor, peer }: RefusalEvent,
  ): void {
    // Its visitor is met again, as another service's.
    if (code === "replaced") return;
    if (code === "left" && side === "egress") {
      return this.#logger.debug("visitor left before its destination was connected", { service });
    }
    const fields = {
      ...(peer && whoFields(peer)),
      service,
      ...(visitor !== "" && { remote: visitor }),
      rule,
      reason,
    };
    if (code === "unreachable" && side === "egress") {
      return this.#strangers.warn("destination cannot be reached", fields);
    }
    this.#strangers.info(messageOf({ side, code, refused }), fields);
  }
}

function messageOf({ side, code, refused }: Pick<RefusalEvent, "side" | "code" | "refused">) {
  if (refused === "carried") return "connection no longer allowed";
  if (side === "ingress") return "visitor turned away";
  if (refused === "address") return "address of destination refused";
  switch (code) {
    case "limit":
    case "draining":
      return "visitor turned away";
    case "loop":
      return "connection ended that leads back to itself";
    default:
      return "destination refused";
  }
}
