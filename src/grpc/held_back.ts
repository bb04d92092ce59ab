// Holds back the answers to control calls whose token is wrong, so that guessing takes time. A bounded
// number of answers waits: when there are more, the one that has waited longest is given. REST does
// the same in api/exchange.ts, where each of a bounded number of connections has one.

/** How many answers may wait, unless a test says otherwise: an eighth of the control calls that may be open at once. */
const MAX_HELD = 64;

/** The answers that wait. */
export class HeldBack {
  readonly #ms: number;
  readonly #max: number;
  /** What ends each wait, the oldest first. */
  readonly #waiting = new Set<() => void>();

  constructor({ ms, max = MAX_HELD }: { ms: number; max?: number }) {
    this.#ms = ms;
    this.#max = max;
  }

  /** How many wait now. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Calls `done` once, after the wait. Returns a function that ends the wait early, as when the caller has left. */
  wait(done: () => void): () => void {
    const end = () => {
      if (!this.#waiting.delete(end)) return;
      clearTimeout(timer);
      done();
    };
    const timer = setTimeout(end, this.#ms);
    this.#waiting.add(end);
    if (this.#waiting.size > this.#max) this.#waiting.values().next().value?.();
    return end;
  }
}
