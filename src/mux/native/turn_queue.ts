// Decides which stream sends next. Streams take turns, weighted by bytes; a stream that has sent little goes first, so
// that a short exchange does not wait behind bulk data. The arithmetic is that of start-time fair queueing (Goyal, Vin,
// Cheng 1996), with two plain queues instead of a sorted one. Used by batcher.ts.

/** A stream that has had so many bytes less than the others goes first, in bytes: a few keystrokes, or a request's head. */
const CREDIT_BYTES = 4 * 1024;
/** So many may go first in a row while others wait: there may be ever new streams. */
const MAX_FIRST_IN_A_ROW = 16;

/** What a stream has had, on the clock of its queue. Its owner keeps it, and the queue alone changes it. */
export interface Share {
  until: number;
}

/** The share of a stream that has had nothing. */
export function newShare(): Share {
  return { until: -Infinity };
}

interface Item<T> {
  value: T;
  /** Where its turn begins, on the queue's clock. */
  start: number;
}

/** Those who wait for their turn, at most one of each stream. */
export class TurnQueue<T> {
  readonly #first = new Queue<Item<T>>();
  readonly #rest = new Queue<Item<T>>();
  /** The queue's clock: bytes that each of those who always wait has had. */
  #now = 0;
  #firstInARow = 0;

  /** How many wait. */
  get length(): number {
    return this.#first.length + this.#rest.length;
  }

  /** Whether the next one has had little. */
  get nextIsFirst(): boolean {
    return this.#first.length > 0 && !this.#othersTurn;
  }

  /** Counts bytes that need not wait, if the stream has had little and it is not the turn of others. Returns whether so. */
  charge(share: Share, bytes: number): boolean {
    const start = this.#start(share);
    if (start + bytes > this.#now || this.#othersTurn) return false;
    share.until = start + bytes;
    if (this.#rest.length > 0) this.#firstInARow += 1;
    return true;
  }

  /** One more waits, to send so many bytes. */
  push(value: T, { share, bytes }: { share: Share; bytes: number }): void {
    const start = this.#start(share);
    share.until = start + bytes;
    (share.until <= this.#now ? this.#first : this.#rest).push({ value, start });
  }

  /** Whose turn it is. */
  shift(): T | undefined {
    const fromFirst = this.nextIsFirst;
    const item = (fromFirst ? this.#first : this.#rest).shift();
    if (item === undefined) return undefined;
    this.#firstInARow = fromFirst ? this.#firstInARow + 1 : 0;
    this.#now = Math.max(this.#now, item.start);
    return item.value;
  }

  /** Lets go of all who are not to be kept. */
  sweep(keeps: (value: T) => boolean): void {
    for (const queue of [this.#first, this.#rest]) queue.sweep(({ value }) => keeps(value));
  }

  get #othersTurn(): boolean {
    return this.#rest.length > 0 && this.#firstInARow >= MAX_FIRST_IN_A_ROW;
  }

  #start({ until }: Share): number {
    return Math.max(until, this.#now - CREDIT_BYTES);
  }
}

/** A queue drops its used-up front when it is this long, in items, and half of the whole. */
const MIN_COMPACTION = 64;

/** First in, first out, in constant time. */
class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

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

  sweep(keeps: (item: T) => boolean): void {
    this.#items = this.#items.filter((item) => item !== undefined && keeps(item));
    this.#head = 0;
  }
}
