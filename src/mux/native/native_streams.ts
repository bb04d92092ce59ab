// The streams of one session in the native dialect: numbers, limits, the table, and which frame goes where.
// Everything that a peer may not do is refused here or in the stream, by throwing: the session ends then.

import { ConnectorError } from "../../model/errors.ts";
import { breach, MAX_STREAM_ID, type NativeFrame } from "../../wire/native_frame.ts";
import type { Batcher, DataTurn } from "./batcher.ts";
import type { Role } from "../dialect.ts";
import type { PeerLimits, SessionLimits } from "../../model/limits.ts";
import { SwapSet } from "../../swap_set.ts";
import type { NativeCarrier } from "./native_carrier.ts";
import { NativeStream } from "./native_stream.ts";
import { OpenQueue } from "./open_queue.ts";
import { Places } from "../service_places.ts";
import type { OnStream, OpenOptions, Stream } from "../stream.ts";
import { StreamTable } from "./stream_table.ts";
import type { Share } from "./turn_queue.ts";
import { ReceiveWindow, SendWindow, WindowBudget } from "./window.ts";

/** How often it is looked at who has waited for too long, in milliseconds: longer than a live destination takes. */
const LOOK_MS = 1000;
/** The longest that an open waits to be sent, in milliseconds: as long as a destination may take to answer. */
const MAX_WAIT_MS = 10_000;
/** Once this part of the peer's opens has no answer, those of services that have too many are given up. */
const CROWDED_PART = 7 / 8;
const WAITED = "too many visitors wait for the destination of this service";
const SILENT = "the destination has not answered, and other visitors wait";

/** A frame about one stream. */
export type StreamFrame = Exclude<NativeFrame, { kind: "ping" | "pong" | "goAway" }>;

/** What a session's streams need. */
export interface NativeStreamsOptions {
  role: Role;
  /** What we let the peer do. */
  limits: SessionLimits;
  /** What the peer lets us do. */
  peerLimits: PeerLimits;
  batcher: Batcher;
  onStream: OnStream;
  /** The numbers are used up: a new link is needed. */
  onExhausted: () => void;
}

/** The data half of a session with a peer that negotiated the native dialect. */
export class NativeStreams implements NativeCarrier<NativeStream> {
  readonly #maxFrameBytes: number;
  readonly #options: NativeStreamsOptions;
  readonly #budget: WindowBudget;
  readonly #streams = new StreamTable();
  /** Ours that wait to be opened, because the peer has enough to answer of their service. */
  readonly #waiting = new OpenQueue<NativeStream>((stream) => this.#open(stream));
  #places: Record<"ours" | "theirs", Places>;
  /** Runs while opens wait, or many of the peer's are without an answer. */
  #looking: ReturnType<typeof setTimeout> | undefined;
  #suspended = false;
  /** The numbers that were the last at the last look: what was opened before has waited for a while. */
  #lastAtLook = { ours: -1, theirs: -1 };
  /** The highest number used by either side. */
  readonly #last: { ours: number; theirs: number };
  /** Streams whose bytes wait for their readers, those too that are forgotten otherwise; and how many bytes. */
  readonly #buffering = new SwapSet<NativeStream>();
  #waitingBytes = 0;

  constructor(options: NativeStreamsOptions) {
    this.#options = options;
    this.#maxFrameBytes = Math.min(options.peerLimits.frame, options.limits.frame);
    this.#budget = new WindowBudget(options.limits.budget / 2);
    const isDialler = options.role === "dialler";
    this.#last = { ours: isDialler ? -1 : 0, theirs: isDialler ? 0 : -1 };
    this.#places = { ours: new Places(options.peerLimits), theirs: new Places(options.limits) };
  }

  get maxFrameBytes(): number {
    return Math.min(this.#maxFrameBytes, this.#options.batcher.partBytes);
  }

  get roundTrip(): number {
    return this.#options.batcher.roundTrip;
  }

  get now(): number {
    return performance.now();
  }

  /** How many streams are open. */
  get size(): number {
    return this.#places.ours.streams.taken + this.#places.theirs.streams.taken;
  }

  /** Bytes that wait for slow readers, with what each chunk costs. */
  get heldBytes(): number {
    return this.#waitingBytes;
  }

  /** How many streams of each service are open, without those that were reset and wait for the peer's word. */
  get counts(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { serviceId, failed } of [...this.#streams.all(), ...this.#waiting.all()]) {
      if (!failed) counts.set(serviceId, (counts.get(serviceId) ?? 0) + 1);
    }
    return counts;
  }

  /** There is no link for now: nobody's answer is late. */
  suspend(): void {
    this.#suspended = true;
    clearTimeout(this.#looking);
    this.#looking = undefined;
  }

  /** There is one again. */
  resume(): void {
    this.#suspended = false;
    this.#waiting.restart();
    if (this.#waiting.size > 0 || this.#isCrowded) this.#lookSoon();
  }

  /**
   * Opens a stream to the peer's destination.
   *
   * @throws {ConnectorError} `resource_exhausted` when the service may have no more of what the peer takes, or the numbers are
   *   used up.
   */
  open(serviceId: string, visitor: string, { passages = 0 }: OpenOptions = {}): Stream {
    const { peerLimits, limits } = this.#options;
    if (this.#last.ours + 2 * this.#waiting.size > MAX_STREAM_ID - 2) {
      this.#options.onExhausted();
      throw new ConnectorError("resource_exhausted", "The numbers of this link are used up");
    }
    const places = this.#places.ours.enter(serviceId);
    if (places === undefined) {
      const reason = `The peer takes ${peerLimits.streams} streams, ` +
        "and this service has used its share";
      throw new ConnectorError("resource_exhausted", reason);
    }
    const stream = new NativeStream({
      serviceId,
      visitor,
      passages,
      ours: true,
      sendWindow: new SendWindow(peerLimits.window),
      receiveWindow: this.#receiveWindow(limits),
    }, this);
    if (this.#waiting.add(stream, places.opens)) this.#lookSoon();
    return stream;
  }

  /**
   * Takes a frame of the peer.
   *
   * @throws {ConnectorError} when it is not allowed.
   */
  receive(frame: StreamFrame): void {
    switch (frame.kind) {
      case "data":
        return this.#receiveData(frame);
      case "open":
        return this.#receiveOpen(frame);
      case "opened":
        return this.#find(frame).receiveOpened(frame.dialled);
      case "finish":
        return this.#find(frame).receiveFinish();
      case "reset":
        return this.#findOrCrossed(frame)?.receiveReset(frame.reason);
      case "grant":
        return this.#findOrCrossed(frame)?.receiveGrant(frame.offset);
    }
  }

  /** Resets streams until no more bytes wait for slow readers than may; after each batch. */
  keepToBudget(): void {
    while (this.#waitingBytes > this.#options.limits.budget) this.#resetLargest();
  }

  /** Ends every stream: nothing more can be sent. */
  abort(reason: ConnectorError): void {
    clearTimeout(this.#looking);
    for (const stream of [...this.#streams.all(), ...this.#waiting.all()]) stream.linkLost(reason);
    this.#streams.clear();
    this.#waiting.clear();
    const { limits, peerLimits } = this.#options;
    this.#places = { ours: new Places(peerLimits), theirs: new Places(limits) };
  }

  send(frame: Exclude<NativeFrame, { kind: "data" }>): void {
    this.#options.batcher.send(frame);
  }

  sendSmallData(stream: number, bytes: Uint8Array, share: Share): boolean {
    return this.#options.batcher.sendSmallData({ kind: "data", stream, bytes }, share);
  }

  sendData(stream: number, bytes: Uint8Array, turn: DataTurn): void {
    this.#options.batcher.sendData({ kind: "data", stream, bytes }, turn);
  }

  unwanted(): void {
    this.#options.batcher.unwanted();
  }

  release(stream: NativeStream, count: number): void {
    this.#waitingBytes -= count;
    if (stream.waitingBytes === 0) this.#buffering.delete(stream);
  }

  answered(stream: NativeStream): void {
    this.#placesOf(stream).opensOf(stream.serviceId).give();
    if (stream.ours) this.#waiting.serve();
  }

  forget(stream: NativeStream): void {
    const places = this.#placesOf(stream);
    if (this.#streams.get(stream.id) === stream) this.#streams.delete(stream.id);
    else if (!this.#waiting.delete(stream, places.opensOf(stream.serviceId))) return;
    places.leave(stream.serviceId);
  }

  #placesOf(stream: NativeStream): Places {
    return this.#places[stream.ours ? "ours" : "theirs"];
  }

  #open(stream: NativeStream): void {
    this.#last.ours += 2;
    stream.opening(this.#last.ours);
    this.#streams.add(stream);
    const { id, serviceId, visitor, passages } = stream;
    const frame = { kind: "open", stream: id, serviceId, visitor } as const;
    this.send(passages > 0 ? { ...frame, passages } : frame);
  }

  /** Whether a peer that does not divide its opens between services has hardly any left. */
  get #isCrowded(): boolean {
    return this.#places.theirs.opens.taken > this.#options.limits.opens * CROWDED_PART;
  }

  /** Looks later at who has waited for too long; again and again as long as anybody waits. */
  #lookSoon(): void {
    if (this.#looking !== undefined || this.#suspended) return;
    this.#lastAtLook = { ...this.#last };
    this.#looking = setTimeout(() => this.#look(), LOOK_MS);
  }

  #look(): void {
    this.#looking = undefined;
    for (const stream of this.#waiting.olderThan(MAX_WAIT_MS)) stream.reset("limit", WAITED);
    const crowded = this.#isCrowded;
    for (const stream of this.#streams.all()) {
      const { ours, theirs } = this.#lastAtLook;
      if (!stream.unanswered || stream.id > (stream.ours ? ours : theirs)) continue;
      const opens = this.#placesOf(stream).opensOf(stream.serviceId);
      if (stream.ours) {
        // A visitor that leaves in order looks the same, and a place is wanted.
        if (stream.finished && this.#waiting.isAwaited(opens)) stream.reset("limit", SILENT);
      } else if (crowded && opens.taken > opens.limit) stream.reset("limit", SILENT);
    }
    if (this.#waiting.size > 0 || this.#isCrowded) this.#lookSoon();
  }

  #receiveData(frame: NativeFrame & { kind: "data" }): void {
    const { length } = frame.bytes;
    if (length > this.#options.limits.frame) throw breach(`a data frame of ${length} bytes`);
    const stream = this.#find(frame);
    const cost = stream.receiveData(frame.bytes);
    if (cost === 0) return;
    this.#waitingBytes += cost;
    if (!this.#buffering.has(stream)) this.#buffering.add(stream);
  }

  #receiveOpen(frame: NativeFrame & { kind: "open" }): void {
    const { limits, peerLimits, onStream } = this.#options;
    const { stream: id, serviceId, visitor, passages = 0 } = frame;
    if (!this.#isTheirs(id)) throw breach(`open on stream ${id}, whose number is not its own`);
    if (id <= this.#last.theirs) throw breach(`open on stream ${id} after ${this.#last.theirs}`);
    const { streams, opens } = this.#places.theirs;
    if (streams.taken >= limits.streams) throw breach(`more than ${limits.streams} streams`);
    if (opens.taken >= limits.opens) {
      throw breach(`more than ${limits.opens} streams that wait to be opened`);
    }
    const stream = new NativeStream({
      serviceId,
      visitor,
      passages,
      ours: false,
      sendWindow: new SendWindow(peerLimits.window),
      receiveWindow: this.#receiveWindow(limits),
    }, this).adopt(id);
    this.#last.theirs = id;
    this.#streams.add(stream);
    const fits = this.#places.theirs.takeOver(serviceId);
    if (this.#isCrowded) this.#lookSoon();
    if (fits) onStream(stream);
    else stream.reset("limit", "the service has used its share of the streams of this link");
  }

  /** Not reading on would stop every stream, and the answers to pings: one stream pays instead. */
  #resetLargest(): void {
    let largest: NativeStream | undefined;
    for (const stream of this.#buffering.all()) {
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
