// Keeps one link open to a peer that we dial, for all services, as long as anything is exposed to
// it. `#run` tries for ever; `#tryOnce` is the life of one link, until the next one is due because
// this one takes no more streams or something on the way is about to end it. The next one is then
// opened beside it.

import { type Address, formatAddress } from "../model/address.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import type { Remover } from "../model/events.ts";
import type { Link } from "../mux/link.ts";
import { newIntroduction } from "../mux/resumption.ts";
import type { Session } from "../mux/session.ts";
import type { DialectName } from "../mux/dialect.ts";
import { names } from "../names.ts";
import { type Route, unreachable } from "../proxies.ts";
import { Backoff, RENEWAL_BACKOFF, RETRY_BACKOFF } from "../retry.ts";
import type { PeerReport } from "../model/peer_report.ts";
import type { Service } from "../model/service.ts";
import { refusalOf } from "../net/reachable.ts";
import type { Connections } from "./connections.ts";
import type { DialPace } from "./dial_pace.ts";
import type { ExposedService } from "./exposed_service.ts";
import { endWhenIdle } from "./idle_end.ts";
import type { Turn } from "./pacer.ts";
import { Peer, type PeerParts } from "./peer.ts";
import { RedialPause } from "./redial_pause.ts";
import { ResumePace, Resumer } from "./resumer.ts";

/**
 * How long a peer may take to answer the first message over a new link, in milliseconds: some round trips and a busy
 * machine. A path that swallows packets costs no longer before it is tried anew.
 */
const FIRST_ANSWER_MS = 5000;
/**
 * How long a peer of which nothing is known may take to greet, in milliseconds: one of the native dialect does so as soon
 * as the link is up, some round trips. One of the reference dialect never does.
 */
const GREETING_MS = 2000;
/** Links to one peer that may be open at once, in use or draining: more than any has that restarts, or whose proxy does. */
const MAX_LINKS = 8;
/** The most services that are remembered as removed while there was no link. */
const MAX_REMOVED = 1000;
/**
 * How long a peer to which nothing is exposed any more is dialled to be told so, in milliseconds, after the time that sessions
 * wait for another link: by then it has noticed by itself that the link is lost, and kept ports for no longer than it does by
 * default.
 */
const FAREWELL_MS = 30_000;

/** What stands for a rule in the log: it was exposed by an earlier run. */
const RESTORED = "restored";
/** The same: it is in the configuration file. */
const IN_FILE = "configuration";

/** How to expose what was not asked for just now. */
export interface RestoreOptions {
  /** Why it cannot be had. */
  obstacle?: ConnectorError | undefined;
  /** It is in the configuration file. */
  inFile?: boolean;
}

/** What is needed to keep a link to a peer. */
export interface OutboundOptions extends PeerParts {
  address: Address;
  /** Starts to open a link. `resume`: a claim of a session, or an introduction. */
  dial: (address: Address, resume: string) => Link;
  /** Whether links go through a proxy: then its port is looked at, not the peer's. */
  route: Route;
  connections: Connections;
  pace: DialPace;
  /** The peer has removed a service. */
  onRemoved: (serviceId: string) => void;
  /** There is nothing more to be told to the peer: if it is idle, it may be closed. */
  onTold: () => void;
}

/** A peer that we dial. */
export class Outbound {
  readonly #options: OutboundOptions;
  readonly #peer: Peer;
  /** Ids that the peer may still have, to be told over the next link. */
  readonly #removed = new Set<string>();
  #farewell: ReturnType<typeof setTimeout> | undefined;
  readonly #closing = new AbortController();
  readonly #pause: RedialPause;
  readonly #ended = Promise.withResolvers<void>();
  /** The link in use. */
  #session: Session | undefined;
  /** Links that were answered and take streams, the latest last: one of them is in use when a newer one fails. */
  readonly #carriers = new Set<Session>();
  /** Aborted when no link takes streams any more. */
  #stranded = new AbortController();
  /** Why the last one did not. */
  #lostReason = "";
  /** The last session over which the peer has answered. */
  #answered: Session | undefined;
  /** What the peer spoke last. */
  #dialect: DialectName | undefined;
  /** Presumes the dialect of a peer that does not greet. */
  #greetingTimer: ReturnType<typeof setTimeout> | undefined;
  /** End links over which nothing is answered. */
  readonly #answerTimers = new Map<Session, ReturnType<typeof setTimeout>>();
  /** The peer was heard over the link in use. */
  #onHeard: () => void = () => {};
  /** Whether the last try came to nothing before anything was heard of the peer. */
  #unheard = false;
  /** Those of sessions that have not ended. */
  readonly #resumers = new Set<Resumer>();
  readonly #resumePace = new ResumePace();
  /** What all sessions that have not ended were begun with: the peer need not wait for those of another one. */
  #introduction = newIntroduction();
  /** A link that is open, over which a lost session was claimed in vain: the next session's. */
  #spare: Link | undefined;

  private constructor(options: OutboundOptions) {
    this.#options = options;
    const info = { address: formatAddress(options.address) };
    this.#peer = new Peer({ ...options, direction: "outbound", info });
    this.#pause = new RedialPause(nextHop(options), options.pace);
  }

  /** Begins to dial a peer, and goes on until it is closed. */
  static start(options: OutboundOptions): Outbound {
    const outbound = new Outbound(options);
    void outbound.#run();
    return outbound;
  }

  /** Its links as they are now. */
  report(): PeerReport {
    return this.#peer.report();
  }

  /** Whether nothing is exposed to it. */
  get idle(): boolean {
    return this.#peer.services.size === 0;
  }

  /** Whether the next start exposes something to it, because the configuration file says so. */
  get inFile(): boolean {
    return [...this.#peer.services].some((service) => service.inFile);
  }

  /** Whether the peer knows of every removal, as far as it can be told. */
  get told(): boolean {
    return this.#removed.size === 0;
  }

  /** Whether a service was exposed to it. */
  has(serviceId: string): boolean {
    const service = this.#options.exposures.getOwn(serviceId);
    return service !== undefined && this.#peer.services.has(service);
  }

  /** Whether it is at the other end of one of these TCP connections, which we have opened. */
  isOver(connections: readonly string[]): boolean {
    return [...this.#peer.sessions].some((session) =>
      session.connections.some((each) => connections.includes(each))
    );
  }

  /**
   * Exposes a service, which `rule` allows. For type remote its port is listened on at once.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use.
   */
  add(service: Service, { rule }: { rule: string }): ExposedService {
    const added = this.#expose(service, { known: false });
    try {
      added.open();
    } catch (error) {
      added.tell({ kind: "withdraw", by: "user", tell: false, cut: true });
      throw error;
    }
    added.publish({ rule });
    this.#link(added);
    return added;
  }

  /**
   * Exposes a service of an earlier run, or of the configuration file, as soon as that can be done; `obstacle` is why it
   * cannot.
   */
  restore(service: Service, { obstacle, inFile = false }: RestoreOptions = {}): void {
    const restored = this.#expose(service, { known: !inFile });
    restored.inFile = inFile;
    restored.publish({ restored: !inFile, rule: inFile ? IN_FILE : RESTORED });
    // Before there is a link: the peer is not to hear of what it may not have.
    if (obstacle) restored.forbid(obstacle);
    else restored.tryToOpen();
    this.#link(restored);
  }

  /** Removes a service and tells the peer. Returns whether there was one of this id. */
  remove(serviceId: string, { by = "user" }: { by?: Remover } = {}): boolean {
    if (!this.has(serviceId)) return false;
    const service = this.#options.exposures.getOwn(serviceId);
    service?.tell({ kind: "withdraw", by, tell: true, cut: true });
    const told = this.#session !== undefined && this.#session === this.#answered &&
      this.#session.suspended === undefined;
    // A peer that has never answered has nothing to remove.
    if (told || !this.#answered || this.#removed.size >= MAX_REMOVED) return true;
    this.#removed.add(serviceId);
    const farewellMs = FAREWELL_MS + this.#options.resumeMs;
    this.#farewell ??= setTimeout(() => this.#forgetRemoved(), farewellMs);
    return true;
  }

  /** Takes no new visitors and tells the peer so; open connections go on. `returns`: whether its services will be back. */
  drain({ returns }: { returns: boolean }): void {
    this.#closing.abort();
    this.#pause[Symbol.dispose]();
    for (const resumer of this.#resumers) resumer[Symbol.dispose]();
    this.#dismissSpare();
    this.#peer.tellServices({ kind: "stop" });
    this.#peer.drain({ returns });
  }

  /** Ends every link in order, within `graceMs`. Nothing may be exposed to it any more. */
  close(options: { graceMs?: number } = {}): void {
    clearTimeout(this.#farewell);
    this.#closing.abort();
    this.#dismissSpare();
    this.#pause[Symbol.dispose]();
    this.#peer.close(options);
  }

  /** Ends, at once, every link whose peer is not to be trusted any more. It is dialled again. */
  abortRevoked(): void {
    this.#peer.abortRevoked();
  }

  /** Resolves when it was closed and every link has ended. */
  ended(): Promise<void> {
    return this.#ended.promise;
  }

  #expose(service: Service, { known }: { known: boolean }): ExposedService {
    const shareKey = dialledShareKey(this.#options.address);
    return this.#options.exposures.expose(service, { peer: this.#peer, shareKey, known });
  }

  #link(added: ExposedService): void {
    if (this.#session === undefined) return this.#pause.hurry();
    added.tell({ kind: "linkUp", over: this.#session, dialect: this.#dialect });
    const { suspended: reason } = this.#session;
    if (reason !== undefined) added.tell({ kind: "suspended", over: this.#session, reason });
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(RETRY_BACKOFF);
    const renewal = new Backoff(RENEWAL_BACKOFF);
    while (!this.#closing.signal.aborted) {
      const turn = await this.#pause.turn({ known: this.#known });
      if (turn === undefined) break;
      const started = performance.now();
      const reason = await this.#tryOnce(turn);
      turn[Symbol.dispose]();
      const livedMs = performance.now() - started;
      const peer = this.#peer.info.address;
      if (this.#session && !this.#closing.signal.aborted) {
        const waitMs = Math.round(renewal.next(livedMs));
        this.#options.log.info("next link to the peer is due", { peer, reason, waitMs });
        await this.#waitForRoom(waitMs);
        if (this.#session) continue;
      }
      if (this.#closing.signal.aborted) break;
      if (this.#spare) continue;
      const waitMs = Math.round(backoff.next(livedMs));
      this.#options.log.warn("no link to the peer", {
        peer,
        reason: this.#lostReason,
        retryMs: waitMs,
      });
      this.#peer.tellServices({ kind: "linkRetry", at: new Date(Date.now() + waitMs) });
      await this.#pause.wait(waitMs, { known: this.#known });
      this.#peer.tellServices({ kind: "linkRetry", at: undefined });
    }
    await this.#peer.ended();
    this.#ended.resolve();
  }

  /** Waits so long, in milliseconds, and until there may be another link; not once none is left that takes streams. */
  async #waitForRoom(ms: number): Promise<void> {
    const { signal } = this.#stranded;
    const { sessions } = this.#peer;
    await this.#pause.wait(ms, { known: this.#known, signal });
    const stranded = new Promise((resolve) =>
      signal.addEventListener("abort", resolve, { once: true })
    );
    while (this.#session && sessions.size >= MAX_LINKS && !this.#closing.signal.aborted) {
      await Promise.race([stranded, ...[...sessions].map((session) => session.closed)]);
    }
  }

  /** Whether it has ever answered. */
  get #known(): boolean {
    return this.#answered !== undefined;
  }

  /**
   * Opens a link, exposes everything over it, and resolves when another one is due, with why. The turn ends once the peer was
   * heard.
   */
  async #tryOnce(turn: Turn): Promise<string> {
    const link = this.#takeSpare() ?? await this.#dial({ waited: turn.waited || this.#unheard });
    if (typeof link === "string") return this.#away(link);
    this.#unheard = true;
    const heard = () => {
      this.#unheard = false;
      turn[Symbol.dispose]();
    };
    const due = Promise.withResolvers<string>();
    const { sessions } = this.#peer;
    const [oldest] = sessions;
    if (sessions.size >= MAX_LINKS) oldest?.close();
    const session: Session = this.#peer.take(link, {
      onSuspended: () => void resumer.run(),
      onHeard: () => this.#noteAnswer(session),
      onRemoved: this.#options.onRemoved,
      onDialect: (dialect) => {
        if (session === this.#session) this.#noteDialect(dialect, session);
      },
      onLeaving: ({ reason }) => {
        if (session === this.#session) clearTimeout(this.#greetingTimer);
        this.#drop(session, reason);
        due.resolve(reason);
      },
    });
    this.#session = session;
    this.#stranded = new AbortController();
    this.#awaitAnswer(session);
    session.send({ kind: "ping" });
    for (const serviceId of this.#removed) session.send({ kind: "destroy", serviceId });
    this.#peer.tellServices({ kind: "linkUp", over: session, dialect: this.#dialect });
    clearTimeout(this.#greetingTimer);
    if (this.#dialect === undefined) {
      this.#greetingTimer = setTimeout(() => this.#tellDialect("reference", session), GREETING_MS);
    }
    link.hello.then((hello) => {
      if (hello === undefined) return;
      heard();
      // Where nothing is exposed, nothing is answered. What was sent arrives before the link is closed in order.
      if (this.idle) this.#forgetRemoved();
    });
    this.#onHeard = heard;
    let isReplaced = false;
    const watch = (link: Link) =>
      link.goingAway?.then(() => {
        if (!sessions.has(session) || isReplaced) return;
        isReplaced = true;
        due.resolve("a proxy on the way, or the peer, is about to end it (GOAWAY)");
        endWhenIdle(session, { inUse: () => this.#needs(session) });
      });
    watch(link);
    /** Why there was no link at the last try, since the session has lost its own. */
    let noLink: string | undefined;
    const resumer = new Resumer({
      session,
      hop: nextHop(this.#options),
      pace: this.#options.pace,
      resumePace: this.#resumePace,
      dial: ({ waited }) => {
        this.#peer.tellServices({ kind: "resumeRetry", over: session, at: undefined });
        return this.#dial({ waited, claimed: session });
      },
      onResumed: (link) => {
        noLink = undefined;
        watch(link);
        // What was to be told waited in the session, and arrives before that is closed in order.
        this.#forgetRemoved();
      },
      onUnknown: (link) => this.#onUnknown(session, link),
      onRetry: (reason, retryMs) => {
        const peer = this.#peer.info.address;
        if (reason !== noLink) {
          this.#options.log.warn("no link to the peer", { peer, reason, retryMs });
        }
        noLink = reason;
        const at = new Date(Date.now() + retryMs);
        this.#peer.tellServices({ kind: "resumeRetry", over: session, at, reason });
      },
    });
    this.#resumers.add(resumer);
    session.closed.then(() => {
      this.#resumers.delete(resumer);
      resumer[Symbol.dispose]();
    });
    return await due.promise;
  }

  /** Starts to open a link, which may claim a session. Returns why none is opened otherwise. */
  async #dial(
    { waited, claimed }: { waited: boolean; claimed?: Session },
  ): Promise<Link | string> {
    const refusal = await this.#knock({ waited });
    if (refusal !== undefined) return refusal;
    if (claimed && claimed.suspended === undefined) return "nobody waits for it any more";
    const { connections, address, dial } = this.#options;
    try {
      const held = connections.hold(dialledShareKey(address), "Cannot open a link");
      if (this.#peer.sessions.size === 0) this.#introduction = newIntroduction();
      const link = dial(address, claimed?.claim() ?? this.#introduction);
      link.closed.then(() => held[Symbol.dispose]());
      return link;
    } catch (error) {
      return reasonOf(error);
    }
  }

  #takeSpare(): Link | undefined {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare;
  }

  /** The peer does not know a session any more: the link that has told so may be the next one's. */
  #onUnknown(session: Session, link: Link): void {
    const isNext = session === this.#session && this.#carriers.size <= 1;
    if (isNext && !this.#closing.signal.aborted) this.#spare = link;
    else this.#dismiss(link);
    const reason = "the link was lost, and the peer does not know its connections any more";
    session.abort(new ConnectorError("unavailable", reason), { returns: true });
  }

  #dismissSpare(): void {
    const spare = this.#takeSpare();
    if (spare) this.#dismiss(spare);
  }

  /** Ends a link over which nothing is to go, in order: else the peer would wait for another one to follow. */
  #dismiss(link: Link): void {
    const session: Session = this.#peer.take(link, { onDialect: () => session.close() });
  }

  /** No link is opened, and why. Returns that. */
  #away(reason: string): string {
    this.#lostReason = reason;
    if (this.#session) return reason;
    this.#peer.tellServices({ kind: "linkDown", over: undefined, reason, returns: true });
    return reason;
  }

  /** A link takes no more streams: an older one that does is in use again, if there is one. */
  #drop(session: Session, reason: string): void {
    clearTimeout(this.#answerTimers.get(session));
    this.#answerTimers.delete(session);
    this.#carriers.delete(session);
    this.#lostReason = reason;
    if (this.#session === session) {
      this.#session = [...this.#carriers].at(-1);
      this.#answered = this.#session ?? this.#answered;
    }
    if (this.#session === undefined) return this.#stranded.abort();
    const dialect = this.#session.dialect ?? this.#dialect;
    this.#peer.tellServices({ kind: "linkUp", over: this.#session, dialect });
  }

  /** Whether a link is in use, or of use until a newer one has taken over. */
  #needs(session: Session): boolean {
    return session === this.#session || this.#session !== this.#answered ||
      [...this.#peer.services].some((service) => service.uses(session));
  }

  /**
   * Why there is no use in opening a link. The name may lead elsewhere since the last one; the time that it takes to find out is
   * not the peer's. After a try of which nothing was heard, and when many peers are dialled, the port is looked at next: that
   * costs a small part of what the attempt does, in time and in memory.
   */
  async #knock({ waited }: Pick<Turn, "waited">): Promise<string | undefined> {
    const { route } = this.#options;
    if (route.kind === "barred") return route.reason;
    const hop = nextHop(this.#options);
    const { signal } = this.#closing;
    const told = (reason: string) =>
      route.kind === "direct" ? reason : unreachable(route.proxy, reason);
    try {
      await names.addressesOf(hop.host, { fresh: true, signal });
    } catch (error) {
      return told(reasonOf(error));
    }
    if (!waited) return undefined;
    const refusal = await refusalOf(hop, { signal, timeoutMs: FIRST_ANSWER_MS });
    return refusal === undefined ? undefined : told(refusal);
  }

  /** The peer has shown what it speaks. */
  #noteDialect(dialect: DialectName, session: Session): void {
    clearTimeout(this.#greetingTimer);
    this.#dialect = dialect;
    this.#tellDialect(dialect, session);
  }

  #tellDialect(dialect: DialectName, session: Session): void {
    this.#peer.tellServices({ kind: "spoke", over: session, dialect });
  }

  /** Gives a link up that is not answered. A peer of the reference dialect says nothing until it is asked something. */
  #awaitAnswer(session: Session): void {
    const timer = setTimeout(() => {
      const asked = [...this.#peer.services].some((service) => service.hasAsked(session));
      if (!asked) return this.#awaitAnswer(session);
      const { route } = this.#options;
      const hint = route.kind === "proxied"
        ? ` (through the proxy ${route.proxy.url})`
        : session.connections.length > 0
        ? ", although its port accepted the connection: is this the gRPC port of a connector?"
        : "";
      session.abort(new ConnectorError("deadline_exceeded", `the peer did not answer${hint}`));
    }, FIRST_ANSWER_MS);
    this.#answerTimers.set(session, timer);
  }

  /** The first answer over a link shows that it is open. */
  #noteAnswer(session: Session): void {
    // What an older one still says proves nothing of the one in use.
    if (session !== this.#session || this.#answered === session) return;
    clearTimeout(this.#answerTimers.get(session));
    this.#answerTimers.delete(session);
    this.#carriers.add(session);
    this.#answered = session;
    this.#onHeard();
    this.#peer.publishUp(session);
    this.#forgetRemoved();
  }

  #forgetRemoved(): void {
    clearTimeout(this.#farewell);
    this.#farewell = undefined;
    this.#removed.clear();
    this.#options.onTold();
  }
}

/** In whose share the connections, ports and links of a peer that we dial count. */
function dialledShareKey(address: Address): string {
  return `dialled ${formatAddress(address)}`;
}

/** What links are opened to: the peer, or the proxy on the way. */
function nextHop({ address, route }: Pick<OutboundOptions, "address" | "route">): Address {
  return route.kind === "proxied" ? route.proxy.address : address;
}
