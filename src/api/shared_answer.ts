// Large answers, each made once for all who wait for it: made for every request on its own, they would take as much time
// and memory as strangers care to ask for. Used by app.ts for the list and for readiness.

import { delay } from "../delay.ts";

/** The rest between two answers, as a multiple of the time that the former took: others get most of the processor. */
const REST_FACTOR = 3;
/** The longest rest, in milliseconds: short enough for somebody who watches. */
const MAX_REST_MS = 200;
/** Less is not rested for, in milliseconds: a few turns of the event loop. */
const MIN_REST_MS = 5;

/**
 * Makes one answer after the other. Whoever asks gets one that was begun after that, and so nothing that is out of date;
 * all who ask while one is being made get the next, so there are never more than two.
 */
export class SharedAnswer<Value> {
  readonly #make: () => Value | Promise<Value>;
  /** What has been asked for and is not begun. */
  #next: Promise<Value> | undefined;
  /** Ends with the last that was asked for. */
  #last: Promise<unknown> = Promise.resolve();
  /** When the next may be begun, as of `performance.now()`. */
  #restedAt = 0;

  constructor(make: () => Value | Promise<Value>) {
    this.#make = make;
  }

  get(): Promise<Value> {
    if (this.#next !== undefined) return this.#next;
    const next = this.#last.then(() => this.#makeNext());
    this.#next = next;
    this.#last = next.catch(() => undefined);
    return next;
  }

  async #makeNext(): Promise<Value> {
    const restMs = this.#restedAt - performance.now();
    if (restMs >= MIN_REST_MS) await delay(restMs);
    this.#next = undefined;
    const start = performance.now();
    try {
      return await this.#make();
    } finally {
      const end = performance.now();
      this.#restedAt = end + Math.min(MAX_REST_MS, REST_FACTOR * (end - start));
    }
  }
}

/** A text with its bytes, which are encoded once. */
export interface SharedText {
  text: string;
  bytes: Uint8Array<ArrayBuffer>;
}

export function shareText(text: string): SharedText {
  return { text, bytes: new TextEncoder().encode(text) };
}

/** A response whose bytes are those of others, too: they must not be written to. */
export class SharedResponse extends Response {
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor({ text, bytes }: SharedText, init: ResponseInit) {
    super(text, init);
    this.#bytes = bytes;
  }

  override bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return Promise.resolve(this.#bytes);
  }
}
