// Lines that strangers can cause: as many of each kind as somebody reads, then one a second that says how many were left
// out. A leaf: for whoever refuses connections, requests or certificates.

import type { Logger } from "@logtape/logtape";

/** How many lines are written of each kind: of those with the same message. */
export interface BoundedLogOptions {
  /** Lines at once. Default: 10. */
  burst?: number;
  /** Lines a second that are written for as long as one likes. Default: 2. */
  perSecond?: number;
  /** Whether so many are written also while there are more. Default: no, then a line a second counts all of them. */
  trickles?: boolean;
}

/** Enough to see a handful of peers with one fault each. */
const BURST = 10;
/** Few enough for a log that is kept for weeks. */
const PER_SECOND = 2;
/** So long after the first line that was left out it is said how many were, in milliseconds. */
const SUMMARY_MS = 1000;
/** The line that says so. */
const SUMMARY = "lines left out";

type Level = "error" | "warn" | "info";

/** The lines of one message. */
interface Kind {
  /** How many may be written now; grows with time. */
  credit: number;
  /** When it last grew, as of `performance.now()`. */
  grownAt: number;
  /** Lines since the last summary that were not written, and the last of them. */
  leftOut: number;
  level: Level;
  last: Record<string, unknown> | undefined;
  /** There were more than may be written for long: until then, as of `performance.now()`, none is. */
  floodedUntil: number;
}

/**
 * A logger with a bound. A flood of one kind hides no line of another. At its end nothing of it waits: the last summary
 * comes a second after the first line that it counts, and no timer is left. Disposing writes the summary that is due.
 */
export class BoundedLog implements Disposable {
  readonly #logger: Logger;
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #trickles: boolean;
  /** By message. Messages are fixed texts of this program, so there are few. */
  readonly #kinds = new Map<string, Kind>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    logger: Logger,
    { burst = BURST, perSecond = PER_SECOND, trickles = false }: BoundedLogOptions = {},
  ) {
    this.#logger = logger;
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#trickles = trickles;
  }

  /** Writes a line, or counts it. `message` is a fixed text. */
  error(message: string, fields: Record<string, unknown>): void {
    this.#log("error", message, fields);
  }

  /** The same for what is not as it should be. */
  warn(message: string, fields: Record<string, unknown>): void {
    this.#log("warn", message, fields);
  }

  /** The same for what is no fault, and yet a stranger's doing. */
  info(message: string, fields: Record<string, unknown>): void {
    this.#log("info", message, fields);
  }

  /** Counts lines, which would have had this level, without writing them. */
  leaveOut(message: string, { count, level }: { count: number; level: Level }): void {
    const kind = this.#kindOf(message);
    kind.leftOut += count;
    kind.level = level;
    this.#timer ??= setTimeout(() => this.#summarize(), SUMMARY_MS);
  }

  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#summarize();
  }

  #log(level: Level, message: string, fields: Record<string, unknown>): void {
    const kind = this.#kindOf(message);
    if (this.#takeCredit(kind)) return this.#logger[level](message, fields);
    kind.last = fields;
    this.leaveOut(message, { count: 1, level });
  }

  #kindOf(message: string): Kind {
    const known = this.#kinds.get(message);
    if (known !== undefined) return known;
    const kind: Kind = {
      credit: this.#burst,
      grownAt: performance.now(),
      leftOut: 0,
      level: "info",
      last: undefined,
      floodedUntil: 0,
    };
    this.#kinds.set(message, kind);
    return kind;
  }

  #takeCredit(kind: Kind): boolean {
    const now = performance.now();
    const grown = kind.credit + (now - kind.grownAt) / 1000 * this.#perSecond;
    kind.grownAt = now;
    kind.credit = Math.min(this.#burst, grown);
    const flooded = !this.#trickles && (kind.leftOut > 0 || now < kind.floodedUntil);
    if (flooded || kind.credit < 1) return false;
    kind.credit -= 1;
    return true;
  }

  #summarize(): void {
    this.#timer = undefined;
    for (const [line, kind] of this.#kinds) {
      const { leftOut: count, level, last } = kind;
      if (count === 0) continue;
      kind.leftOut = 0;
      kind.last = undefined;
      if (count > this.#perSecond) kind.floodedUntil = performance.now() + SUMMARY_MS;
      this.#logger[level](SUMMARY, { line, count, ...(last && { last }) });
    }
  }
}

/** Changes that are logged at once, and then in a second: those who may make them are few, and none is to be missed. */
const LOGGED_CHANGES = { burst: 1000, perSecond: 20, trickles: true };
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
