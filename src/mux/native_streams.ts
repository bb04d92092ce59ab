// The streams of one session in the native dialect: numbers, limits, the table, and which frame goes where.
// Everything that a peer may not do is refused here or in the stream, by throwing: the session ends then.

import { ConnectorError } from "../errors.ts";
import { decodeBatch } from "../wire/native_codec.ts";
import { breach, MAX_STREAM_ID, type NativeFrame } from "../wire/native_frame.ts";
import type { Batcher, DataTurn } from "./batcher.ts";
import type { PeerLimits, SessionLimits } from "../limits.ts";
import { Roster } from "../roster.ts";
import type { Liveness } from "./liveness.ts";
import type { NativeCarrier } from "./native_carrier.ts";
import { NativeStream } from "./native_stream.ts";
import type { OnStream, Stream } from "./stream.ts";
import { StreamTable } from "./stream_table.ts";
import { ReceiveWindow, SendWindow, WindowBudget } from "./window.ts";

/** What a session's streams need. */
export interface NativeStreamsOptions {
  role: "dialler" | "acceptor";
  /** What we let the peer do. */
  limits: SessionLimits;
  /** What the peer lets us do. */
  peerLimits: PeerLimits;
  batcher: Batcher;
  liveness: Liveness;
  onStream: OnStream;
  /** The peer ends the session. */
  onGoAway: (frame: NativeFrame & { kind: "goAway" }) => void;
  /** The numbers are used up: a new link is needed. */
  onExhausted: () => void;
}

/** The data half of a session with a peer that negotiated the native dialect. */
export class NativeStreams implements NativeCarrier {
  readonly maxFrameBytes: number;
  readonly #options: NativeStreamsOptions;
  readonly #budget: WindowBudget;
  readonly #streams = new StreamTable();
  /** Ours that wait to be opened, because the peer has enough to answer. */
  readonly #waiting: NativeStream[] = [];
  readonly #count = { ours: 0, theirs: 0 };
  readonly #unanswered = { ours: 0, theirs: 0 };
  /** The highest number used by either side. */
  readonly #last: { ours: number; theirs: number };
  /** Streams whose bytes wait for their readers, those too that are forgotten otherwise; and how many bytes. */
  readonly #holders = new Roster<NativeStream>();
  #waitingBytes = 0;

  constructor(options: NativeStreamsOptions) {
    this.#options = options;
    this.maxFrameBytes = Math.min(options.peerLimits.frame, options.limits.frame);
    this.#budget = new WindowBudget(options.limits.budget / 2);
    const isDialler = options.role === "dialler";
    this.#last = { ours: isDialler ? -1 : 0, theirs: isDialler ? 0 : -1 };
  }

  get roundTrip(): number {
    return this.#options.liveness.roundTrip;
  }

  get now(): number {
    return performance.now();
  }

  /** How many streams are open. */
  get size(): number {
    return this.#count.ours + this.#count.theirs;
  }

  /**
   * Opens a stream to the peer's destination.
   *
   * @throws {ConnectorError} `resource_exhausted` when the peer takes no more, or the numbers are used up.
   */
  open(serviceId: string, visitor: string): Stream {
    const { peerLimits, limits } = this.#options;
    if (this.#count.ours >= peerLimits.streams) {
      const reason = `The peer takes no more than ${peerLimits.streams} streams`;
      throw new ConnectorError("resource_exhausted", reason);
    }
    if (this.#last.ours + 2 * this.#waiting.length > MAX_STREAM_ID - 2) {
      this.#options.onExhausted();
      throw new ConnectorError("resource_exhausted", "The numbers of this link are used up");
    }
    const stream = new NativeStream({
      serviceId,
      visitor,
      ours: true,
      sendWindow: new SendWindow(peerLimits.window),
      receiveWindow: this.#receiveWindow(limits),
    }, this);
    this.#count.ours += 1;
    this.#waiting.push(stream);
    this.#openWaiting();
    return stream;
  }

  /**
   * Takes a batch of the peer.
   *
   * @throws {ConnectorError} when anything in it is not allowed.
   */
  receive(message: Uint8Array): void {
    decodeBatch(message, (frame) => this.#dispatch(frame));
    while (this.#waitingBytes > this.#options.limits.budget) this.#resetLargest();
  }

  /** Ends every stream: the link is gone. */
  end(reason: ConnectorError): void {
    for (const stream of [...this.#streams.all(), ...this.#waiting]) stream.linkLost(reason);
    this.#streams.clear();
    this.#waiting.length = 0;
    this.#count.ours = this.#count.theirs = 0;
  }

  send(frame: Exclude<NativeFrame, { kind: "data" }>): void {
    this.#options.batcher.send(frame);
  }

  sendSmallData(stream: number, bytes: Uint8Array): boolean {
    return this.#options.batcher.sendSmallData({ kind: "data", stream, bytes });
  }

  sendData(stream: number, bytes: Uint8Array, turn: DataTurn): void {
    this.#options.batcher.sendData({ kind: "data", stream, bytes }, turn);
  }

  release(stream: NativeStream, count: number): void {
    this.#waitingBytes -= count;
    if (stream.waitingBytes === 0) this.#holders.delete(stream);
  }

  answered(stream: NativeStream): void {
    this.#unanswered[stream.ours ? "ours" : "theirs"] -= 1;
    if (stream.ours) this.#openWaiting();
  }

  forget(stream: NativeStream): void {
    if (this.#streams.get(stream.id) === stream) {
      this.#streams.delete(stream.id);
    } else {
      const place = this.#waiting.indexOf(stream);
      if (place < 0) return;
      this.#waiting.splice(place, 1);
    }
    this.#count[stream.ours ? "ours" : "theirs"] -= 1;
  }

  #openWaiting(): void {
    while (this.#unanswered.ours < this.#options.peerLimits.opens) {
      const stream = this.#waiting.shift();
      if (stream === undefined) return;
      this.#last.ours += 2;
      this.#unanswered.ours += 1;
      stream.opening(this.#last.ours);
      this.#streams.add(stream);
      const { id, serviceId, visitor } = stream;
      this.send({ kind: "open", stream: id, serviceId, visitor });
    }
  }

  #dispatch(frame: NativeFrame): void {
    switch (frame.kind) {
      case "data":
        return this.#receiveData(frame);
      case "open":
        return this.#receiveOpen(frame);
      case "opened":
        return this.#find(frame).receiveOpened();
      case "finish":
        return this.#find(frame).receiveFinish();
      case "reset":
        return this.#findOrCrossed(frame)?.receiveReset(frame.reason);
      case "grant":
        return this.#findOrCrossed(frame)?.receiveGrant(frame.offset);
      case "ping":
        return this.send({ kind: "pong", nonce: frame.nonce });
      case "pong":
        return this.#options.liveness.pong(frame.nonce);
      case "goAway":
        return this.#options.onGoAway(frame);
    }
  }

  #receiveData(frame: NativeFrame & { kind: "data" }): void {
    const { length } = frame.bytes;
    if (length > this.#options.limits.frame) throw breach(`a data frame of ${length} bytes`);
    const stream = this.#find(frame);
    const cost = stream.receiveData(frame.bytes);
    if (cost === 0) return;
    this.#waitingBytes += cost;
    if (!this.#holders.has(stream)) this.#holders.add(stream);
  }

  #receiveOpen(frame: NativeFrame & { kind: "open" }): void {
    const { limits, peerLimits, onStream } = this.#options;
    const { stream: id, serviceId, visitor } = frame;
    if (!this.#isTheirs(id)) throw breach(`open on stream ${id}, whose number is not its own`);
    if (id <= this.#last.theirs) throw breach(`open on stream ${id} after ${this.#last.theirs}`);
    if (this.#count.theirs >= limits.streams) throw breach(`more than ${limits.streams} streams`);
    if (this.#unanswered.theirs >= limits.opens) {
      throw breach(`more than ${limits.opens} streams that wait to be opened`);
    }
    const stream = new NativeStream({
      serviceId,
      visitor,
      ours: false,
      sendWindow: new SendWindow(peerLimits.window),
      receiveWindow: this.#receiveWindow(limits),
    }, this).adopt(id);
    this.#last.theirs = id;
    this.#count.theirs += 1;
    this.#unanswered.theirs += 1;
    this.#streams.add(stream);
    onStream(stream);
  }

  /** Not reading on would stop every stream, and the answers to pings: one stream pays instead. */
  #resetLargest(): void {
    let largest: NativeStream | undefined;
    for (const stream of this.#holders.all()) {
      if (stream.waitingBytes > (largest?.waitingBytes ?? 0)) largest = stream;
    }
    if (largest === undefined) throw new TypeError("bytes wait in no stream");
    largest.reset("limit", "too much waits for slow readers over this link");
  }

  #find(frame: NativeFrame & { stream: number }): NativeStream {
    const stream = this.#streams.get(frame.stream);
    if (stream === undefined) {
      throw breach(`${frame.kind} on stream ${frame.stream}, which is not open`);
    }
    return stream;
  }

  /** Undefined for a stream that was open once: the frame may have crossed its end. */
  #findOrCrossed(frame: NativeFrame & { stream: number }): NativeStream | undefined {
    const { stream: id } = frame;
    const last = this.#isTheirs(id) ? this.#last.theirs : this.#last.ours;
    return id <= last ? this.#streams.get(id) : this.#find(frame);
  }

  #isTheirs(id: number): boolean {
    return (id % 2 === 1) === (this.#options.role === "acceptor");
  }

  #receiveWindow({ window, maxWindow }: SessionLimits): ReceiveWindow {
    return new ReceiveWindow({ initialBytes: window, maxBytes: maxWindow, budget: this.#budget });
  }
}
