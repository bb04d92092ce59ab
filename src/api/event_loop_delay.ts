// Measures how late the event loop is: how much longer than it asked for a timer waits. Whatever keeps the only thread
// keeps every connection waiting as long. By a timer of our own: perf_hooks' histogram, which prom-client reads, is
// wrong under Deno (docs/metrics.md).

import { Histogram } from "../histogram.ts";

/** Between two looks, in milliseconds. */
const LOOK_MS = 50;
/** What a timer is late of itself, in milliseconds, because the system's clock of timers ticks so often. */
const TICK_MS = 1;
/** The highest delay of each bucket, in seconds. */
const BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** The most that one look counts: after a machine has slept, nobody wants to hear of each of its moments. */
const MAX_COUNTED = 200;

/** Measures from `start` until it is disposed. */
export class EventLoopDelay implements Disposable {
  /** The delays, in seconds. */
  readonly histogram = new Histogram(BOUNDS_S);
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Begins, unless it has begun. */
  start(): void {
    if (this.#timer !== undefined) return;
    let due = performance.now() + LOOK_MS;
    const look = () => {
      const now = performance.now();
      let lateMs = now - due - TICK_MS;
      // Looks that would have been due meanwhile were late, too, each by less: as anybody would have seen who came then.
      for (let left = MAX_COUNTED; left > 0; left -= 1) {
        this.histogram.observe(Math.max(0, lateMs) / 1000);
        lateMs -= LOOK_MS;
        if (lateMs <= 0) break;
      }
      due = performance.now() + LOOK_MS;
      this.#timer = setTimeout(look, LOOK_MS);
    };
    this.#timer = setTimeout(look, LOOK_MS);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
