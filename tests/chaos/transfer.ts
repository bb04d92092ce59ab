// Sends and receives the streams of a chaos run over a socket, at either end.

import { delay } from "../../src/delay.ts";
import { bytesOf, type StreamCheck } from "./bytes.ts";
import type { Stream } from "./plan.ts";
import { deriveSeed, Rng } from "./random.ts";
import type { TestSocket } from "./socket.ts";
import type { StallWatch } from "./stall.ts";

/** The largest chunk that is written at once, in bytes. */
const MAX_CHUNK_BYTES = 128 * 1024;
/** The same of a slow sender, in bytes. */
const MAX_SLOW_CHUNK_BYTES = 8 * 1024;

/** What a transfer goes over. */
export interface Way {
  socket: TestSocket;
  watch: StallWatch;
  /** The longest pause between two chunks, in milliseconds. */
  paceMs: number;
}

/** Sends a stream, or its first `length` bytes, in chunks of random sizes. */
export async function sendStream(
  { socket, watch, paceMs }: Way,
  stream: Stream,
  length = stream.length,
): Promise<void> {
  const rng = new Rng(deriveSeed(stream.seed, stream.length));
  const largest = paceMs > 0 ? MAX_SLOW_CHUNK_BYTES : MAX_CHUNK_BYTES;
  for (let offset = 0; offset < length;) {
    const count = Math.min(rng.logInt(1, largest), length - offset);
    await socket.write(bytesOf(stream, offset, count));
    watch.moved();
    offset += count;
    if (paceMs > 0) await delay(rng.int(0, paceMs));
  }
}

/** Verifies what comes, to its end in order. @throws {Error} when it is reset. */
export async function receiveStream({ socket, watch }: Way, check: StreamCheck): Promise<void> {
  for await (const chunk of socket.chunks()) {
    watch.moved();
    check.take(chunk);
  }
}

/** Reads a header of four bytes of a magic number and four of a value. */
export class HeaderReader {
  readonly #bytes = new Uint8Array(8);
  #length = 0;

  /** How much of it has come, in bytes. */
  get length(): number {
    return this.#length;
  }

  /** Its value; undefined until it is complete, null when it is none. */
  get value(): number | null | undefined {
    if (this.#length < 8) return undefined;
    const view = new DataView(this.#bytes.buffer);
    return view.getUint32(0) === MAGIC ? view.getUint32(4) : null;
  }

  /** Takes what belongs to it and returns the rest. */
  take(chunk: Uint8Array): Uint8Array {
    const count = Math.min(8 - this.#length, chunk.length);
    this.#bytes.set(chunk.subarray(0, count), this.#length);
    this.#length += count;
    return chunk.subarray(count);
  }
}

const MAGIC = 0xc4a05c4a;

/** What `HeaderReader` reads. */
export function header(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, MAGIC);
  new DataView(bytes.buffer).setUint32(4, value);
  return bytes;
}
