// Lines that strangers can cause: as many as somebody reads, then one a second that says how many were left out. A leaf:
// for whoever refuses connections, requests or certificates.

import type { Logger } from "@logtape/logtape";

/** How many lines are written. */
export interface BoundedLogOptions {
  /** Lines at once. Default: 10. */
  burst?: number;
  /** Lines a second after that. Default: 2. */
  perSecond?: number;
}

/** Enough to see a handful of peers with one fault each. */
const BURST = 10;
/** Few enough for a log that is kept for weeks. */
const PER_SECOND = 2;
/** So long after the first line that was left out it is said how many were, in milliseconds. */
const SUMMARY_MS = 1000;
/** The line that says so. */
const SUMMARY = "lines left out";

/**
 * A logger with a bound. At a flood's end nothing of it waits: the last summary comes a second after the line
 * that it counts, and no timer is left. Disposing writes the summary that is due.
 */
export class BoundedLog implements Disposable {
  readonly #logger: Logger;
  readonly #burst: number;
  readonly #perSecond: number;
  /** How many lines may be written now; grows with time. */
  #credit: number;
  /** When it last grew. */
  #grownAt = performance.now();
  /** By message, since the last summary. */
  readonly #leftOut = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(logger: Logger, { burst = BURST, perSecond = PER_SECOND }: BoundedLogOptions = {}) {
    this.#logger = logger;
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#credit = burst;
  }

  /**
   * Whether the next line would be written: for whoever has to find out at some cost what to write. A line that is left
   * out for that must be given to `warn` or `leaveOut` all the same.
   */
  get open(): boolean {
    return this.#grown() >= 1;
  }

  /** Writes a line, or counts it. `message` is a fixed text. */
  error(message: string, fields: Record<string, unknown>): void {
    if (this.#takeCredit(message)) this.#logger.error(message, fields);
  }

  /** The same for what is not as it should be. */
  warn(message: string, fields: Record<string, unknown>): void {
    if (this.#takeCredit(message)) this.#logger.warn(message, fields);
  }

  /** The same for what is no fault, and yet a stranger's doing. */
  info(message: string, fields: Record<string, unknown>): void {
    if (this.#takeCredit(message)) this.#logger.info(message, fields);
  }

  /** Counts lines without writing them. */
  leaveOut(message: string, count = 1): void {
    this.#leftOut.set(message, (this.#leftOut.get(message) ?? 0) + count);
    this.#timer ??= setTimeout(() => this.#summarize(), SUMMARY_MS);
  }

  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#summarize();
  }

  #takeCredit(message: string): boolean {
    if (!this.open) {
      this.leaveOut(message);
      return false;
    }
    this.#credit -= 1;
    return true;
  }

  #grown(): number {
    const now = performance.now();
    const grown = this.#credit + (now - this.#grownAt) / 1000 * this.#perSecond;
    this.#grownAt = now;
    this.#credit = Math.min(this.#burst, grown);
    return this.#credit;
  }

  #summarize(): void {
    this.#timer = undefined;
    for (const [message, count] of this.#leftOut) {
      this.#logger.warn(SUMMARY, { line: message, count });
    }
    this.#leftOut.clear();
  }
}

/** Changes that are logged at once, and then in a second: those who may make them are few, and none is to be missed. */
const LOGGED_CHANGES = { burst: 1000, perSecond: 20 };
/** The same of what came to nothing, which anybody can cause. */
const LOGGED_REFUSALS = { burst: 100, perSecond: 10 };

/** Who changed what, and who tried: each with a bound of its own, so that no refusals hide what was done. */
export class AuditLog implements Disposable {
  readonly done: BoundedLog;
  readonly refused: BoundedLog;

  constructor(logger: Logger) {
    this.done = new BoundedLog(logger, LOGGED_CHANGES);
    this.refused = new BoundedLog(logger, LOGGED_REFUSALS);
  }

  [Symbol.dispose](): void {
    this.done[Symbol.dispose]();
    this.refused[Symbol.dispose]();
  }
}
