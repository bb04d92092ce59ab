// Watches the validity of a connector's own certificates while it runs: warns before they expire, and reports when they
// have expired or the clock was set, also when they are exchanged meanwhile. Links and `GET /ready` read the current problem from here.

import type { Certificate } from "../reader/certificate.ts";

/** A certificate of the connector's own path to a root, with what to call it in messages. */
export interface OwnCertificate extends Pick<Certificate, "notBefore" | "notAfter"> {
  label: string;
}

const DAY_MS = 86_400_000;
/** With fewer days left, each certificate is told of once a day, however often it is exchanged. */
const WARNING_DAYS = 30;
/** The clock is looked at so often, in milliseconds: it may be set, and timers do not know of that. */
const LOOK_MS = 3_600_000;

/** The whole days that a certificate has left; below 0 once it has ended. */
function daysLeft({ notAfter }: OwnCertificate, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
}

/** When a certificate ends, in a sentence. */
function whenItEnds(certificate: OwnCertificate, now: Date): string {
  const { label, notAfter } = certificate;
  const days = daysLeft(certificate, now);
  const when = days < 0
    ? "has expired"
    : `expires in ${days === 0 ? "less than a day" : days === 1 ? "1 day" : `${days} days`}`;
  const text = `${label} ${when}, at ${notAfter.toISOString()}`;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** Certificates that are watched. */
export interface WatchedCertificates {
  path: readonly OwnCertificate[];
  /** Why no peer may trust the connector at a time; undefined while all is well. */
  problemAt: (now: Date) => string | undefined;
}

/** What a watch is told, and whom it tells. */
export interface ValidityWatchOptions extends WatchedCertificates {
  /** A certificate ends soon: a sentence, once a day. */
  onSoon: (warning: string) => void;
  /** The problem has come, is another one, or has gone. */
  onProblem: (problem: string | undefined) => void;
  now?: () => Date;
}

/** Watches over the connector's own certificates. Disposing ends it. */
export class ValidityWatch implements Disposable {
  readonly #options: ValidityWatchOptions;
  #watched: WatchedCertificates;
  /** When each certificate was last told of, by its label, in milliseconds. */
  readonly #told = new Map<string, number>();
  #problem: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(options: ValidityWatchOptions) {
    this.#options = options;
    this.#watched = options;
  }

  /** Tells at once what there is to tell, and goes on. */
  static start(options: ValidityWatchOptions): ValidityWatch {
    const watch = new ValidityWatch(options);
    watch.#look();
    return watch;
  }

  /** Watches others in place of those until now. */
  exchange(watched: WatchedCertificates): void {
    this.#watched = watched;
    clearTimeout(this.#timer);
    this.#look();
  }

  /** When the certificates end, in a sentence: the first of them that does, and each that does soon. */
  get notes(): readonly string[] {
    const now = this.#now();
    const byEnd = this.#watched.path.toSorted((one, other) =>
      one.notAfter.getTime() - other.notAfter.getTime()
    );
    return byEnd.filter((each, index) => index === 0 || daysLeft(each, now) < WARNING_DAYS)
      .map((each) => whenItEnds(each, now));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const { onSoon, onProblem } = this.#options;
    const { path, problemAt } = this.#watched;
    const now = this.#now();
    for (const certificate of path) {
      const days = daysLeft(certificate, now);
      const sinceTold = now.getTime() - (this.#told.get(certificate.label) ?? -Infinity);
      // A clock that was set back counts as a new day.
      if (days < 0 || days >= WARNING_DAYS || sinceTold >= 0 && sinceTold < DAY_MS) continue;
      this.#told.set(certificate.label, now.getTime());
      onSoon(whenItEnds(certificate, now));
    }
    const problem = problemAt(now);
    if (problem !== this.#problem) onProblem(problem);
    this.#problem = problem;
    this.#timer = setTimeout(() => this.#look(), this.#untilNext(now));
  }

  /** Milliseconds until there may be something to tell. */
  #untilNext(now: Date): number {
    const due = this.#watched.path.flatMap(({ notBefore, notAfter }) => [
      notBefore.getTime(),
      // It ends after its last second has begun.
      notAfter.getTime() + 1,
    ]);
    const waits = due.map((time) => time - now.getTime()).filter((wait) => wait > 0);
    return Math.min(LOOK_MS, ...waits);
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}
