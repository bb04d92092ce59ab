// The sessions of an acceptor that their diallers may claim over another link, and what a link's claim has led to. It bounds
// what waits for diallers. docs/PROTOCOL.md, "Resumption".

import { ConnectorError } from "../model/errors.ts";
import { mayResume, principalOf, shareKeyOf } from "../model/principal.ts";
import type { Hello, Link } from "./link.ts";
import { type Claim, formatAnswer, readClaim, ResumeTokens } from "./resumption.ts";
import type { Session } from "./session.ts";

/** The most sessions that wait for their diallers: half of the links that there may be. */
const MAX_WAITING = 500;
/**
 * Claims of one session that are granted at once, and in a second after that: each moves all its services. However its path
 * breaks, a dialler makes fewer.
 */
const CLAIMS_AT_ONCE = 30;
const CLAIMS_PER_SECOND = 3;
/** The most that is kept for all of them, in bytes: some that were cut off at full speed, and all that were not. */
const MAX_WAITING_BYTES = 256 * 1024 * 1024;

/** What was answered to a link before it was taken up. */
type Answered = { kind: "new"; tokens: ResumeTokens; run: string | undefined } | {
  kind: "granted";
  session: Session;
  claim: Claim;
};

/** Bounds of what waits, and of what is granted. */
export interface ClaimBounds {
  /** Sessions that wait. Default: 500. */
  sessions?: number;
  /** What is kept for them. Default: 256 MiB. */
  bytes?: number;
  /** Claims of one session at once. Default: 30. */
  claims?: number;
}

/** What is known of a session. */
interface Claimable {
  /** The run of its dialler, if that has said so. */
  run: string | undefined;
  /** Claims that may be granted now; grows with time. */
  credit: number;
  /** When that was so, as of `performance.now()`. */
  creditAt: number;
}

/** The sessions that can be claimed. */
export class ClaimableSessions {
  readonly #maxWaiting: number;
  readonly #maxWaitingBytes: number;
  readonly #claimsAtOnce: number;
  /** The oldest first. */
  readonly #sessions = new Map<Session, Claimable>();
  /** Those that wait for their diallers, the one that has waited longest first. */
  readonly #waiting = new Set<Session>();
  readonly #answered = new WeakMap<Link, Answered>();

  constructor(
    { sessions = MAX_WAITING, bytes = MAX_WAITING_BYTES, claims = CLAIMS_AT_ONCE }: ClaimBounds =
      {},
  ) {
    this.#maxWaiting = sessions;
    this.#maxWaitingBytes = bytes;
    this.#claimsAtOnce = claims;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * What is to be answered to a dialler that has agreed on resumption. If it has claimed a session that it may have, the link
   * which that session had ends now. To be followed by `take`, once the answer is sent.
   *
   * @throws {ConnectorError} `invalid_argument` when the claim makes no sense.
   */
  answer(link: Link, offer: Hello): string {
    const said = offer.resume === undefined ? undefined : readClaim(offer.resume);
    let run: string | undefined;
    if (said !== undefined && "digest" in said) {
      for (const [session, claimable] of this.#sessions) {
        const granted = session.grant(said, { offer, peer: link.peer });
        if (granted === undefined) continue;
        if (!this.#takeClaim(claimable)) {
          const reason = "the link was lost, and another one was asked for too often";
          session.abort(new ConnectorError("resource_exhausted", reason), { returns: true });
          break;
        }
        this.#answered.set(link, { kind: "granted", session, claim: said });
        return granted;
      }
    } else run = said?.run;
    const tokens = new ResumeTokens();
    this.#answered.set(link, { kind: "new", tokens, run });
    return formatAnswer({ token: tokens.issue(), received: undefined });
  }

  /** Hands a link to the session that it has claimed. Returns whether there is one: else it is for a new session. */
  take(link: Link): boolean {
    const answered = this.#answered.get(link);
    if (answered?.kind !== "granted") return false;
    const { session, claim } = answered;
    // It may have ended, or been claimed once more, while the claim was answered.
    if (session.suspended !== undefined) session.resume(link, claim);
    else link.abort(new ConnectorError("unavailable", "the session has ended"));
    return true;
  }

  /** The tokens of the session that begins over a link; undefined where resumption was not agreed on. */
  tokensOf(link: Link): ResumeTokens | undefined {
    const answered = this.#answered.get(link);
    return answered?.kind === "new" ? answered.tokens : undefined;
  }

  /** Keeps the session that has begun over a link, until it ends. What waits for a former run of its dialler ends. */
  add(session: Session, link: Link): void {
    const answered = this.#answered.get(link);
    this.#sessions.set(session, {
      run: answered?.kind === "new" ? answered.run : undefined,
      credit: this.#claimsAtOnce,
      creditAt: performance.now(),
    });
    for (const waiting of [...this.#waiting]) {
      if (this.#isForsakenFor(waiting, session)) this.#endForsaken(waiting);
    }
    session.closed.then(() => {
      this.#sessions.delete(session);
      this.#waiting.delete(session);
    });
  }

  /** One of them has lost its link. */
  suspended(session: Session): void {
    this.#waiting.add(session);
    // Those that have begun after it stand behind it.
    const all = [...this.#sessions.keys()];
    const later = all.slice(all.indexOf(session) + 1);
    if (later.some((each) => this.#isForsakenFor(session, each))) this.#endForsaken(session);
    this.#keepToBounds();
  }

  /** It has another one. */
  resumed(session: Session): void {
    this.#waiting.delete(session);
  }

  /** Whether the dialler of a session that waits has begun anew since, and opened a later one. */
  #isForsakenFor(waiting: Session, later: Session): boolean {
    const run = this.#sessions.get(waiting)?.run;
    const laterRun = this.#sessions.get(later)?.run;
    if (run === undefined || laterRun === undefined || run === laterRun) return false;
    const claimant = principalOf(later.peer);
    return claimant.proves && mayResume(principalOf(waiting.peer), claimant);
  }

  /** Whether one more claim of a session is granted. */
  #takeClaim(claimable: Claimable): boolean {
    const now = performance.now();
    const grown = (now - claimable.creditAt) / 1000 * CLAIMS_PER_SECOND;
    claimable.credit = Math.min(this.#claimsAtOnce, claimable.credit + grown);
    claimable.creditAt = now;
    if (claimable.credit < 1) return false;
    claimable.credit -= 1;
    return true;
  }

  /** Nobody knows its token any more. */
  #endForsaken(session: Session): void {
    this.#waiting.delete(session);
    const reason = "the link was lost, and the peer has begun anew";
    session.abort(new ConnectorError("unavailable", reason), { returns: true });
  }

  #keepToBounds(): void {
    while (this.#waiting.size > this.#maxWaiting) {
      if (!this.#endLongestOfLargest(() => 1)) return;
    }
    let bytes = 0;
    for (const session of this.#waiting) bytes += session.retainedBytes;
    while (bytes > this.#maxWaitingBytes) {
      const ended = this.#endLongestOfLargest((session) => session.retainedBytes);
      if (ended === undefined) return;
      bytes -= ended.bytes;
    }
  }

  /** Ends the one that has waited longest, of the peer with most: nobody drives others out, by number or by size. */
  #endLongestOfLargest(costOf: (session: Session) => number): { bytes: number } | undefined {
    const peers = new Map<string, { cost: number; longest: Session }>();
    for (const session of this.#waiting) {
      const key = shareKeyOf(session.peer);
      const known = peers.get(key);
      if (known) known.cost += costOf(session);
      else peers.set(key, { cost: costOf(session), longest: session });
    }
    let largest: { cost: number; longest: Session } | undefined;
    for (const peer of peers.values()) {
      if (largest === undefined || peer.cost > largest.cost) largest = peer;
    }
    if (largest === undefined) return undefined;
    const { longest } = largest;
    const { retainedBytes: bytes } = longest;
    this.#waiting.delete(longest);
    const reason = "the link was lost, and too many other connections wait for theirs";
    longest.abort(new ConnectorError("resource_exhausted", reason), { returns: true });
    return { bytes };
  }
}
