// A service that we expose to a peer: what is true of it now, its listener if it is of type remote, and when what
// failed is tried again. It is told by its peer when a link comes and goes, and what was answered over it.

import { type Address, formatAddress } from "../address.ts";
import { ConnectorError, type ErrorCode } from "../errors.ts";
import type { Session } from "../mux/session.ts";
import type { Dialect } from "../mux/session_options.ts";
import { Backoff, RETRY_BACKOFF } from "../retry.ts";
import type { Service, ServiceReport, ServiceStatus } from "../service.ts";
import type { ControlFrame } from "../wire/frame.ts";
import { serviceToMessage } from "../wire/service_message.ts";
import type { OwnListeners } from "../tcp/own_listeners.ts";
import type { DialPace } from "./dial_pace.ts";
import { Ingress } from "./ingress.ts";
import type { Connections } from "./connections.ts";
import type { ServiceConnections } from "./service_connections.ts";

/** What a service needs of the connector. */
export interface PeerServiceOptions {
  /** Where the peer is, as it is dialled. */
  address: Address;
  connections: Connections;
  listeners: OwnListeners;
  pace: DialPace;
  /** How long visitors wait for a link that was lost, in milliseconds. */
  graceMs: number;
}

/** Answers of the peer that count at once: an honest one gives one to each try, and tries are made ever more seldom. */
const ANSWERS_AT_ONCE = 10;
/**
 * Once there were so many, one counts in so long, the last, in milliseconds: each sets timers, moves visitors and is logged.
 */
const ANSWER_INTERVAL_MS = 1000;
/** Characters of a peer's text that are kept. */
const MAX_TEXT_LENGTH = 1000;

/** Reasons that stay when nobody changes anything: trying again is of no use. */
const LASTING: readonly ErrorCode[] = [
  "invalid_argument",
  "permission_denied",
  "failed_precondition",
];

type StatusFrame = ControlFrame & { kind: "status" };

/** For whom the connections of a peer that we dial are counted, and its ports and links. */
export function dialledHolder(address: Address): string {
  return `dialled ${formatAddress(address)}`;
}

/** A service of our own. */
export class PeerService {
  readonly service: Service;
  readonly connections: ServiceConnections;
  readonly #options: PeerServiceOptions;
  #ingress: Ingress | undefined;
  #session: Session | undefined;
  /** The link over which the peer was asked last. */
  #asked: Session | undefined;
  /** The dialect of the link in use, known or presumed. */
  #dialect: Dialect | undefined;
  /** The last link over which the peer was sent an expose. */
  #sentOver: Session | undefined;
  /** Whether a peer of the reference dialect may have met its id over an earlier link: it carries nothing under it again. */
  #spent: boolean;
  /** The link over which it is complete: visitors are carried over it until it is over another one. */
  #carrier: Session | undefined;
  /** Why it cannot be had here. */
  #obstacle: ConnectorError | undefined;
  #status: ServiceStatus = "pending";
  #message: string | undefined;
  #code: ErrorCode | undefined;
  #since = new Date();
  #lastError: { message: string; at: Date } | undefined;
  #retryAt: Date | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  /** Gives up the wait for the turn to try again. */
  #retrying: AbortController | undefined;
  #backoff = new Backoff(RETRY_BACKOFF);
  /** How many answers of the peer may count now; grows with time. */
  #answersLeft = ANSWERS_AT_ONCE;
  /** When that last grew, as of `performance.now()`. */
  #answersGrownAt = performance.now();
  /** The last answer that has not counted yet. */
  #held: StatusFrame | undefined;
  #heldTimer: ReturnType<typeof setTimeout> | undefined;
  #changed = Promise.withResolvers<void>();
  /** Set when it listens no more, and tries nothing again. */
  #stopped = false;
  #closed = false;

  /** `known`: whether an earlier run may have exposed it under this id. */
  constructor(service: Service, options: PeerServiceOptions, { known }: { known: boolean }) {
    this.service = service;
    this.#spent = known;
    this.#options = options;
    const side = service.type === "local" ? "egress" : "ingress";
    const holder = dialledHolder(options.address);
    this.connections = options.connections.openService(service, side, { holder });
  }

  /** Whether it cannot be had here. */
  get obstructed(): boolean {
    return this.#obstacle !== undefined;
  }

  /** What is true of it now. */
  report(): ServiceReport {
    const shown = this.#carrier ?? this.#session;
    return {
      ...this.service,
      status: this.#status,
      ...(this.#message !== undefined && { message: this.#message }),
      since: this.#since,
      ...(this.#lastError && { lastError: this.#lastError }),
      ...(this.#retryAt && { retryAt: this.#retryAt }),
      connections: this.connections.stats,
      ...(shown?.dialect && { peer: shown.peer }),
    };
  }

  /**
   * Listens, if it is of type remote.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use.
   */
  open(): void {
    if (this.service.type === "local" || this.#ingress || this.#stopped) return;
    const { listeners, graceMs } = this.#options;
    const ingress = Ingress.open({ connections: this.connections, listeners });
    ingress.detach({ graceMs, reason: "there is no link to the peer" });
    this.#ingress = ingress;
  }

  /** As `open`, but what fails is tried again for as long as that may help. */
  keepOpen(): void {
    try {
      this.open();
    } catch (error) {
      return this.obstruct(ConnectorError.from(error, "This connector cannot take it up"));
    }
    if (this.#stopped) return;
    if (this.#obstacle) this.#set("pending", undefined);
    this.#obstacle = undefined;
    this.#expose();
  }

  /** It cannot be had here, whatever the peer says. Tried again by itself if that may help. */
  obstruct(obstacle: ConnectorError): void {
    this.#obstacle = obstacle;
    this.#fail(obstacle);
  }

  /**
   * A link has been opened, or is all that is left: asks the peer. Another one carries visitors until it has answered.
   * `dialect` is what the peer spoke last, if that is known.
   */
  linkUp(session: Session, dialect: Dialect | undefined): void {
    // An acceptor of the reference dialect cannot take up a second time what it listens for already.
    if (this.service.type === "local" && this.#carrier?.dialect === "reference") return;
    const last = this.#sentOver;
    // Who never connected was sent nothing.
    if (last && last !== session && last.dialect !== "native" && last.connections.length > 0) {
      this.#spent = true;
    }
    this.#session = session;
    this.#dialect = dialect;
    if (this.#status === "pending") this.#retryAt = undefined;
    this.#expose();
  }

  /** What the peer speaks over a link has shown, or is presumed: corrects what it was asked before over this one. */
  peerSpeaks(dialect: Dialect, session: Session): void {
    if (session !== this.#session) return;
    this.#dialect = dialect;
    const fits = session.hasRenamed(this.service.id) === this.#needsOtherId;
    if (this.#sentOver === session && !fits) {
      session.send({ kind: "destroy", serviceId: this.service.id });
      this.#asked = undefined;
    }
    this.#expose();
  }

  /** Whether its own id is of no use over the link in use. */
  get #needsOtherId(): boolean {
    return this.#spent && this.#dialect !== "native";
  }

  /** Whether the peer was asked over this link. */
  hasAsked(session: Session): boolean {
    return this.#asked === session;
  }

  /** Whether visitors are carried over this link, or the peer is asked over it. */
  uses(session: Session): boolean {
    return this.#carrier === session || this.#session === session;
  }

  /** There is no link, or this one takes no more streams. */
  linkDown(reason: string, session?: Session): void {
    if (session && !this.uses(session)) return;
    if (session === undefined || this.#session === session) {
      this.#session = undefined;
      this.#dropHeld();
    }
    if (session && this.#carrier && this.#carrier !== session) return;
    this.#carrier = undefined;
    if (this.#obstacle === undefined) this.#set("pending", `no link to the peer: ${reason}`);
  }

  /** The next try to open a link. */
  linkRetry(at: Date | undefined): void {
    if (this.#status === "pending") this.#retryAt = at;
  }

  /** The peer has answered over a link. Of many answers in a short time the last one counts, later. */
  answered(frame: StatusFrame, session: Session): void {
    if (this.#closed || session !== this.#session) return;
    const now = performance.now();
    const grown = this.#answersLeft + (now - this.#answersGrownAt) / ANSWER_INTERVAL_MS;
    this.#answersGrownAt = now;
    this.#answersLeft = Math.min(ANSWERS_AT_ONCE, grown);
    if (this.#held === undefined && this.#answersLeft >= 1) {
      this.#answersLeft -= 1;
      return this.#apply(frame);
    }
    this.#held = frame;
    this.#heldTimer ??= setTimeout(() => this.#applyHeld(), ANSWER_INTERVAL_MS);
  }

  #applyHeld(): void {
    const frame = this.#held;
    this.#dropHeld();
    this.#answersLeft -= 1;
    if (frame) this.#apply(frame);
  }

  #dropHeld(): void {
    clearTimeout(this.#heldTimer);
    this.#heldTimer = undefined;
    this.#held = undefined;
  }

  #apply({ status, message, code }: StatusFrame): void {
    if (this.#obstacle) return;
    if (status === "error") return this.#fail({ message: message || "the peer refused it", code });
    this.#set(status, message || undefined);
    if (status === "complete") this.#backoff = new Backoff(RETRY_BACKOFF);
  }

  /**
   * Resolves when it is complete.
   *
   * @throws {ConnectorError} as `Control.expose` says; `deadline_exceeded` when the signal is aborted before.
   */
  async completed(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener("abort", onAbort);
    try {
      while (this.#status !== "complete") {
        const reason = this.#message ?? "the peer has not answered yet";
        if (this.#closed) throw new ConnectorError("unavailable", "it was removed");
        if (this.#status === "error") {
          const code = this.#code === "already_exists" ? this.#code : "unavailable";
          throw new ConnectorError(code, reason);
        }
        if (signal.aborted) {
          throw new ConnectorError("deadline_exceeded", `it was not complete in time: ${reason}`);
        }
        await Promise.race([this.#changed.promise, aborted.promise]);
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Takes no new visitors; open connections go on. */
  stopListening(): void {
    this.#stopped = true;
    this.#stopRetrying();
    this.#dropHeld();
    this.#retryAt = undefined;
    this.#ingress?.close();
  }

  /** Ends it, and cuts off its connections. */
  close(reason?: string): void {
    this.#closed = true;
    this.stopListening();
    this.connections.close(reason);
    this.#notify();
  }

  #fail({ message, code }: { message: string; code: ErrorCode | undefined }): void {
    if (this.#closed) return;
    const lasting = this.#stopped || code !== undefined && LASTING.includes(code);
    const waitMs = lasting ? undefined : this.#backoff.next(0);
    this.#set("error", message, { code, waitMs });
    if (waitMs === undefined) return;
    this.#retryTimer = setTimeout(() => this.#retry(), waitMs);
  }

  async #retry(): Promise<void> {
    const retrying = new AbortController();
    this.#retrying = retrying;
    const turn = await this.#options.pace.services.turn(retrying.signal);
    turn?.end();
    if (retrying.signal.aborted) return;
    this.#retryAt = undefined;
    this.#asked = undefined;
    this.keepOpen();
  }

  #stopRetrying(): void {
    clearTimeout(this.#retryTimer);
    this.#retrying?.abort();
  }

  #expose(): void {
    const ready = this.service.type === "local" || this.#ingress !== undefined;
    if (this.#obstacle || !ready || this.#session === this.#asked) return;
    // Under which id, shows once the dialect does.
    if (this.#spent && this.#dialect === undefined) return;
    const session = this.#session;
    this.#asked = session;
    if (session === undefined) return;
    this.#sentOver = session;
    const { id } = this.service;
    if (this.#needsOtherId && !session.hasRenamed(id)) session.rename(id);
    session.send({
      kind: "expose",
      serviceId: this.service.id,
      service: serviceToMessage(this.service, "pending"),
    });
  }

  #set(
    status: ServiceStatus,
    text: string | undefined,
    { code, waitMs }: { code?: ErrorCode | undefined; waitMs?: number | undefined } = {},
  ): void {
    this.#stopRetrying();
    const { connections, graceMs, address } = this.#options;
    const message = text?.slice(0, MAX_TEXT_LENGTH);
    const { id, name } = this.service;
    const before = this.#status;
    this.#status = status;
    this.#message = message;
    this.#code = code;
    this.#retryAt = waitMs === undefined ? undefined : new Date(Date.now() + waitMs);
    if (status !== "complete" && message !== undefined) {
      this.#lastError = { message, at: new Date() };
    }
    if (status !== before) {
      this.#since = new Date();
      const peer = formatAddress(address);
      connections.changes.info("service status", { peer, service: name, id, status, message });
    }
    this.#carrier = status === "complete" ? this.#session : undefined;
    if (this.#carrier) this.#ingress?.attach(this.#carrier);
    else if (before === "complete") {
      this.#ingress?.detach({ graceMs, reason: message ?? "the service is not complete" });
    }
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
