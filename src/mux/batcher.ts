// Sends native frames over a link in batches: what is queued within one turn of the event loop leaves in one
// message, control before data, streams in turns. It holds no data: bytes stay in their reader's buffer
// until their batch is made, and while the link is full they wait there.

import { ConnectorError } from "../errors.ts";
import {
  encodeBatch,
  encodeSmallFrame,
  type QueuedFrame,
  sizeInBatch,
} from "../wire/native_codec.ts";
import type { DataFrame, NativeFrame } from "../wire/native_frame.ts";
import type { Link } from "./link.ts";

/**
 * A batch takes no more frames once it is this large, in bytes. A data frame may carry it beyond: with the
 * largest, of 128 KiB, it stays within what a peer takes.
 */
const BATCH_BYTES = 120 * 1024;
/** The most control that may wait for a peer that does not read, in bytes, before it counts as a breach. */
const MAX_CONTROL_BYTES = 1024 * 1024;

interface QueuedData {
  frame: DataFrame;
  /** Asked when the turn has come. */
  wanted: () => boolean;
  done: () => void;
}

/** The sending side of a native session. */
export class Batcher {
  readonly #link: Link;
  readonly #onOverflow: (error: ConnectorError) => void;
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

  /** Queues data; resolves when its batch has been made, so that its buffer may be reused. Never rejects. */
  sendData(frame: DataFrame, wanted: () => boolean): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((done) => {
      this.#data.push({ frame, wanted, done });
      this.#schedule();
    });
  }

  /** Sends what is queued and fits, now. */
  flush(): void {
    this.#scheduled = false;
    while (!this.#full && !this.#ended) {
      const frames = this.#nextBatch();
      if (frames.length === 0) return;
      if (this.#link.send(encodeBatch(frames.map(({ frame }) => frame)))) {
        for (const { done } of frames) done?.();
        continue;
      }
      this.#full = true;
      for (const { done } of frames) done?.();
      this.#link.writable().then(() => {
        this.#full = false;
        this.flush();
      });
    }
  }

  /** Sends nothing more, and lets everybody go who waits. */
  end(): void {
    this.#ended = true;
    this.#control = [];
    for (let next = this.#data.shift(); next !== undefined; next = this.#data.shift()) next.done();
  }

  #nextBatch(): { frame: QueuedFrame; done?: () => void }[] {
    const frames: { frame: QueuedFrame; done?: () => void }[] = [];
    let size = 0;
    let taken = 0;
    while (size < BATCH_BYTES && taken < this.#control.length) {
      const frame = this.#control[taken++];
      if (frame === undefined) break;
      this.#controlBytes -= frame.length;
      size += sizeInBatch(frame);
      frames.push({ frame });
    }
    this.#control.splice(0, taken);
    while (size < BATCH_BYTES) {
      const next = this.#data.shift();
      if (next === undefined) break;
      if (!next.wanted()) {
        next.done();
        continue;
      }
      size += sizeInBatch(next.frame);
      frames.push(next);
    }
    return frames;
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
