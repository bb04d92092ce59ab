// A link that a peer opened to us: control in the order in which it came, and streams to destinations that we dial.
// What the peer exposed over it is kept in guest_services.ts, because it may outlive the link.

import type { Logger } from "@logtape/logtape";
import type { BoundedLog } from "../bounded_log.ts";
import { ConnectorError, reasonOf } from "../errors.ts";
import type { SessionLimits } from "../limits.ts";
import type { Link } from "../mux/link.ts";
import { Session } from "../mux/session.ts";
import type { Stream } from "../mux/stream.ts";
import { identityFields, type PeerInfo, whoFields } from "../peer_identity.ts";
import type { ControlFrame } from "../wire/frame.ts";
import { checkServiceId, serviceFromMessage } from "../wire/service_message.ts";
import { carryToDestination } from "./egress.ts";
import type { Owner } from "./guest_service.ts";
import type { GuestServices } from "./guest_services.ts";
import type { InboundLink } from "./inbound_links.ts";

/** What a guest needs of the connector that it visits. */
export interface GuestOptions {
  services: GuestServices;
  /** For what is refused: one for all guests. */
  log: BoundedLog;
  logger: Logger;
  limits: SessionLimits;
}

/** A peer that dialled us. */
export class Guest implements Owner, InboundLink {
  /** Resolves when the link has ended and its services have been told. */
  readonly closed: Promise<void>;
  readonly session: Session;
  readonly #services: GuestServices;
  readonly #log: BoundedLog;
  readonly #logger: Logger;
  #askedAt: number | undefined;
  #leaving = false;
  /** Whether its services may return when the link has ended. */
  #returns = true;
  #ended = false;

  constructor(link: Link, { services, log, logger, limits }: GuestOptions) {
    this.#services = services;
    this.#log = log;
    this.#logger = logger.with({ peer: link.peer.address });
    this.session = new Session(link, {
      role: "acceptor",
      limits,
      onControl: (frame) => this.#onControl(frame),
      onStream: (stream) => this.#onStream(stream),
      onLeaving: ({ returns }) => {
        this.#leaving = true;
        this.#returns = returns;
        services.leaving(this, { returns });
      },
      connects: (serviceId) => services.get(serviceId, this)?.service.type === "remote",
    });
    services.changes.info("peer connected", {
      peer: link.peer.address,
      ...identityFields(link.peer),
    });
    this.closed = this.#awaitEnd();
  }

  get peer(): PeerInfo {
    return this.session.peer;
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** Whether nothing is exposed over it now and no connection is open. */
  get idle(): boolean {
    return this.session.streamCount === 0 && this.#services.countOf(this) === 0;
  }

  /** When it last asked for a service or removed one, as of `performance.now()`. */
  get askedAt(): number | undefined {
    return this.#askedAt;
  }

  /** Ends the link at once, and tells the peer why. */
  end(reason: ConnectorError): void {
    this.session.abort(reason, { returns: true });
  }

  /** Takes no new streams and tells the peer so; open ones go on. */
  drain(): void {
    this.session.drain({ returns: true });
  }

  /** Ends the link in order, within `graceMs`. */
  close(options: { graceMs?: number } = {}): void {
    this.session.close(options);
  }

  async #awaitEnd(): Promise<void> {
    const reason = await this.session.closed;
    this.#ended = true;
    this.#services.ended(this, { returns: this.#returns });
    this.#services.changes.info("peer disconnected", {
      peer: this.peer.address,
      reason: reason?.message ?? "closed in order",
    });
  }

  #onControl(frame: ControlFrame): void {
    if (frame.kind === "expose" || frame.kind === "destroy") this.#askedAt = performance.now();
    switch (frame.kind) {
      case "expose":
        return this.#expose(frame);
      case "destroy":
        return this.#services.release(frame.serviceId, this);
      case "ping":
        return;
      case "status":
        this.#logger.debug("status for a service that is not ours ignored");
    }
  }

  #expose({ serviceId, service: message }: ControlFrame & { kind: "expose" }): void {
    if (this.#ended) return;
    try {
      const service = { ...serviceFromMessage(message), id: checkServiceId(serviceId) };
      const wanted = this.#services.takeUp(service, this);
      this.session.send(
        wanted
          ? { kind: "status", serviceId, status: "complete", message: "" }
          : { kind: "destroy", serviceId },
      );
    } catch (error) {
      const reason = reasonOf(error);
      const code = error instanceof ConnectorError ? error.code : "internal";
      this.#log.warn("service refused", { ...whoFields(this.peer), id: serviceId, reason });
      this.session.send({ kind: "status", serviceId, status: "error", message: reason, code });
    }
  }

  #onStream(stream: Stream): void {
    const entry = this.#services.get(stream.serviceId, this);
    if (entry === undefined || entry.service.type !== "remote") {
      return stream.reset("no_service", "there is no such service");
    }
    carryToDestination(stream, { connections: entry.connections, peer: this.peer });
  }
}
