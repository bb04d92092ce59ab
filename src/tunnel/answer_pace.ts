// Bounds how often a peer's answers about one service count: each sets timers, moves visitors and
// is logged.

import type { Session } from "../mux/session.ts";
import type { ControlFrame } from "../wire/frame.ts";

/** Answers that count at once: an honest peer gives one to each try, and tries are made ever more seldom. */
const ANSWERS_AT_ONCE = 10;
/** Once there were so many, one counts in so long, the last, in milliseconds. */
const ANSWER_INTERVAL_MS = 1000;

type Answer = ControlFrame & { kind: "status" };

/** Passes answers on: at once, or the last of many in a while. */
export class AnswerPace implements Disposable {
  readonly #apply: (answer: Answer, over: Session) => void;
  /** How many may count now; grows with time. */
  #left = ANSWERS_AT_ONCE;
  /** When that last grew, as of `performance.now()`. */
  #grownAt = performance.now();
  /** The last answer that has not counted yet. */
  #held: { answer: Answer; over: Session } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(apply: (answer: Answer, over: Session) => void) {
    this.#apply = apply;
  }

  /** Takes an answer that came over a link. */
  take(answer: Answer, over: Session): void {
    const now = performance.now();
    const grown = this.#left + (now - this.#grownAt) / ANSWER_INTERVAL_MS;
    this.#grownAt = now;
    this.#left = Math.min(ANSWERS_AT_ONCE, grown);
    if (this.#held === undefined && this.#left >= 1) {
      this.#left -= 1;
      return this.#apply(answer, over);
    }
    this.#held = { answer, over };
    this.#timer ??= setTimeout(() => this.#applyHeld(), ANSWER_INTERVAL_MS);
  }

  /** What is held is dropped. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#held = undefined;
  }

  #applyHeld(): void {
    const held = this.#held;
    this[Symbol.dispose]();
    this.#left -= 1;
    if (held) this.#apply(held.answer, held.over);
  }
}
