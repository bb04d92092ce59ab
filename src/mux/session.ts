// The multiplexer over one link: control frames to its owner, tunnelled connections as streams, in the
// dialect that both sides negotiated. The same engine on both ends; who dialled matters to its owner, and to
// the parity of stream numbers. It owns the link and every stream over it.

import { ConnectorError } from "../errors.ts";
import type { PeerInfo } from "../peer_identity.ts";
import { type ControlFrame, MAX_MESSAGE_BYTES } from "../wire/frame.ts";
import { isBatch } from "../wire/native_codec.ts";
import type { NativeFrame } from "../wire/native_frame.ts";
import { decodeFrame, encodeFrame } from "../wire/reference_codec.ts";
import { Batcher } from "./batcher.ts";
import { CutOff } from "./cut_off.ts";
import type { PeerLimits } from "../limits.ts";
import type { Link, LinkEnd } from "./link.ts";
import { Liveness } from "./liveness.ts";
import { NativeStreams } from "./native_streams.ts";
import { readAnswer, readOffer } from "./negotiation.ts";
import { Outbox } from "./outbox.ts";
import { ReferenceStreams } from "./reference_streams.ts";
import type { DialectName, Leaving, SessionOptions } from "./session_options.ts";
import type { OnStream, OpenOptions, Stream } from "./stream.ts";
import { WireIds } from "./wire_ids.ts";

/** How long a peer may take to end a link that we have ended, in milliseconds, unless something else is asked for. */
const CLOSE_GRACE_MS = 1000;

/** The data half of a session, of either dialect. */
interface Streams {
  readonly size: number;
  open(serviceId: string, visitor: string, options: OpenOptions): Stream;
  end(reason: ConnectorError): void;
}

/** A session with a peer, for as long as its link lives. */
export class Session {
  /** Resolves with the reason when the session has ended and every stream was told. Never rejects. */
  readonly closed: Promise<LinkEnd>;
  readonly #link: Link;
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #ids = new WireIds();
  #batcher: Batcher | undefined;
  #liveness: Liveness | undefined;
  #streams: Streams | undefined;
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

  constructor(link: Link, options: SessionOptions) {
    this.#link = link;
    this.#options = options;
    this.#outbox = new Outbox(link, (error) => this.abort(error));
    this.#cutOff = new CutOff(link, () => this.#reason);
    // What the link still holds when it ends is dispatched without holding back: nobody is left to hold.
    link.closed.then(() => {
      this.#linkEnded = true;
      if (this.#streams instanceof ReferenceStreams) this.#streams.stopHolding();
    });
    this.closed = this.#run();
  }

  /** Who is at the other end. */
  get peer(): PeerInfo {
    return this.#link.peer;
  }

  /** The TCP connections that it may run over, as its link tells. */
  get connections(): readonly string[] {
    return this.#link.connections ?? [];
  }

  /** How data travels; undefined until the peer has said what it speaks. */
  get dialect(): DialectName | undefined {
    if (this.#streams === undefined) return undefined;
    return this.#batcher === undefined ? "reference" : "native";
  }

  /** Whether no more streams are opened, by either side. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** How many streams are open. */
  get streamCount(): number {
    return this.#streams?.size ?? 0;
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
    if (frame.kind === "status") this.#outbox.sendControl(message);
    else this.#outbox.send(message);
  }

  /**
   * Opens a stream to the destination of a service at the peer, for the visitor at `visitor` (host:port).
   *
   * @throws {ConnectorError} `resource_exhausted` when a limit is reached, `unavailable` before the peer has answered
   *   and once the session is leaving.
   */
  open(serviceId: string, visitor: string, options: OpenOptions = {}): Stream {
    if (this.#streams === undefined) {
      throw new ConnectorError("unavailable", "The peer has not answered yet");
    }
    if (this.#leaving) throw new ConnectorError("unavailable", "The link is about to end");
    return this.#streams.open(serviceId, visitor, options);
  }

  /** Takes no more streams, and tells the peer so; open ones go on. `returns`: whether our services will come back. */
  drain({ returns }: { returns: boolean }): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#batcher?.send({
      kind: "goAway",
      code: returns ? "drain" : "leave",
      reason: "the connector is shutting down",
    });
    this.#leave({ reason: "this connector is shutting down", returns });
  }

  /**
   * Ends the link in order: what was sent is delivered. A peer that does not follow within `graceMs` is cut off; asked
   * again, the shorter time counts. Streams that are open are reset.
   */
  close({ graceMs = CLOSE_GRACE_MS }: { graceMs?: number } = {}): void {
    if (this.#closing) return this.#cutOff.in(graceMs);
    this.#leave({ reason: "this connector has closed the link", returns: true });
    this.#batcher?.send({ kind: "goAway", code: "shutdown", reason: "" });
    this.#batcher?.flush();
    // The go-away is read after everything before it: once the dialler ends the call, all has been delivered. An
    // acceptor that ended it first would not learn that.
    const first = this.#batcher === undefined || this.#options.role === "dialler"
      ? "ours"
      : "theirs";
    this.#closeLink(graceMs, { first });
  }

  /**
   * Ends the link for a reason, which the peer is told. Every stream ends now. `returns`: whether the peer may be
   * back with its services; one that broke the protocol has no claim to them.
   */
  abort(reason: ConnectorError, { returns = false }: { returns?: boolean } = {}): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#leave({ reason: reason.message, returns });
    this.#liveness?.stop();
    this.#batcher?.send({ kind: "goAway", code: "breach", reason: reason.message });
    this.#batcher?.flush();
    this.#batcher?.end();
    this.#outbox.end();
    this.#streams?.end(reason);
    // Without a go-away only the call's status can tell the reason.
    if (this.#batcher === undefined) this.#link.abort(reason);
    else this.#closeLink(CLOSE_GRACE_MS);
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
    while (!this.#linkEnded && (this.#batcher?.full || this.#outbox.full)) {
      await this.#link.writable();
    }
    this.#link.close();
  }

  async #run(): Promise<LinkEnd> {
    try {
      await this.#negotiate();
      await this.#receiveAll();
    } catch (error) {
      // The peer broke the protocol, and what it did is in the error.
      this.abort(ConnectorError.from(error, "The peer broke the protocol"));
    }
    const end = await this.#link.closed;
    this.#liveness?.stop();
    this.#batcher?.end();
    this.#outbox.end();
    const reason = this.#reason ?? end;
    this.#leave({ reason: reason?.message ?? "the peer has closed the link", returns: true });
    this.#streams?.end(reason ?? new ConnectorError("unavailable", "the link was closed"));
    return reason;
  }

  async #negotiate(): Promise<void> {
    const { role, connects } = this.#options;
    const onStream: OnStream = (stream) => this.#take(stream);
    const hello = await this.#link.hello;
    if (hello === undefined) {
      this.#streams = new ReferenceStreams(this.#outbox, { ids: this.#ids, onStream, connects });
      return;
    }
    this.#startNative(role === "acceptor" ? readOffer(hello) : readAnswer(hello), onStream);
    this.#options.onDialect?.("native");
  }

  #take(stream: Stream): void {
    if (this.#draining) stream.reset("closing", "the connector is shutting down");
    else this.#options.onStream(stream);
  }

  #startNative(peerLimits: PeerLimits, onStream: OnStream): void {
    const { role, limits } = this.#options;
    const batcher = new Batcher(this.#link, (error) => this.abort(error));
    const liveness = new Liveness({
      ping: () => batcher.ping(),
      onSilence: () => {
        const silent = "the peer no longer answers";
        this.abort(new ConnectorError("deadline_exceeded", silent), { returns: true });
      },
    });
    this.#batcher = batcher;
    this.#liveness = liveness;
    this.#streams = new NativeStreams({
      role,
      limits,
      peerLimits,
      batcher,
      onStream,
      onPong: (nonce) => {
        batcher.pong(nonce);
        liveness.answered();
        this.#options.onPong?.();
      },
      onGoAway: (frame) => this.#onGoAway(frame),
      onExhausted: () => this.close(),
    });
    liveness.start();
  }

  #onGoAway({ code, reason }: NativeFrame & { kind: "goAway" }): void {
    switch (code) {
      case "drain":
      case "leave":
        return this.#leave({ reason: "the peer is shutting down", returns: code === "drain" });
      case "breach":
        this.#reason ??= new ConnectorError("internal", `The peer ended the link: ${reason}`);
    }
    this.#leave({ reason: this.#reason?.message ?? "the peer has closed the link", returns: true });
    this.#closeLink(CLOSE_GRACE_MS);
  }

  async #receiveAll(): Promise<void> {
    for (let first = true;; first = false) {
      const message = await this.#link.receive();
      if (message === null || this.#reason !== undefined) return;
      this.#liveness?.heard();
      if (first && this.#batcher === undefined) this.#options.onDialect?.("reference");
      if (message.length > MAX_MESSAGE_BYTES) {
        throw new ConnectorError("resource_exhausted", `a message of ${message.length} bytes`);
      }
      // A promise here holds the peer back: the session reads no more until it resolves.
      const pause = this.#dispatch(message);
      if (pause) await pause;
    }
  }

  #dispatch(message: Uint8Array): Promise<void> | undefined {
    const streams = this.#streams;
    if (streams instanceof NativeStreams && isBatch(message)) {
      streams.receive(message);
      return undefined;
    }
    const frame = decodeFrame(message);
    switch (frame.kind) {
      case "data":
      case "closed":
        if (streams instanceof ReferenceStreams) return streams.receive(frame);
        throw new ConnectorError("internal", `The peer sent ${frame.kind} of the other dialect`);
      case "batch":
        if (streams instanceof ReferenceStreams) return undefined;
        throw new ConnectorError("internal", "The peer sent a batch with something else beside it");
      case "ignored":
        return undefined;
      case "status":
      case "destroy": {
        const serviceId = this.#ids.ownOf(frame.serviceId);
        if (serviceId !== undefined) this.#options.onControl({ ...frame, serviceId });
        return undefined;
      }
      default:
        this.#options.onControl(frame);
        return undefined;
    }
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
