// Opens links for one session whenever it has lost its own, one after another, until one carries it or it has ended. Used by
// outbound.ts, which opens the links and owns the session.

import type { Address } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import type { Link } from "../mux/link.ts";
import type { Session } from "../mux/session.ts";
import { Backoff, RESUME_BACKOFF } from "../retry.ts";
import type { DialPace } from "./dial_pace.ts";
import { RedialPause } from "./redial_pause.ts";

/** How long a peer may take to answer a claim, in milliseconds: as long as to answer anything over a new link. */
const ANSWER_MS = 5000;

/**
 * When links are opened for the sessions of one peer that have lost theirs: the first at once, others after growing waits, until
 * there was peace for a while. A path that breaks every link as it opens is not dialled in a loop, however many sessions wait.
 */
export class ResumePace {
  #backoff = new Backoff(RESUME_BACKOFF);
  /** When the last try was made, or is to be. */
  #triedAt = -Infinity;

  /** How long to wait before the next try, in milliseconds. */
  next(): number {
    const now = performance.now();
    const settled = now - this.#triedAt >= RESUME_BACKOFF.settledMs;
    if (settled) this.#backoff = new Backoff(RESUME_BACKOFF);
    const waitMs = settled ? 0 : Math.round(this.#backoff.next(0));
    this.#triedAt = now + waitMs;
    return waitMs;
  }

  /** A try is over. */
  tried(): void {
    this.#triedAt = performance.now();
  }
}

/** What is needed to resume a session. */
export interface ResumerOptions {
  session: Session;
  /** What links are opened to. */
  hop: Address;
  pace: DialPace;
  /** The one of its peer. */
  resumePace: ResumePace;
  /** Starts to open a link that claims the session. Returns why there is none otherwise. `waited`: it is tried again. */
  dial: (options: { waited: boolean }) => Promise<Link | string>;
  /** The session goes on over a link. */
  onResumed: (link: Link) => void;
  /** The peer knows the session no more. The link, which is open, is for whatever follows it. */
  onUnknown: (link: Link) => void;
  /** No link was opened, and when the next one is tried. */
  onRetry: (reason: string, retryMs: number) => void;
}

/** Resumes one session, until it is disposed. */
export class Resumer implements Disposable {
  readonly #options: ResumerOptions;
  readonly #pause: RedialPause;
  /** The link that is opened now. */
  #trying: Link | undefined;
  #disposed = false;

  constructor(options: ResumerOptions) {
    this.#options = options;
    this.#pause = new RedialPause(options.hop, options.pace, { fresh: false });
  }

  /** The session has lost its link. Resolves when it has another one, or has ended. Never rejects. */
  async run(): Promise<void> {
    const { session, resumePace, onRetry } = this.#options;
    let waitMs = resumePace.next();
    let waited = false;
    while (session.suspended !== undefined && !this.#disposed) {
      if (waitMs > 0) await this.#pause.wait(waitMs, { known: true });
      using turn = await this.#pause.turn({ known: true });
      if (turn === undefined || session.suspended === undefined) return;
      const reason = await this.#try({ waited: waited || turn.waited });
      resumePace.tried();
      if (reason === undefined || session.suspended === undefined) return;
      waited = true;
      waitMs = resumePace.next();
      onRetry(reason, waitMs);
    }
  }

  /** Nothing is opened any more. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#pause[Symbol.dispose]();
    this.#trying?.abort(new ConnectorError("cancelled", "nobody waits for the link any more"));
  }

  /** Returns why it may be tried again; undefined when it is over. */
  async #try({ waited }: { waited: boolean }): Promise<string | undefined> {
    const { session, dial, onResumed, onUnknown } = this.#options;
    const link = await dial({ waited });
    if (typeof link === "string") return link;
    this.#trying = link;
    const late = new ConnectorError("deadline_exceeded", "the peer did not answer");
    const timer = setTimeout(() => link.abort(late), ANSWER_MS);
    const result = await session.resumeOver(link);
    clearTimeout(timer);
    this.#trying = undefined;
    switch (result) {
      case "resumed":
        onResumed(link);
        return undefined;
      case "unknown":
        onUnknown(link);
        return undefined;
      case "failed":
        // One that is open still has greeted as none that could know the session.
        link.abort(new ConnectorError("unavailable", "the peer does not negotiate"));
        return (await link.closed)?.message ?? "the link was closed";
    }
  }
}
