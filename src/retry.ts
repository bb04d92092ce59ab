// When to try again. Pure arithmetic: the caller waits, and says how long the last link lived.

/** How the waits grow. All times in milliseconds. */
export interface BackoffOptions {
  /** The first wait. */
  initialMs: number;
  /** No wait is longer. */
  maxMs: number;
  /** A link that has lived this long ends the series: the next wait is the first again. */
  settledMs: number;
  /** A number from 0 up to 1, as `Math.random`. */
  random: () => number;
}

/** How links, and services that a peer cannot take up, are tried again. */
export const RETRY_BACKOFF: Readonly<BackoffOptions> = {
  // A peer that was restarted is back in less than a second.
  initialMs: 200,
  // Soon enough for people who wait, seldom enough for a peer that stays away.
  maxMs: 10_000,
  settledMs: 10_000,
  random: Math.random,
};

/** How services are tried again that a peer does not allow: its user may change that, and then they come up by themselves. */
export const DENIED_BACKOFF: Readonly<BackoffOptions> = {
  ...RETRY_BACKOFF,
  // Who changes a policy waits to see whether it helps. Sooner is of no use: a file is read seconds after it has changed.
  initialMs: 2_000,
  // A refusal a minute in the peer's log, for a service that nobody removes.
  maxMs: 60_000,
};

/** How a link is opened for connections that wait: they have waited all the while, and are given up after a minute. */
export const RESUME_BACKOFF: Readonly<BackoffOptions> = {
  ...RETRY_BACKOFF,
  initialMs: 100,
  maxMs: 2_000,
  settledMs: 1_000,
};

/** How a link is replaced that still carries everything, though something on the way has said that it will end it. */
export const RENEWAL_BACKOFF: Readonly<BackoffOptions> = {
  ...RETRY_BACKOFF,
  // There are proxies that say so of every connection, as it opens. Nobody waits for the next one meanwhile.
  maxMs: 300_000,
};

/** Waits that double, with jitter, so that many connectors do not return to a restarted peer at once. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The wait before the next try, after a link that lived `livedMs` (0 when it never came up). */
  next(livedMs: number): number {
    if (livedMs >= this.#options.settledMs) this.#failures = 0;
    const wait = waitMs(this.#failures, this.#options);
    this.#failures += 1;
    return wait;
  }
}

/** The wait before the next try, after so many that failed in a row. */
export function waitMs(
  failures: number,
  { initialMs, maxMs, random }: Pick<BackoffOptions, "initialMs" | "maxMs" | "random">,
): number {
  const ceiling = Math.min(maxMs, initialMs * 2 ** Math.min(failures, 30));
  // Between half and the whole of the ceiling: spread out, and never a busy loop.
  return ceiling * (0.5 + random() / 2);
}
