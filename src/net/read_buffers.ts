// The buffers that a TCP connection is read into, and the reader that waits for them: two buffers
// that take turns and adapt their size. It knows nothing of sockets, of writing, or of how a
// connection ends.

import type { ConnectorError } from "../model/errors.ts";

/** The smallest read buffer, in bytes: an idle connection pins two. */
const MIN_READ_BYTES = 1024;
/**
 * The largest read buffer, in bytes: what makes a read cheap for bulk, and one turn of a stream. With the headers
 * of its frame, batch and message it just fills four HTTP/2 frames of 16 KiB: the runtime sends each by itself.
 */
const MAX_READ_BYTES = 64 * 1024 - 64;
/** So many reads in a row that leave seven eighths of the buffer empty halve it. */
const SMALL_READS_TO_SHRINK = 8;

/** The smallest buffers are parts of one: making each by itself would cost as much as reading into it. */
const SLAB_BYTES = 8 * MIN_READ_BYTES;

const EMPTY = new Uint8Array(0);

let slab = EMPTY;

/** Nothing is ever given back to a slab: it lives as long as one of its parts is referred to. */
function makeBuffer(size: number): Uint8Array {
  if (size !== MIN_READ_BYTES) return new Uint8Array(size);
  if (slab.length === 0) slab = new Uint8Array(SLAB_BYTES);
  const part = slab.subarray(0, size);
  slab = slab.subarray(size);
  return part;
}

/** The reader that waits for bytes. */
interface Reader {
  resolve: (bytes: Uint8Array | null) => void;
  reject: (error: ConnectorError) => void;
}

/**
 * Two buffers take turns: the reader holds one while the other is filled; then nothing is read until the reader
 * comes back.
 */
export class ReadBuffers {
  readonly #buffers: [Uint8Array, Uint8Array] = [EMPTY, EMPTY];
  #filling: 0 | 1 = 0;
  #size = MIN_READ_BYTES;
  #smallReads = 0;
  /** Bytes that came while nobody was waiting for them. Nothing is read until they are taken. */
  #waiting: Uint8Array | undefined;
  #reader: Reader | undefined;
  #ended = false;
  /** Makes the error when it is asked for: most connections are closed when nobody reads any more. */
  #failure: (() => ConnectorError) | undefined;

  /** Whether the other side has finished. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What came while nobody was waiting for it. */
  get waiting(): Uint8Array | undefined {
    return this.#waiting;
  }

  /** Takes what came while nobody was waiting: more may be read then. */
  take(): Uint8Array | undefined {
    const bytes = this.#waiting;
    this.#waiting = undefined;
    return bytes;
  }

  /** The next bytes, null at the end. For one reader at a time, when nothing waits. */
  next(): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      const reader = { resolve, reject };
      if (this.#over) this.#dismiss(reader);
      else this.#reader = reader;
    });
  }

  /** The buffer to read into. */
  toFill(): Uint8Array {
    const buffer = this.#buffers[this.#filling];
    if (buffer.length === this.#size) return buffer;
    return this.#buffers[this.#filling] = makeBuffer(this.#size);
  }

  /** So many bytes were read into it. Returns whether more may be read: nobody holds the other buffer. */
  filled(count: number): boolean {
    const buffer = this.#buffers[this.#filling];
    const bytes = buffer.subarray(0, count);
    this.#filling = this.#filling === 0 ? 1 : 0;
    this.#adapt(count, buffer.length);
    const reader = this.#reader;
    if (reader === undefined) {
      this.#waiting = bytes;
      return false;
    }
    this.#reader = undefined;
    reader.resolve(bytes);
    return true;
  }

  /** The other side has finished: what has arrived can still be read. */
  finish(): void {
    this.#ended = true;
    this.#dismissReader();
  }

  /** The connection is gone; what has arrived can still be read. The first reason counts. */
  fail(makeError: () => ConnectorError): void {
    this.#failure ??= makeError;
    this.#dismissReader();
  }

  get #over(): boolean {
    return this.#ended || this.#failure !== undefined;
  }

  /** Nothing more comes: tells the reader how it ended. */
  #dismiss({ resolve, reject }: Reader): void {
    if (this.#ended || this.#failure === undefined) resolve(null);
    else reject(this.#failure());
  }

  #dismissReader(): void {
    const reader = this.#reader;
    this.#reader = undefined;
    if (reader !== undefined) this.#dismiss(reader);
  }

  #adapt(count: number, size: number): void {
    if (count === size && size < MAX_READ_BYTES) {
      this.#size = Math.min(size * 4, MAX_READ_BYTES);
      this.#smallReads = 0;
    } else if (count <= size / 8 && size > MIN_READ_BYTES) {
      this.#smallReads += 1;
      if (this.#smallReads < SMALL_READS_TO_SHRINK) return;
      this.#size = Math.max(size / 2, MIN_READ_BYTES);
      this.#smallReads = 0;
    } else {
      this.#smallReads = 0;
    }
  }
}
