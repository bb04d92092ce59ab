// How long nothing was heard of somebody, in time during which this process ran. A process that was stopped, a machine that
// slept, a loop that was blocked: their timers fire before what has arrived meanwhile is read, and such time proves nothing.
// A leaf: for sessions of the native dialect, and for the connections under all links.

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
