// Decides whether the peer is still there. A path can go silent without anything being closed, so
// each side sends a ping now and then; but any data that arrives proves that the peer lives, and on
// a slow path the answer to a ping may wait behind much of it. link_window.ts measures how long a
// ping takes. docs/PROTOCOL.md, "Liveness".

import { LOOK_MS, Silence } from "../../silence.ts";

/** Between two pings, in milliseconds. They are sent whether earlier ones were answered or not: the peer hears us by them. */
export const PING_INTERVAL_MS = 5_000;
/**
 * A peer of which nothing is heard for so long is given up, in milliseconds. It is looked for every second, so that a silent
 * path is noticed within 14 s; and one that pauses for 8 s is not, whose first bytes TCP sends again after 12.6 s.
 */
export const SILENCE_MS = 13_000;
/**
 * So long a peer may speak without answering any ping, in milliseconds, before it counts as a breach: no path holds bytes for
 * so long, and what we send would wait for ever.
 */
export const UNANSWERED_MS = 600_000;

/** What it does to the session. */
export interface LivenessHooks {
  /** Sends a ping. */
  ping: () => void;
  /** A number that grows whenever something of the peer arrives, if only a piece of a message. */
  arrivals: () => number;
  /** Nothing is heard any more, or no answer. */
  onSilence: () => void;
}

/** Watches over a peer, from `start` until it is suspended or disposed. */
export class Liveness implements Disposable {
  readonly #hooks: LivenessHooks;
  #answered = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #disposed = false;

  constructor(hooks: LivenessHooks) {
    this.#hooks = hooks;
  }

  /** Sends the first ping, over a first link or another one. */
  start(): void {
    if (this.#disposed) return;
    this.#answered = false;
    const now = performance.now();
    const silence = new Silence(now);
    const unanswered = new Silence(now);
    let arrivals = this.#hooks.arrivals();
    let untilPing = PING_INTERVAL_MS;
    const look = () => {
      const now = performance.now();
      const heard = this.#hooks.arrivals() !== arrivals;
      arrivals = this.#hooks.arrivals();
      const silentMs = silence.look(heard, now);
      const unansweredMs = unanswered.look(this.#answered, now);
      this.#answered = false;
      if (silentMs >= SILENCE_MS || unansweredMs >= UNANSWERED_MS) return this.#hooks.onSilence();
      untilPing -= LOOK_MS;
      if (untilPing <= 0) {
        untilPing = PING_INTERVAL_MS;
        this.#hooks.ping();
      }
      if (!this.#disposed) this.#timer = setTimeout(look, LOOK_MS);
    };
    this.#timer = setTimeout(look, LOOK_MS);
    this.#hooks.ping();
  }

  /** An answer to a ping has arrived. */
  answered(): void {
    this.#answered = true;
  }

  /** Looks no more until it is started again: there is no link. */
  suspend(): void {
    clearTimeout(this.#timer);
  }

  /** Looks no more. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    clearTimeout(this.#timer);
  }
}
