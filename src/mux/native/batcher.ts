// Makes batches of native frames for the outbox: what is queued within one turn of the event loop leaves in one
// message, control before data, streams in turns. It holds no data: bytes stay in their reader's buffer
// until their batch is made, and while the link or its window is full they wait there. Pings leave from here, since they mark
// how far the peer has received what was sent.

import { ConnectorError } from "../../model/errors.ts";
import { encodeSmallFrame } from "../../wire/native_bodies.ts";
import {
  encodeBatch,
  MAX_SMALL_FRAME_BYTES,
  type QueuedFrame,
  sizeInBatch,
  writeFrame,
  writeSmallFrame,
} from "../../wire/native_codec.ts";
import type { DataFrame, NativeFrame } from "../../wire/native_frame.ts";
import type { Kept } from "../dialect.ts";
import type { DataSource, Outbox } from "../outbox.ts";
import { LinkWindow } from "./link_window.ts";
import { type Share, TurnQueue } from "./turn_queue.ts";

/**
 * A batch takes no more frames once it is this large, in bytes. A data frame may carry it beyond: with the
 * largest, of 128 KiB, it stays within what a peer takes.
 */
const BATCH_BYTES = 120 * 1024;
/**
 * So much of a batch is written while its turn of the event loop lasts, in bytes: control, and data in small pieces.
 * The rest of the batch is for data that waits.
 */
const WRITTEN_BYTES = 32 * 1024;
/** The largest data that is written at once, in bytes: a copy costs less than to wait. */
const SMALL_DATA_BYTES = 2 * 1024;
/** Batches of a window, at least, and the smallest that one is made for that, in bytes: to versions up to 0.1.0 a message proves life once it is whole. */
const BATCHES_PER_WINDOW = 4;
const MIN_BATCH_BYTES = 2 * 1024;
/** The most data that is under way where it is kept until it was received, in bytes: 1 Gbit/s over a path of 250 ms. */
const MAX_KEPT_DATA_BYTES = 32 * 1024 * 1024;
/** A ping follows so many bytes at the latest where they are kept: what was received soon after is young garbage, which is cheap. */
const KEPT_PER_PING_BYTES = 2 * 1024 * 1024;
/** Turns that are not wanted any more and still wait, before all of them are let go. */
const MAX_UNWANTED = 64;
/** The most control that may wait for a peer that does not read, in bytes, before it counts as a breach. */
const MAX_CONTROL_BYTES = 1024 * 1024;

/**
 * Pings without an answer, before it counts as a breach: as many as a window has, and those by which we are heard while a peer
 * that answers any may take ten minutes.
 */
const MAX_UNANSWERED = 200;

/** What is asked and told when the turn of some data has come. */
export interface DataTurn {
  /** Whether it is still to be sent. */
  wanted: () => boolean;
  /** Its batch has been made, or there will be none: its buffer may be reused. */
  done: () => void;
  /** What its stream has had. */
  share: Share;
}

interface QueuedData {
  frame: DataFrame;
  turn: DataTurn;
}

/** What a batcher needs. */
export interface BatcherOptions {
  /** Told when too much waits because the peer does not read, or too much is unanswered. */
  onOverflow: (error: ConnectorError) => void;
  /** Whether the numbers of the peer's pings are its clock. */
  hearsClock: boolean;
  /** What is kept of what was sent until the peer has answered a ping behind it. Default: nothing. */
  kept?: Kept | undefined;
}

/** The sending side of a native session. */
export class Batcher implements DataSource {
  readonly #outbox: Outbox;
  readonly #onOverflow: BatcherOptions["onOverflow"];
  readonly #hearsClock: boolean;
  /** The front of the next batch, as far as `#writtenLength`. */
  readonly #written = new Uint8Array(WRITTEN_BYTES + MAX_SMALL_FRAME_BYTES);
  #writtenLength = 0;
  /** Control behind it. */
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  readonly #data = new TurnQueue<QueuedData>();
  #unwanted = 0;
  readonly #window: LinkWindow;
  readonly #kept: Kept | undefined;
  /** For each ping without an answer, how many messages were sent before it. */
  readonly #sentBefore: number[] = [];
  #scheduled = false;
  #ended = false;

  constructor(outbox: Outbox, { onOverflow, hearsClock, kept }: BatcherOptions) {
    this.#outbox = outbox;
    this.#onOverflow = onOverflow;
    this.#hearsClock = hearsClock;
    this.#kept = kept;
    this.#window = new LinkWindow(
      kept && { maxBytes: MAX_KEPT_DATA_BYTES, maxUnmarkedBytes: KEPT_PER_PING_BYTES },
    );
    outbox.attach(this);
  }

  /** The round trip to the peer without a queue, in milliseconds. */
  get roundTrip(): number {
    return this.#window.roundTrip;
  }

  /** The same; undefined until it was measured. */
  get measuredRoundTrip(): number | undefined {
    return this.#window.measuredRoundTrip;
  }

  /** The most bytes that one data frame is to have now. */
  get partBytes(): number {
    return this.#window.partBytes;
  }

  /** Sends a ping. */
  ping(): void {
    if (this.#ended) return;
    if (this.#window.unanswered >= MAX_UNANSWERED) {
      return this.#giveUp("The peer leaves too many of our pings unanswered");
    }
    this.send({ kind: "ping", nonce: this.#mark() });
  }

  /** Answers a ping of the peer. */
  answerPing(nonce: number): void {
    if (this.#hearsClock) this.#window.ping(nonce, performance.now());
    this.send({ kind: "pong", nonce });
  }

  /** Takes the answer to a ping. @throws {ConnectorError} `internal` when it answers none, or not the next. */
  pong(nonce: number): void {
    this.#window.answer(nonce, performance.now());
    if (this.#kept) this.#kept.acknowledge(this.#sentBefore.shift() ?? 0);
    if (this.#data.length > 0 || this.#window.wantsMark) this.#schedule();
  }

  /** Queues a frame that is not data, ahead of all data. */
  send(frame: Exclude<NativeFrame, DataFrame>): void {
    if (this.#ended) return;
    if (this.#writesNow) {
      this.#writtenLength = writeSmallFrame(this.#written, this.#writtenLength, frame);
      return this.#schedule();
    }
    const bytes = encodeSmallFrame(frame);
    this.#controlBytes += bytes.length;
    if (this.#controlBytes > MAX_CONTROL_BYTES) {
      return this.#giveUp("The peer does not read our answers");
    }
    this.#control.push(bytes);
    this.#schedule();
  }

  /** Takes a small piece of data at once, if there is room: its buffer may be reused. Returns whether it did. */
  sendSmallData(frame: DataFrame, share: Share): boolean {
    const { length } = frame.bytes;
    if (length > SMALL_DATA_BYTES || !this.#writesNow || this.#ended) return false;
    if (!this.#hasRoom && !(this.#hasRoomForFirst && this.#data.charge(share, length))) {
      return false;
    }
    this.#writtenLength = writeFrame(this.#written, this.#writtenLength, frame);
    this.#schedule();
    return true;
  }

  /** Sends data when its turn comes. */
  sendData(frame: DataFrame, turn: DataTurn): void {
    if (this.#ended) return turn.done();
    this.#data.push({ frame, turn }, { share: turn.share, bytes: frame.bytes.length });
    this.#schedule();
  }

  /** Some data that waits is not wanted any more. */
  unwanted(): void {
    this.#unwanted += 1;
    if (this.#unwanted < MAX_UNWANTED || this.#unwanted < this.#data.length / 2) return;
    this.#unwanted = 0;
    this.#data.sweep(({ turn }) => {
      const wanted = turn.wanted();
      if (!wanted) turn.done();
      return wanted;
    });
  }

  /** Sends what is queued and fits, now. */
  flush(): void {
    this.#scheduled = false;
    this.#outbox.pump();
  }

  /** Sends a last frame, even if the link is full: behind what is queued and fits, in front of all else. */
  sendLast(frame: Exclude<NativeFrame, DataFrame>): void {
    this.flush();
    this.#outbox.send(encodeBatch([encodeSmallFrame(frame)]));
  }

  next(): Uint8Array | undefined {
    if (this.#ended) return undefined;
    const { frames, turns } = this.#nextBatch();
    if (frames.length === 0 && this.#writtenLength === 0) return undefined;
    const message = encodeBatch(frames, this.#written.subarray(0, this.#writtenLength));
    this.#writtenLength = 0;
    for (const { done } of turns) done();
    return message;
  }

  /** Another link carries what was under way, and what follows: nothing is known of its path. */
  resume(): void {
    this.#window.restart();
    if (this.#data.length > 0) this.#schedule();
  }

  abort(): void {
    this.#ended = true;
    this.#writtenLength = 0;
    this.#control = [];
    for (let next = this.#data.shift(); next !== undefined; next = this.#data.shift()) {
      next.turn.done();
    }
  }

  /** Whether a frame can be written into the next batch, behind everything that was sent before. */
  get #writesNow(): boolean {
    return !this.#outbox.full && this.#control.length === 0 && this.#writtenLength < WRITTEN_BYTES;
  }

  /** Whether the window takes data, and whether it takes that of streams that have had little. */
  get #hasRoom(): boolean {
    return this.#window.room > this.#writtenLength && this.#data.length === 0;
  }

  get #hasRoomForFirst(): boolean {
    return this.#window.room - this.#writtenLength > -this.partBytes;
  }

  /** Number of the next ping. */
  #mark(): number {
    if (this.#kept) this.#sentBefore.push(this.#kept.sent);
    return this.#window.mark(performance.now());
  }

  #giveUp(reason: string): void {
    this.abort();
    this.#onOverflow(new ConnectorError("resource_exhausted", reason));
  }

  #nextBatch(): { frames: QueuedFrame[]; turns: DataTurn[] } {
    const frames: QueuedFrame[] = [];
    const turns: DataTurn[] = [];
    let size = this.#writtenLength;
    let taken = 0;
    while (size < BATCH_BYTES && taken < this.#control.length) {
      const frame = this.#control[taken++];
      if (frame === undefined) break;
      this.#controlBytes -= frame.length;
      size += sizeInBatch(frame);
      frames.push(frame);
    }
    if (taken > 0) this.#control.splice(0, taken);
    const most = Math.max(
      MIN_BATCH_BYTES,
      Math.min(BATCH_BYTES, this.#window.size / BATCHES_PER_WINDOW),
    );
    let room = this.#window.room - size;
    while (size < most) {
      // A stream that has had little may go a little beyond the window.
      if (room <= 0 && !(room > -this.partBytes && this.#data.nextIsFirst)) break;
      const next = this.#data.shift();
      if (next === undefined) break;
      const { frame, turn } = next;
      if (!turn.wanted()) {
        turn.done();
        continue;
      }
      size += sizeInBatch(frame);
      room -= sizeInBatch(frame);
      frames.push(frame);
      turns.push(turn);
    }
    if (room <= 0 && this.#data.length > 0) this.#window.limit();
    this.#window.send(size);
    // Pings leave in their order, so not before one that waits.
    if (this.#control.length === 0 && this.#window.wantsMark) {
      frames.push(encodeSmallFrame({ kind: "ping", nonce: this.#mark() }));
    }
    return { frames, turns };
  }

  #schedule(): void {
    if (this.#scheduled || this.#outbox.full) return;
    this.#scheduled = true;
    queueMicrotask(() => this.flush());
  }
}
