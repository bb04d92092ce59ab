// The bytes that a chaos run moves. Each stream is a stretch of one long pseudo-random block, chosen by its seed, so
// that either end can make and verify it without keeping it. A byte that is lost, doubled or of another stream shows.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Stream } from "./plan.ts";
import { Rng } from "./random.ts";

/** In bytes; a prime, so that no buffer or frame divides it. */
const BLOCK_BYTES = 1_048_573;
/** Bytes of the digest that follows an answer. */
export const DIGEST_BYTES = 32;

/** Bytes of a wrong chunk that are quoted. */
const QUOTED_BYTES = 24;

const BLOCK = makeBlock();

function makeBlock(): Uint8Array {
  const rng = new Rng(1);
  // Twice, so that a chunk never wraps.
  const block = new Uint8Array(2 * BLOCK_BYTES);
  for (let index = 0; index < BLOCK_BYTES; index += 1) block[index] = rng.int(0, 255);
  block.copyWithin(BLOCK_BYTES, 0, BLOCK_BYTES);
  return block;
}

/** Bytes of a stream from an offset on; `count` is at most 1,048,573. Not to be changed: it is a view. */
export function bytesOf({ seed }: Stream, offset: number, count: number): Uint8Array {
  const start = (seed + offset) % BLOCK_BYTES;
  return BLOCK.subarray(start, start + count);
}

/** The SHA-256 of the first so many bytes of a stream. */
export function digestOf(stream: Stream, length = stream.length): Uint8Array {
  const hash = createHash("sha256");
  for (let offset = 0; offset < length; offset += BLOCK_BYTES) {
    hash.update(bytesOf(stream, offset, Math.min(BLOCK_BYTES, length - offset)));
  }
  return hash.digest();
}

/** Verifies a stream, and what must follow it, chunk by chunk. */
export class StreamCheck {
  readonly #stream: Stream;
  readonly #trailer: Uint8Array;
  readonly #hash = createHash("sha256");
  #received = 0;
  #wrongAt: number | undefined;
  #wrongBytes = "";

  constructor(stream: Stream, trailer: Uint8Array = new Uint8Array(0)) {
    this.#stream = stream;
    this.#trailer = trailer;
  }

  /** How many bytes have come. */
  get received(): number {
    return this.#received;
  }

  /** How many bytes there must be. */
  get expected(): number {
    return this.#stream.length + this.#trailer.length;
  }

  /** About where the first chunk begins that is wrong, in bytes. */
  get wrongAt(): number | undefined {
    return this.#wrongAt;
  }

  /** The first bytes of that chunk, in hex: they may tell whose they are. */
  get wrongBytes(): string {
    return this.#wrongBytes;
  }

  /** SHA-256 of what has come. */
  digest(): Uint8Array {
    return this.#hash.copy().digest();
  }

  take(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    for (let offset = 0; offset < chunk.length;) {
      const at = this.#received;
      const rest = chunk.subarray(offset);
      const wanted = at < this.#stream.length
        ? bytesOf(this.#stream, at, Math.min(rest.length, this.#stream.length - at, BLOCK_BYTES))
        : this.#trailer.subarray(at - this.#stream.length, at - this.#stream.length + rest.length);
      const count = wanted.length === 0 ? rest.length : wanted.length;
      if (this.#wrongAt === undefined && Buffer.compare(rest.subarray(0, count), wanted) !== 0) {
        this.#wrongAt = at;
        this.#wrongBytes = rest.slice(0, QUOTED_BYTES).toHex();
      }
      this.#received += count;
      offset += count;
    }
  }
}
