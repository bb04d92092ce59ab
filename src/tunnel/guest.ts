// A link that a peer opened to us, and the services that it exposed on us over it. When the link ends,
// its services end: listeners close, and nothing of them is listed any more.

import type { Logger } from "@logtape/logtape";
import { ConnectorError, reasonOf } from "../errors.ts";
import type { Link } from "../mux/link.ts";
import type { SessionLimits } from "../limits.ts";
import { Session } from "../mux/session.ts";
import type { Stream } from "../mux/stream.ts";
import type { Service, ServiceReport } from "../service.ts";
import type { ControlFrame } from "../wire/frame.ts";
import { identityFields } from "../peer_identity.ts";
import { checkServiceId, serviceFromMessage } from "../wire/service_message.ts";
import { carryToDestination } from "./egress.ts";
import { Ingress } from "./ingress.ts";
import type { ServiceVisitors, Visitors } from "./visitors.ts";

/** The most services that one peer may expose on us over one link. */
const MAX_SERVICES_PER_LINK = 1000;

/** What a guest needs of the connector that it visits. */
export interface GuestOptions {
  visitors: Visitors;
  logger: Logger;
  limits: SessionLimits;
  /** Refuses a service that may not be taken up here. @throws {ConnectorError} with the reason. */
  admit: (service: Service) => void;
  /** Makes any other guest give up a service of this id: its peer has come back over this link. */
  takeOver: (serviceId: string, guest: Guest) => void;
}

interface GuestService {
  service: Service;
  since: Date;
  visitors: ServiceVisitors;
  ingress: Ingress | undefined;
}

/** A peer that dialled us. */
export class Guest {
  /** Resolves when the link has ended and its services are gone. */
  readonly closed: Promise<void>;
  readonly #options: GuestOptions;
  readonly #session: Session;
  readonly #logger: Logger;
  readonly #services = new Map<string, GuestService>();
  readonly #ended = new AbortController();
  /** Ends when every control frame so far is done. */
  #work: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(link: Link, options: GuestOptions) {
    this.#options = options;
    this.#logger = options.logger.with({ peer: link.peer.address });
    this.#session = new Session(link, {
      role: "acceptor",
      limits: options.limits,
      onControl: (frame) => this.#onControl(frame),
      onStream: (stream) => this.#onStream(stream),
      connects: (serviceId) => this.#services.get(serviceId)?.service.type === "remote",
    });
    this.#logger.info("peer connected", identityFields(link.peer));
    this.closed = this.#awaitEnd();
  }

  /** The services that this peer exposed on us. */
  list(): ServiceReport[] {
    return [...this.#services.values()].map(({ service, since, visitors }) => ({
      ...service,
      status: "complete",
      since,
      connections: visitors.stats,
      peer: this.#session.peer,
    }));
  }

  /** Gives up a service. Returns whether there was one of this id. */
  release(serviceId: string): boolean {
    const entry = this.#services.get(serviceId);
    if (entry === undefined) return false;
    this.#services.delete(serviceId);
    entry.ingress?.close();
    entry.visitors.close();
    this.#logger.info("service removed", { service: entry.service.name, id: serviceId });
    return true;
  }

  /** Gives up a service and tells the peer. Returns whether there was one of this id. */
  destroy(serviceId: string): boolean {
    if (!this.release(serviceId)) return false;
    this.#session.send({ kind: "destroy", serviceId });
    return true;
  }

  /** Ends the link in order. */
  close(): void {
    this.#session.close();
  }

  async #awaitEnd(): Promise<void> {
    const reason = await this.#session.closed;
    this.#ended.abort();
    await this.#work;
    for (const id of [...this.#services.keys()]) this.release(id);
    this.#logger.info("peer disconnected", { reason: reason?.message ?? "closed in order" });
  }

  #onControl(frame: ControlFrame): void {
    switch (frame.kind) {
      case "expose":
        return this.#enqueue(() => this.#expose(frame));
      case "destroy":
        return this.#enqueue(() => {
          this.release(frame.serviceId);
          return Promise.resolve();
        });
      case "ping":
        return;
      case "status":
        this.#logger.debug("status for a service that is not ours ignored");
    }
  }

  /** Control is done in the order in which it came: opening a listener takes a moment. */
  #enqueue(work: () => Promise<void>): void {
    if (this.#pending >= MAX_SERVICES_PER_LINK) {
      const reason = `The peer sent more than ${MAX_SERVICES_PER_LINK} requests at once`;
      return this.#session.abort(new ConnectorError("resource_exhausted", reason));
    }
    this.#pending += 1;
    this.#work = this.#work.then(work).finally(() => this.#pending -= 1);
  }

  async #expose(
    { serviceId, service: message }: ControlFrame & { kind: "expose" },
  ): Promise<void> {
    if (this.#ended.signal.aborted) return;
    try {
      const service = { ...serviceFromMessage(message), id: checkServiceId(serviceId) };
      await this.#takeUp(service);
      this.#session.send({ kind: "status", serviceId, status: "complete", message: "" });
    } catch (error) {
      const reason = reasonOf(error);
      this.#logger.warn("service refused", { id: serviceId, reason });
      this.#session.send({ kind: "status", serviceId, status: "error", message: reason });
    }
  }

  async #takeUp(service: Service): Promise<void> {
    const { admit, takeOver, visitors, logger } = this.#options;
    const known = this.#services.get(service.id);
    if (known !== undefined && sameService(known.service, service)) return;
    admit(service);
    if (known === undefined && this.#services.size >= MAX_SERVICES_PER_LINK) {
      throw new ConnectorError(
        "resource_exhausted",
        `The link has ${MAX_SERVICES_PER_LINK} services already`,
      );
    }
    takeOver(service.id, this);
    this.release(service.id);
    const { id, name, sourcePort, type, destinationAddr } = service;
    const own = visitors.openService(service, type === "local" ? "ingress" : "egress");
    const ingress = type === "remote" ? undefined : await Ingress.open(service, {
      session: () => this.#session,
      visitors: own,
      logger,
    });
    this.#services.set(id, { service, since: new Date(), visitors: own, ingress });
    this.#logger.info("service exposed by peer", {
      service: name,
      id,
      type,
      sourcePort,
      destinationAddr,
    });
  }

  #onStream(stream: Stream): void {
    const entry = this.#services.get(stream.serviceId);
    if (entry === undefined || entry.service.type !== "remote") {
      return stream.reset("no_service", "there is no such service");
    }
    const { name, destinationAddr } = entry.service;
    const { logger } = this.#options;
    carryToDestination(stream, { name, destinationAddr, visitors: entry.visitors, logger });
  }
}

function sameService(a: Service, b: Service): boolean {
  return a.name === b.name && a.type === b.type && a.sourcePort === b.sourcePort &&
    a.destinationAddr === b.destinationAddr;
}
