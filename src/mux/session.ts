// The multiplexer over one link: control frames to its owner, tunnelled connections as streams, in the dialect that both
// sides have agreed on. The same engine on both ends; who dialled matters to its owner, and to the parity of stream
// numbers. It owns the link, its outbox and its dialect.

import { ConnectorError } from "../model/errors.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import { type ControlFrame, MAX_MESSAGE_BYTES } from "../wire/frame.ts";
import { encodeFrame } from "../wire/open_data_codec.ts";
import { CutOff } from "./cut_off.ts";
import type { Dialect, DialectName } from "./dialect.ts";
import { createDialect } from "./dialects.ts";
import type { Hello, Link, LinkEnd } from "./link.ts";
import { hello, negotiate, readAnswer } from "./negotiation.ts";
import { Outbox } from "./outbox.ts";
import { ReceivePace } from "./receive_pace.ts";
import type { Leaving, SessionOptions } from "./session_options.ts";
import type { OpenOptions, Stream } from "./stream.ts";
import { WireIds } from "./wire_ids.ts";

/** How long a peer may take to end a link that we have ended, in milliseconds, unless something else is asked for. */
const CLOSE_GRACE_MS = 1000;

/** A session with a peer, for as long as its link lives. */
export class Session {
  readonly #closed = Promise.withResolvers<LinkEnd>();
  readonly #link: Link;
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

  private constructor(link: Link, options: SessionOptions) {
    this.#link = link;
    this.#options = options;
    this.#outbox = new Outbox(link, (error) => this.abort(error));
    this.#cutOff = new CutOff(link, () => this.#reason);
  }

  /** Begins to speak over a link, which is the session's from now on. */
  static start(link: Link, options: SessionOptions): Session {
    const session = new Session(link, options);
    link.closed.then(() => session.#onLinkEnded());
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
    return this.#link.connections ?? [];
  }

  /** Why its peer is not to be trusted any more, as its link tells; undefined while it is. */
  get revoked(): string | undefined {
    return this.#link.revoked?.();
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

  /** Takes no more streams, and tells the peer so; open ones go on. `returns`: whether our services will come back. */
  drain({ returns }: { returns: boolean }): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#dialect?.drain(returns);
    this.#leave({ reason: "this connector is shutting down", returns });
  }

  /**
   * Ends the link in order: what was sent is delivered. A peer that does not follow within `graceMs` is cut off; asked
   * again, the shorter time counts. Streams that are open are reset.
   */
  close({ graceMs = CLOSE_GRACE_MS }: { graceMs?: number } = {}): void {
    if (this.#closing) return this.#cutOff.in(graceMs);
    this.#leave({ reason: "this connector has closed the link", returns: true });
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
    const { role, limits, connects } = this.#options;
    const ours = hello(limits);
    const agreed = said && (role === "acceptor" ? negotiate(said, ours) : readAnswer(said, ours));
    this.#features = agreed?.features ?? [];
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
      onDrain: (returns) => this.#leave({ reason: "the peer is shutting down", returns }),
      onClose: (reason) => this.#onClose(reason),
      onExhausted: () => this.close(),
      onFailure: (reason, options) => this.abort(reason, options),
      connects,
    });
    this.#dialect = dialect;
    dialect.start();
    return dialect;
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
