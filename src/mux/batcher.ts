// Sends native frames over a link in batches: what is queued within one turn of the event loop leaves in one
// message, control before data, streams in turns. It holds no data: bytes stay in their reader's buffer
// until their batch is made, and while the link is full they wait there.

import { ConnectorError } from "../errors.ts";
import { encodeSmallFrame } from "../wire/native_bodies.ts";
import {
  encodeBatch,
  MAX_SMALL_FRAME_BYTES,
  type QueuedFrame,
  sizeInBatch,
  writeFrame,
  writeSmallFrame,
} from "../wire/native_codec.ts";
import type { DataFrame, NativeFrame } from "../wire/native_frame.ts";
import type { Link } from "./link.ts";

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
/** The most control that may wait for a peer that does not read, in bytes, before it counts as a breach. */
const MAX_CONTROL_BYTES = 1024 * 1024;

/** What is asked and told when the turn of some data has come. */
export interface DataTurn {
  /** Whether it is still to be sent. */
  wanted: () => boolean;
  /** Its batch has been made, or there will be none: its buffer may be reused. */
  done: () => void;
}

interface QueuedData {
  frame: DataFrame;
  turn: DataTurn;
}

/** The sending side of a native session. */
export class Batcher {
  readonly #link: Link;
  readonly #onOverflow: (error: ConnectorError) => void;
  /** The front of the next batch, as far as `#writtenLength`. */
  readonly #written = new Uint8Array(WRITTEN_BYTES + MAX_SMALL_FRAME_BYTES);
  #writtenLength = 0;
  /** Control behind it. */
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  readonly #data = new Queue<QueuedData>();
  #scheduled = false;
  #full = false;
  #ended = false;

  /** `onOverflow` is told when too much waits because the peer does not read. */
  constructor(link: Link, onOverflow: (error: ConnectorError) => void) {
    this.#link = link;
    this.#onOverflow = onOverflow;
  }

  /** Whether what is queued waits until the link takes messages again. */
  get full(): boolean {
    return this.#full && !this.#ended;
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
      this.end();
      const reason = "The peer does not read our answers";
      return this.#onOverflow(new ConnectorError("resource_exhausted", reason));
    }
    this.#control.push(bytes);
    this.#schedule();
  }

  /** Takes a small piece of data at once, if there is room: its buffer may be reused. Returns whether it did. */
  sendSmallData(frame: DataFrame): boolean {
    if (frame.bytes.length > SMALL_DATA_BYTES || !this.#writesNow || this.#ended) return false;
    this.#writtenLength = writeFrame(this.#written, this.#writtenLength, frame);
    this.#schedule();
    return true;
  }

  /** Sends data when its turn comes. */
  sendData(frame: DataFrame, turn: DataTurn): void {
    if (this.#ended) return turn.done();
    this.#data.push({ frame, turn });
    this.#schedule();
  }

  /** Sends what is queued and fits, now. */
  flush(): void {
    this.#scheduled = false;
    while (!this.#full && !this.#ended) {
      const { frames, turns } = this.#nextBatch();
      if (frames.length === 0 && this.#writtenLength === 0) return;
      const written = this.#written.subarray(0, this.#writtenLength);
      this.#writtenLength = 0;
      this.#full = !this.#link.send(encodeBatch(frames, written));
      for (const { done } of turns) done();
      if (this.#full) this.#link.writable().then(() => this.#resume());
    }
  }

  /** Sends nothing more, and lets everybody go who waits. */
  end(): void {
    this.#ended = true;
    this.#writtenLength = 0;
    this.#control = [];
    for (let next = this.#data.shift(); next !== undefined; next = this.#data.shift()) {
      next.turn.done();
    }
  }

  /** Whether a frame can be written into the next batch, behind everything that was sent before. */
  get #writesNow(): boolean {
    return !this.#full && this.#control.length === 0 && this.#writtenLength < WRITTEN_BYTES;
  }

  #resume(): void {
    this.#full = false;
    this.flush();
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
    while (size < BATCH_BYTES) {
      const next = this.#data.shift();
      if (next === undefined) break;
      const { frame, turn } = next;
      if (!turn.wanted()) {
        turn.done();
        continue;
      }
      size += sizeInBatch(frame);
      frames.push(frame);
      turns.push(turn);
    }
    return { frames, turns };
  }

  #schedule(): void {
    if (this.#scheduled || this.#full) return;
    this.#scheduled = true;
    queueMicrotask(() => this.flush());
  }
}

/** A queue drops its used-up front when it is this long, in items, and half of the whole. */
const MIN_COMPACTION = 64;

/** First in, first out, in constant time. */
class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.#head >= MIN_COMPACTION && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
