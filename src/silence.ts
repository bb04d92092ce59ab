// Measures how long nothing was received from a peer, counting only time in which this process ran. After a stop, a
// sleep of the machine or a blocked event loop, timers fire before the data that has arrived meanwhile is read, so such
// time proves nothing. A leaf: used by sessions of the native dialect, and by the connections below all links.

/** Between two looks, in milliseconds. */
export const LOOK_MS = 1_000;
/** A look that is later than this many of its intervals counts as so late: this process did not run. */
const MAX_LATENESS = 2;

/** Counts the silence of one peer. */
export class Silence {
  readonly #lookMs: number;
  #lookedAt: number;
  #ms = 0;

  /** `now` in milliseconds, `lookMs` the time between two looks. */
  constructor(now: number, lookMs = LOOK_MS) {
    this.#lookMs = lookMs;
    this.#lookedAt = now;
  }

  /** A look: whether anything was heard since the last one. Returns how long it has been silent now, in milliseconds. */
  look(heard: boolean, now: number): number {
    const elapsed = Math.min(now - this.#lookedAt, MAX_LATENESS * this.#lookMs);
    this.#lookedAt = now;
    this.#ms = heard ? 0 : this.#ms + elapsed;
    return this.#ms;
  }
}
