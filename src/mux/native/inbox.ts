// What one stream has received and its reader has not taken: bytes in order, then how they end. It
// counts the memory that they take while they wait, and knows nothing of windows or frames.

import { CHUNK_OVERHEAD_BYTES } from "../../model/limits.ts";

/** The reader that waits for bytes. */
type Reader = Pick<PromiseWithResolvers<Uint8Array | null>, "resolve" | "reject">;

/** What comes behind the bytes: nothing more, or an error, made when somebody asks for it. */
type Ending = { error: (() => Error) | undefined };

/** The receiving side of a stream. */
export class Inbox {
  readonly #queue: Uint8Array[] = [];
  #cost = 0;
  /** Bytes that the last read gave and the reader may still use. */
  #lent = 0;
  #reader: Reader | undefined;
  #ending: Ending | undefined;

  /** What is queued, and lent to the reader by its last read, costs in bytes, with what each chunk costs. */
  get cost(): number {
    return this.#cost;
  }

  /** The reader has taken what its last read gave. Returns how many bytes that were. */
  takeBack(): number {
    const count = this.#lent;
    if (count === 0) return 0;
    this.#lent = 0;
    this.#cost -= count + CHUNK_OVERHEAD_BYTES;
    return count;
  }

  /** The next bytes; null at the end. For one reader at a time, when nothing is lent. */
  next(): Promise<Uint8Array | null> {
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#serve();
    });
  }

  /** Takes bytes, which are a view into a message. Returns what they now cost. */
  push(bytes: Uint8Array): number {
    // A view keeps the whole message in memory: fine for a reader that waits, not for bytes that may lie long.
    this.#queue.push(this.#reader === undefined ? bytes.slice() : bytes);
    const cost = bytes.length + CHUNK_OVERHEAD_BYTES;
    this.#cost += cost;
    this.#serve();
    return cost;
  }

  /** Nothing more comes, in order or for a reason. What has come can still be read. The first end counts. */
  finish(error?: () => Error): void {
    this.#ending ??= { error };
    this.#serve();
  }

  /** Drops everything; reads fail from now on. Returns what it has cost. */
  drop(error: () => Error): number {
    const cost = this.#cost;
    this.#cost = 0;
    this.#lent = 0;
    this.#queue.length = 0;
    this.#ending = { error };
    this.#serve();
    return cost;
  }

  /** Gives the reader, if there is one, what there is for it. */
  #serve(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    const bytes = this.#queue.shift();
    if (bytes === undefined && this.#ending === undefined) return;
    this.#reader = undefined;
    if (bytes !== undefined) {
      this.#lent = bytes.length;
      reader.resolve(bytes);
    } else if (this.#ending?.error) reader.reject(this.#ending.error());
    else reader.resolve(null);
  }
}
