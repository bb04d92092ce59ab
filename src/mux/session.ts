// The multiplexer over one link: control frames to its owner, tunnelled connections as streams, in the dialect that both
// sides have agreed on. The same engine on both ends; who dialled matters to its owner, and to the parity of stream
// numbers. It owns the link, or one link after another where it may outlive them, its outbox and its dialect.

import { ConnectorError } from "../model/errors.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import { mayResume, principalOf } from "../model/principal.ts";
import { type ControlFrame, MAX_MESSAGE_BYTES } from "../wire/frame.ts";
import { encodeFrame } from "../wire/open_data_codec.ts";
import { CutOff } from "./cut_off.ts";
import type { Dialect, DialectName } from "./dialect.ts";
import { createDialect } from "./dialects.ts";
import type { Hello, Link, LinkEnd } from "./link.ts";
import { hello, negotiate, readAnswer, RESUME, type Terms } from "./negotiation.ts";
import { Outbox } from "./outbox.ts";
import { ReceivePace } from "./receive_pace.ts";
import { ResumableLink } from "./resumable_link.ts";
import {
  type Claim,
  type ClaimAnswer,
  formatAnswer,
  formatClaim,
  readClaimAnswer,
  sameTerms,
} from "./resumption.ts";
import type { Leaving, SessionOptions } from "./session_options.ts";
import type { OpenOptions, Stream } from "./stream.ts";
import { WireIds } from "./wire_ids.ts";

/** How long a peer may take to end a link that we have ended, in milliseconds, unless something else is asked for. */
const CLOSE_GRACE_MS = 1000;

/** The dialler's first message over each link that a session goes on over. */
const OPENING = encodeFrame({ kind: "ping" });

/** What has become of a claim: the session goes on, its acceptor knows it no more, or the link came to nothing. */
export type ClaimResult = "resumed" | "unknown" | "failed";

/** A session with a peer, for as long as its link lives, or until none follows that was lost. */
export class Session {
  readonly #closed = Promise.withResolvers<LinkEnd>();
  readonly #link: ResumableLink;
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #ids = new WireIds();
  readonly #pace = new ReceivePace();
  /** Undefined until the peer has said what it speaks. */
  #dialect: Dialect | undefined;
  #features: readonly string[] = [];
  /** Set when we ended it for a reason of our own. */
  #reason: ConnectorError | undefined;
  /** Set when the link was ended in order, by us. */
  #closing = false;
  readonly #cutOff: CutOff;
  #linkEnded = false;
  /** Set when no more streams are opened, by either side. */
  #leaving = false;
  /** Set when we take no more streams of the peer. */
  #draining = false;
  /** What the peer said of itself as the session began. */
  #said: Hello | undefined;
  /** Dialler: the last token, and how often the session was claimed. */
  #token: string | undefined;
  #attempts = 0;

  private constructor(link: Link, options: SessionOptions) {
    const { resumeMs = 0 } = options;
    this.#link = ResumableLink.over(link, { keeps: resumeMs > 0 });
    this.#options = options;
    this.#outbox = new Outbox(this.#link, (error) => this.abort(error));
    this.#cutOff = new CutOff(this.#link, () => this.#reason);
  }

  /** Begins to speak over a link, which is the session's from now on. */
  static start(link: Link, options: SessionOptions): Session {
    const session = new Session(link, options);
    session.#link.closed.then(() => session.#onLinkEnded());
    void session.#run();
    return session;
  }

  /** Resolves with the reason when the session has ended and every stream was told. Never rejects. */
  get closed(): Promise<LinkEnd> {
    return this.#closed.promise;
  }

  /** Who is at the other end. */
  get peer(): PeerInfo {
    return this.#link.peer;
  }

  /** The TCP connections that it may run over, as its link tells. */
  get connections(): readonly string[] {
    return this.#link.connections;
  }

  /** Why its peer is not to be trusted any more, as its link tells; undefined while it is. */
  get revoked(): string | undefined {
    return this.#link.revoked();
  }

  /** How data travels; undefined until the peer has said what it speaks. */
  get dialect(): DialectName | undefined {
    return this.#dialect?.name;
  }

  /** Whether both sides have listed a feature. Not before the dialect is known. */
  supports(feature: string): boolean {
    return this.#features.includes(feature);
  }

  /** Whether no more streams are opened, by either side. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** How many streams of each service are open; not those that were reset, and that the peer has not answered. */
  get streamCounts(): Map<string, number> {
    return this.#dialect?.streamCounts ?? new Map();
  }

  /** How many streams are open. */
  get streamCount(): number {
    return this.#dialect?.streamCount ?? 0;
  }

  /** The round trip to the peer, in milliseconds; undefined where it is not measured. */
  get roundTripMs(): number | undefined {
    return this.#dialect?.roundTripMs;
  }

  /** Bytes that wait for slow readers, with what each chunk costs. */
  get heldBytes(): number {
    return this.#dialect?.heldBytes ?? 0;
  }

  /** Why it waits for another link; undefined when it does not. */
  get suspended(): string | undefined {
    return this.#link.suspended;
  }

  /** Whether it would wait for another link if it lost its own. */
  get resumable(): boolean {
    return this.#link.resumable;
  }

  /** What is kept to be sent again costs, in bytes. */
  get retainedBytes(): number {
    return this.#link.retainedBytes;
  }

  /**
   * Gives a service an id on the wire that only this link has, for as long as it is exposed over it. Before it is
   * exposed: what was sent under its own id is not known by another.
   */
  rename(serviceId: string): void {
    this.#ids.rename(serviceId, crypto.randomUUID());
  }

  /** Whether a service has an id of its own on this link's wire. */
  hasRenamed(serviceId: string): boolean {
    return this.#ids.isRenamed(serviceId);
  }

  /** Sends a control frame, ahead of data that waits. */
  send(frame: ControlFrame): void {
    const message = encodeFrame(this.#onWire(frame));
    if (frame.kind === "destroy") this.#ids.delete(frame.serviceId);
    // An acceptor answers with either, and so as often as the peer asks.
    const answers = frame.kind === "status" ||
      frame.kind === "destroy" && this.#options.role === "acceptor";
    if (answers) this.#outbox.sendControl(message);
    else this.#outbox.send(message);
  }

  /**
   * Opens a stream to the destination of a service at the peer, for the visitor at `visitor` (host:port).
   *
   * @throws {ConnectorError} `resource_exhausted` when a limit is reached, `unavailable` before the peer has answered
   *   and once the session is leaving.
   */
  open(serviceId: string, visitor: string, options: OpenOptions = {}): Stream {
    if (this.#dialect === undefined) {
      throw new ConnectorError("unavailable", "The peer has not answered yet");
    }
    if (this.#leaving) throw new ConnectorError("unavailable", "The link is about to end");
    return this.#dialect.open(serviceId, visitor, options);
  }

  /** Dialler: what is to be said as a link is opened for it. @throws {TypeError} when it does not wait for one. */
  claim(): string {
    if (this.#token === undefined || this.suspended === undefined) {
      throw new TypeError("the session waits for no link");
    }
    this.#attempts += 1;
    const { received } = this.#link;
    return formatClaim({ token: this.#token, attempt: this.#attempts, received });
  }

  /**
   * Dialler: goes on over a link that was opened with its claim, once the peer has answered it. What the claim has not led to
   * is up to the caller: the session waits on, and a link that is not its own now is open still. Never rejects.
   */
  async resumeOver(link: Link): Promise<ClaimResult> {
    const said = await link.hello;
    if (said === undefined) return "failed";
    if (said.resume === undefined) return "unknown";
    try {
      const { token, received }: Partial<ClaimAnswer> = readResumption(said);
      if (received === undefined) return "unknown";
      if (this.suspended === undefined) {
        throw new ConnectorError("unavailable", "nobody waits for the link any more");
      }
      this.#checkSame(said, link);
      // Since it was judged as the link was opened, which was not ours yet.
      const revoked = link.revoked?.();
      if (revoked !== undefined) throw new ConnectorError("permission_denied", revoked);
      this.#token = token;
      this.#link.resume(link, received, { message: OPENING, by: "us" });
      return "resumed";
    } catch (error) {
      // What was claimed can be claimed no more.
      const reason = ConnectorError.from(error, "The peer's answer makes no sense");
      link.abort(reason);
      this.abort(reason, { returns: true });
      return "failed";
    }
  }

  /**
   * Acceptor: grants a claim to a dialler that may have it. The link that the session has ends, so that nothing more is
   * received over it. Returns what is to be answered; undefined if the claim is not granted.
   *
   * @throws {ConnectorError} `invalid_argument` when the claim makes no sense: the session has ended then.
   */
  grant(claim: Claim, { offer, peer }: { offer: Hello; peer: PeerInfo }): string | undefined {
    const { tokens } = this.#options;
    const said = this.#said;
    if (!this.resumable || tokens === undefined || said === undefined) return undefined;
    const mayHave = tokens.fits(claim) && sameTerms(offer, said) &&
      mayResume(principalOf(this.peer), principalOf(peer));
    if (!mayHave || !tokens.take(claim)) return undefined;
    this.#link.interrupt("the peer goes on over another link");
    // It may have ended instead: too much waits, or its dialler was started anew.
    if (this.suspended === undefined) return undefined;
    try {
      this.#link.reconcile(claim.received);
    } catch (error) {
      const reason = ConnectorError.from(error, "The peer's claim makes no sense");
      this.abort(reason);
      throw reason;
    }
    return formatAnswer({ token: tokens.issue(), received: this.#link.received });
  }

  /** Acceptor: goes on over the link whose claim was granted last, once that is answered. */
  resume(link: Link, { received }: Claim): void {
    this.#link.resume(link, received, { message: OPENING, by: "peer" });
  }

  /** Takes no more streams, and tells the peer so; open ones go on. `returns`: whether our services will come back. */
  drain({ returns }: { returns: boolean }): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#dialect?.drain(returns);
    this.#link.settle();
    this.#leave({ reason: "this connector is shutting down", returns });
  }

  /**
   * Ends the link in order: what was sent is delivered. A peer that does not follow within `graceMs` is cut off; asked
   * again, the shorter time counts. Streams that are open are reset.
   */
  close({ graceMs = CLOSE_GRACE_MS }: { graceMs?: number } = {}): void {
    if (this.#closing) return this.#cutOff.in(graceMs);
    this.#leave({ reason: "this connector has closed the link", returns: true });
    if (this.suspended !== undefined) return this.#link.settle();
    this.#closeLink(graceMs, { first: this.#dialect?.tellClose() ?? "ours" });
  }

  /**
   * Ends the link for a reason, which the peer is told. Every stream ends now. `returns`: whether the peer may be
   * back with its services; one that broke the protocol has no claim to them.
   */
  abort(reason: ConnectorError, { returns = false }: { returns?: boolean } = {}): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#leave({ reason: reason.message, returns });
    // A peer to which there is no link hears nothing.
    if (this.suspended !== undefined) this.#link.abort(reason);
    const told = this.#dialect?.tellAbort(reason) ?? false;
    this.#outbox.abort();
    this.#dialect?.abort(reason);
    if (told) this.#closeLink(CLOSE_GRACE_MS);
    else this.#link.abort(reason);
  }

  #leave(leaving: Leaving): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#options.onLeaving?.(leaving);
  }

  /** Ends the link; both sides have to within `graceMs`, `first` is who begins. */
  async #closeLink(
    graceMs: number,
    { first = "ours" }: { first?: "ours" | "theirs" } = {},
  ): Promise<void> {
    this.#cutOff.in(graceMs);
    if (this.#closing) return;
    this.#closing = true;
    this.#link.settle();
    if (first === "theirs") return;
    // What still waits because the link is full was promised to be delivered.
    while (!this.#linkEnded && this.#outbox.full) await this.#link.writable();
    this.#link.close();
  }

  #onLinkEnded(): void {
    this.#linkEnded = true;
    this.#cutOff[Symbol.dispose]();
    // What has arrived is taken at once: who has sent too much is held back no more, and is not to be here for longer.
    this.#pace[Symbol.dispose]();
  }

  async #run(): Promise<void> {
    try {
      const said = await this.#link.hello;
      const dialect = this.#negotiate(said);
      // A peer that says nothing of itself has done so once its first message is here.
      const told = said !== undefined;
      if (told) this.#options.onDialect?.(dialect.name);
      await this.#receiveAll(dialect, told);
    } catch (error) {
      // The peer broke the protocol, and what it did is in the error.
      this.abort(ConnectorError.from(error, "The peer broke the protocol"));
    }
    const end = await this.#link.closed;
    this.#outbox.abort();
    const reason = this.#reason ?? end;
    this.#leave({ reason: reason?.message ?? "the peer has closed the link", returns: true });
    this.#dialect?.abort(reason ?? new ConnectorError("unavailable", "the link was closed"));
    this.#closed.resolve(reason);
  }

  /** @throws {ConnectorError} when what the peer says of itself makes no sense. */
  #negotiate(said: Hello | undefined): Dialect {
    const { role, limits, connects, resumeMs = 0 } = this.#options;
    const ours = hello(limits, { resumes: resumeMs > 0 });
    const agreed = said && (role === "acceptor" ? negotiate(said, ours) : readAnswer(said, ours));
    this.#features = agreed?.features ?? [];
    this.#said = said;
    const resumes = said !== undefined && agreed !== undefined && this.#mayResume(said, agreed);
    // Nothing is kept for a peer that has not agreed, above all for one that has said nothing.
    if (!resumes) this.#link.settle();
    const dialect = createDialect(agreed, {
      role,
      limits,
      outbox: this.#outbox,
      ids: this.#ids,
      linkEnded: this.#link.closed,
      arrivals: () => this.#link.arrivals,
      onStream: (stream) => this.#take(stream),
      onControl: (frame) => this.#onControl(frame),
      onPong: () => this.#options.onPong?.(),
      ...(resumes && { kept: this.#link }),
      onSilence: (reason) => {
        if (!this.#link.interrupt(reason.message)) this.abort(reason, { returns: true });
      },
      onDrain: (returns) => {
        this.#leave({ reason: "the peer is shutting down", returns });
        // If its link is lost, its process has ended.
        this.#link.settle();
      },
      onClose: (reason) => this.#onClose(reason),
      onExhausted: () => this.close(),
      onFailure: (reason) => this.abort(reason),
      connects,
    });
    this.#dialect = dialect;
    dialect.start();
    return dialect;
  }

  /** Whether another link may follow. @throws {ConnectorError} when the acceptor's answer makes no sense. */
  #mayResume(said: Hello, { features }: Terms): boolean {
    const { role, resumeMs = 0, tokens } = this.#options;
    const token = role === "acceptor" ? tokens : said.resume;
    if (!features.includes(RESUME) || token === undefined) return false;
    if (role === "dialler") {
      const { token, received } = readResumption(said);
      if (received !== undefined) {
        throw new ConnectorError("internal", "The peer goes on with a session that is none");
      }
      this.#token = token;
    }
    this.#link.resumeWithin({
      timeoutMs: resumeMs,
      onSuspended: (reason) => {
        this.#dialect?.suspend();
        this.#options.onSuspended?.(reason);
      },
      onResumed: () => {
        this.#dialect?.resume();
        this.#options.onResumed?.();
      },
      onNotResumed: () => this.#options.onNotResumed?.(),
      onHeard: () => tokens?.confirm(),
      onBreach: (error) => this.abort(error),
    });
    return true;
  }

  /** @throws {ConnectorError} when another peer has answered than at first, or in other words. */
  #checkSame(said: Hello, link: Link): void {
    const first = this.#said;
    const isSame = first !== undefined && sameTerms(said, first) &&
      principalOf(this.peer).certificate?.name === principalOf(link.peer).certificate?.name;
    if (isSame) return;
    throw new ConnectorError("failed_precondition", "The peer goes on with other terms or names");
  }

  #take(stream: Stream): void {
    if (this.#draining) stream.reset("closing", "the connector is shutting down");
    else this.#options.onStream(stream);
  }

  /** The peer ends the session. */
  #onClose(reason: ConnectorError | undefined): void {
    this.#reason ??= reason;
    this.#leave({ reason: this.#reason?.message ?? "the peer has closed the link", returns: true });
    this.#closeLink(CLOSE_GRACE_MS);
  }

  /** `told`: whether our user knows the dialect. */
  async #receiveAll(dialect: Dialect, told: boolean): Promise<void> {
    for (;; told = true) {
      const message = await this.#link.receive();
      if (message === null || this.#reason !== undefined) return;
      if (!told) this.#options.onDialect?.(dialect.name);
      if (message.length > MAX_MESSAGE_BYTES) {
        throw new ConnectorError("resource_exhausted", `a message of ${message.length} bytes`);
      }
      this.#pace.begin();
      // A promise holds the peer back, here and of the pace: the session reads no more until it resolves.
      const pause = dialect.receive(message);
      const paced = this.#pace.pause();
      if (pause) await pause;
      if (paced) await paced;
    }
  }

  #onControl(frame: ControlFrame): void {
    this.#pace.countControl();
    if (frame.kind !== "status" && frame.kind !== "destroy") return this.#options.onControl(frame);
    const serviceId = this.#ids.ownOf(frame.serviceId);
    if (serviceId !== undefined) this.#options.onControl({ ...frame, serviceId });
  }

  /** A frame with the id that its service has on the wire. */
  #onWire(frame: ControlFrame): ControlFrame {
    if (frame.kind === "ping" || !this.#ids.isRenamed(frame.serviceId)) return frame;
    const serviceId = this.#ids.wireOf(frame.serviceId);
    return frame.kind === "expose" && frame.service !== undefined
      ? { ...frame, serviceId, service: { ...frame.service, id: serviceId } }
      : { ...frame, serviceId };
  }
}

/** What an acceptor says of a session. @throws {ConnectorError} `invalid_argument` */
function readResumption({ resume = "" }: Hello): ClaimAnswer {
  return readClaimAnswer(resume);
}
