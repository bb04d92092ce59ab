// A peer that we dial, and the services that were exposed to it: one link for all of them, kept open as long
// as there are any. `#run` is for ever, `#tryOnce` is the life of one link.

import type { Logger } from "@logtape/logtape";
import type { Address } from "../address.ts";
import { delay } from "../delay.ts";
import { ConnectorError } from "../errors.ts";
import type { SessionLimits } from "../limits.ts";
import type { Link } from "../mux/link.ts";
import { Session } from "../mux/session.ts";
import type { Stream } from "../mux/stream.ts";
import { Backoff } from "../retry.ts";
import { identityFields } from "../peer_identity.ts";
import type { Service, ServiceReport, ServiceStatus } from "../service.ts";
import type { ControlFrame } from "../wire/frame.ts";
import { serviceToMessage } from "../wire/service_message.ts";
import { carryToDestination } from "./egress.ts";
import { Ingress } from "./ingress.ts";
import type { ServiceVisitors, Visitors } from "./visitors.ts";

/** The first wait before a peer is dialled again, in milliseconds. */
const RETRY_INITIAL_MS = 200;
/** The longest wait before a peer is dialled again, in milliseconds. */
const RETRY_MAX_MS = 10_000;
/** A link that has lived this long, in milliseconds, makes the next wait the first again. */
const LINK_SETTLED_MS = 10_000;
/** How long a peer may take to answer the first message over a new link, in milliseconds. */
const FIRST_ANSWER_MS = 15_000;

/** What a peer needs. */
export interface PeerOptions {
  address: Address;
  /** Starts to open a link. */
  dial: (address: Address) => Link;
  visitors: Visitors;
  logger: Logger;
  limits: SessionLimits;
}

interface PeerService {
  service: Service;
  status: ServiceStatus;
  message: string | undefined;
  since: Date;
  visitors: ServiceVisitors;
  ingress: Ingress | undefined;
}

/** A connector to which services are exposed. */
export class Peer {
  /** Resolves when it was closed and its link has ended. */
  readonly closed: Promise<void>;
  readonly #options: PeerOptions;
  readonly #logger: Logger;
  readonly #services = new Map<string, PeerService>();
  readonly #closing = new AbortController();
  /** Ends the wait before the next try. */
  #hurry = new AbortController();
  /** Services whose listeners are being opened. */
  #adding = 0;
  #session: Session | undefined;
  /** The last session over which the peer has answered. */
  #answered: Session | undefined;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#logger = options.logger;
    this.closed = this.#run();
  }

  /** Whether nothing is exposed to it, or about to be. */
  get idle(): boolean {
    return this.#services.size === 0 && this.#adding === 0;
  }

  /** The services exposed to it. */
  list(): ServiceReport[] {
    return [...this.#services.values()].map(({ service, status, message, since, visitors }) => ({
      ...service,
      status,
      ...(message === undefined ? {} : { message }),
      since,
      connections: visitors.stats,
      ...(this.#session?.dialect && { peer: this.#session.peer }),
    }));
  }

  /**
   * Exposes a service. For type remote its port is listened on at once.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use.
   */
  async add(service: Service): Promise<void> {
    this.#adding += 1;
    try {
      await this.#add(service);
    } finally {
      this.#adding -= 1;
    }
  }

  async #add(service: Service): Promise<void> {
    const { visitors, logger } = this.#options;
    const { id, name, type, sourcePort, destinationAddr } = service;
    const own = visitors.openService(service, type === "local" ? "egress" : "ingress");
    const ingress = type === "local" ? undefined : await Ingress.open(service, {
      session: () => this.#services.get(id)?.status === "complete" ? this.#session : undefined,
      visitors: own,
      logger,
    });
    if (this.#closing.signal.aborted) {
      ingress?.close();
      own.close();
      throw new ConnectorError("unavailable", "the connector is shutting down");
    }
    this.#services.set(id, {
      service,
      status: "pending",
      message: undefined,
      since: new Date(),
      visitors: own,
      ingress,
    });
    this.#logger.info("service exposed", { service: name, id, type, sourcePort, destinationAddr });
    if (this.#session) this.#expose(this.#session, service);
    else this.#hurry.abort();
  }

  /** Removes a service and tells the peer. Returns whether there was one of this id. */
  remove(serviceId: string): boolean {
    if (!this.#forget(serviceId)) return false;
    this.#session?.send({ kind: "destroy", serviceId });
    return true;
  }

  /** Ends the link in order and gives everything up. */
  close(): void {
    for (const { ingress, visitors } of this.#services.values()) {
      ingress?.close();
      visitors.close("the connector is closing");
    }
    this.#closing.abort();
    this.#hurry.abort();
    this.#session?.close();
  }

  async #run(): Promise<void> {
    const backoff = new Backoff({
      initialMs: RETRY_INITIAL_MS,
      maxMs: RETRY_MAX_MS,
      settledMs: LINK_SETTLED_MS,
      random: Math.random,
    });
    while (!this.#closing.signal.aborted) {
      const started = performance.now();
      const reason = await this.#tryOnce();
      if (this.#closing.signal.aborted) return;
      const waitMs = Math.round(backoff.next(performance.now() - started));
      this.#logger.warn("no link to the peer", { reason, retryMs: waitMs });
      this.#hurry = new AbortController();
      await delay(waitMs, { signal: this.#hurry.signal });
    }
  }

  /** Opens a link, exposes everything over it, and resolves with the reason when it has ended. */
  async #tryOnce(): Promise<string> {
    const link = this.#options.dial(this.#options.address);
    const session = new Session(link, {
      role: "dialler",
      limits: this.#options.limits,
      onControl: (frame) => this.#onControl(frame, answerTimer),
      onStream: (stream) => this.#onStream(stream),
      connects: (serviceId) => this.#services.get(serviceId)?.service.type === "local",
    });
    const answerTimer = setTimeout(() => {
      session.abort(new ConnectorError("deadline_exceeded", "the peer did not answer"));
    }, FIRST_ANSWER_MS);
    this.#session = session;
    if (this.#closing.signal.aborted) session.close();
    session.send({ kind: "ping" });
    for (const { service } of this.#services.values()) this.#expose(session, service);
    const end = await session.closed;
    clearTimeout(answerTimer);
    this.#session = undefined;
    const reason = end?.message ?? "the peer closed the link";
    for (const entry of this.#services.values()) {
      this.#setStatus(entry, "pending", `no link to the peer: ${reason}`);
    }
    return reason;
  }

  #expose(session: Session, service: Service): void {
    session.send({
      kind: "expose",
      serviceId: service.id,
      service: serviceToMessage(service, "pending"),
    });
  }

  #onControl(frame: ControlFrame, answerTimer: ReturnType<typeof setTimeout>): void {
    this.#noteAnswer(answerTimer);
    switch (frame.kind) {
      case "status": {
        const entry = this.#services.get(frame.serviceId);
        if (entry) this.#setStatus(entry, frame.status, frame.message || undefined);
        return;
      }
      case "destroy":
        this.#forget(frame.serviceId);
        return;
      case "ping":
        return;
      case "expose":
        this.#session?.send({
          kind: "status",
          serviceId: frame.serviceId,
          status: "error",
          message: "only the connector that opened the link can expose over it",
        });
    }
  }

  /** The first answer over a link shows that it is open. */
  #noteAnswer(timer: ReturnType<typeof setTimeout>): void {
    clearTimeout(timer);
    if (this.#session === undefined || this.#answered === this.#session) return;
    this.#answered = this.#session;
    const { dialect, peer } = this.#session;
    this.#logger.info("link opened", { dialect, ...identityFields(peer) });
  }

  #onStream(stream: Stream): void {
    const entry = this.#services.get(stream.serviceId);
    if (entry === undefined || entry.service.type !== "local") {
      return stream.reset("no_service", "there is no such service");
    }
    const { name, destinationAddr } = entry.service;
    const { logger } = this.#options;
    carryToDestination(stream, { name, destinationAddr, visitors: entry.visitors, logger });
  }

  #setStatus(entry: PeerService, status: ServiceStatus, message: string | undefined): void {
    if (entry.status !== status) {
      entry.since = new Date();
      const { id, name } = entry.service;
      this.#logger.info("service status", { service: name, id, status, message });
    }
    entry.status = status;
    entry.message = message;
  }

  #forget(serviceId: string): boolean {
    const entry = this.#services.get(serviceId);
    if (entry === undefined) return false;
    this.#services.delete(serviceId);
    entry.ingress?.close();
    entry.visitors.close();
    this.#logger.info("service removed", { service: entry.service.name, id: serviceId });
    return true;
  }
}
