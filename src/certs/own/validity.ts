// Watches the validity of a connector's own certificates while it runs: warns before they expire, and reports when they
// have expired or the clock was set. Links and `GET /ready` read the current problem from here.

import type { Certificate } from "../reader/certificate.ts";

/** A certificate of the connector's own path to a root, with what to call it in messages. */
export interface OwnCertificate extends Pick<Certificate, "notBefore" | "notAfter"> {
  label: string;
}

const DAY_MS = 86_400_000;
/** With so many days left, each certificate is told of once. */
const WARNING_DAYS = [30, 7, 1] as const;
/** The clock is looked at so often, in milliseconds: it may be set, and timers do not know of that. */
const LOOK_MS = 3_600_000;

/** Which of the times to warn has come, in days; undefined while there is more time, and after the end. */
function stepOf({ notAfter }: OwnCertificate, now: Date): number | undefined {
  const days = (notAfter.getTime() - now.getTime()) / DAY_MS;
  return days < 0 ? undefined : WARNING_DAYS.findLast((step) => days < step);
}

/** That a certificate ends soon, in a sentence. */
function endsSoon({ label, notAfter }: OwnCertificate, now: Date): string {
  const daysLeft = (notAfter.getTime() - now.getTime()) / DAY_MS;
  const days = Math.floor(daysLeft);
  const left = days < 1 ? "less than a day" : days === 1 ? "1 day" : `${days} days`;
  const text = `${label} expires in ${left}, at ${notAfter.toISOString()}`;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** What a watch is told, and whom it tells. */
export interface ValidityWatchOptions {
  path: readonly OwnCertificate[];
  /** Why no peer may trust the connector at a time; undefined while all is well. */
  problemAt: (now: Date) => string | undefined;
  /** A certificate ends soon: a sentence, once for each time to warn. */
  onSoon: (warning: string) => void;
  /** The problem has come, is another one, or has gone. */
  onProblem: (problem: string | undefined) => void;
  now?: () => Date;
}

/** Watches over the connector's own certificates. Disposing ends it. */
export class ValidityWatch implements Disposable {
  readonly #options: ValidityWatchOptions;
  /** The last time to warn of which each certificate was told, in days. */
  readonly #told = new Map<OwnCertificate, number>();
  #problem: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(options: ValidityWatchOptions) {
    this.#options = options;
  }

  /** Tells at once what there is to tell, and goes on. */
  static start(options: ValidityWatchOptions): ValidityWatch {
    const watch = new ValidityWatch(options);
    watch.#look();
    return watch;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const { path, problemAt, onSoon, onProblem } = this.#options;
    const now = this.#now();
    for (const certificate of path) {
      const step = stepOf(certificate, now);
      if (step === undefined || step >= (this.#told.get(certificate) ?? Infinity)) continue;
      this.#told.set(certificate, step);
      onSoon(endsSoon(certificate, now));
    }
    const problem = problemAt(now);
    if (problem !== this.#problem) onProblem(problem);
    this.#problem = problem;
    this.#timer = setTimeout(() => this.#look(), this.#untilNext(now));
  }

  /** Milliseconds until there may be something to tell. */
  #untilNext(now: Date): number {
    const due = this.#options.path.flatMap(({ notBefore, notAfter }) => [
      notBefore.getTime(),
      // It ends after its last second has begun.
      notAfter.getTime() + 1,
      ...WARNING_DAYS.map((days) => notAfter.getTime() - days * DAY_MS + 1),
    ]);
    const waits = due.map((time) => time - now.getTime()).filter((wait) => wait > 0);
    return Math.min(LOOK_MS, ...waits);
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}
