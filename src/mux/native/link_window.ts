// How many bytes may be under way over a link, all streams together: enough to keep its path busy, and little more, so that
// what is sent next does not wait behind megabytes in the buffers of the path. Pings are the marks: the answer to one proves
// that everything before it has arrived. Pure arithmetic: the clock is passed in, nothing is sent from here; batcher.ts
// feeds it. docs/PROTOCOL.md, "What is under way".
//
// Each answer tells a round trip, and a rate: what was under way as its mark was sent has arrived in that time. What a round
// trip takes beyond the shortest is queue; the part of it that the answer has waited in the other direction is none of ours.
// The window is what the rate carries in the shortest round trip with the queue that is allowed. So it doubles in each round
// trip that has no queue, and comes to rest where the queue is as long as it may be. (The model of a path is BBR's, that of a
// queue LEDBAT's, RFC 6817.)

import { ConnectorError } from "../../model/errors.ts";
import { IncomingQueue } from "./incoming_queue.ts";

/** What may be under way at first, in bytes: half a second of 256 kbit/s, and about what TCP begins with. */
const INITIAL_BYTES = 16 * 1024;
/** The window is never smaller, in bytes: half a second of 64 kbit/s. */
export const MIN_WINDOW_BYTES = 4 * 1024;
/** It never grows beyond this, in bytes: HTTP/2's window is smaller. */
const MAX_WINDOW_BYTES = 64 * 1024 * 1024;
/** The queue that is allowed is as long as a round trip, but within these bounds, in milliseconds. */
export const MIN_QUEUE_MS = 100;
const MAX_QUEUE_MS = 600;
/** A queue so many times longer than is allowed is answered at once, not at the end of a round trip. */
const FAR_TOO_LONG = 4;
/** The round trip that is assumed before the first answer, in milliseconds. */
const INITIAL_ROUND_TRIP_MS = 10;
/** No round trip is shorter, in milliseconds. */
const MIN_ROUND_TRIP_MS = 0.01;
/** A round trip with no more than this ahead of it is one without a queue of ours, in bytes. */
const IDLE_BYTES = 2 * 1024;
/** The round trip is the shortest of so many without a queue. */
const SAMPLES = 8;
/** So old, in milliseconds, the last of them may become while the window is full, until one is had by a pause. */
const MAX_SAMPLE_AGE_MS = 30_000;
/** When shrinking so often has not helped, the path may have become longer: a pause tells, but not sooner after the last one. */
const MAX_TOO_LONG = 4;
const MIN_PAUSE_INTERVAL_MS = 2_000;
/** A window has so many marks, frames and messages under way. */
const PARTS = 8;
/** Frames and messages are no smaller for that, in bytes, and marks no denser. */
const MIN_PART_BYTES = 1024;
/** No mark is asked for while so many are not answered. */
const MAX_MARKS = 64;

interface Mark {
  nonce: number;
  at: number;
  /** Bytes that were sent before it. */
  sent: number;
  /** Of those, bytes that were under way. */
  underWay: number;
  /** No data was among them: it tells the round trip without a queue. */
  idle: boolean;
  /** It was sent over a path that is lost: the answer may have been given there, and tells nothing of this one. */
  lost: boolean;
}

/** What was seen since its first mark was sent, until that is answered: about one round trip. */
interface Round {
  /** Bytes that were sent before it. */
  sent: number;
  /** The shortest round trip, and the highest rate in bytes a millisecond. */
  shortest: number;
  rate: number;
  /** The most that was under way, in bytes. */
  underWay: number;
  /** Data has waited for room. */
  limited: boolean;
}

/** The window of one direction of a link. Times in milliseconds. */
export class LinkWindow {
  readonly #maxBytes: number;
  readonly #maxUnmarkedBytes: number;
  #size = INITIAL_BYTES;
  #sent = 0;
  #arrived = 0;
  /** Bytes that were sent before the last mark. */
  #marked = 0;
  readonly #marks: Mark[] = [];
  #incoming = new IncomingQueue();
  /** Round trips without a queue, the last ones. */
  #samples: number[] = [];
  #sampledAt = -Infinity;
  #round = newRound(0);
  /** Rounds in a row with a queue that was too long, and the shortest round trip of the first of them. */
  #tooLong: { rounds: number; shortest: number } | undefined;
  /**
   * No data is sent until what is under way has arrived, up to so many bytes of all; the last time, and whether former round
   * trips count after it.
   */
  #pausing = false;
  #pausedUntil = 0;
  #pausedAt = -Infinity;
  #forgets = false;

  /** It never grows beyond `maxBytes`, and a mark follows `maxUnmarkedBytes` at the latest. */
  constructor(
    { maxBytes = MAX_WINDOW_BYTES, maxUnmarkedBytes = Infinity }: {
      maxBytes?: number;
      maxUnmarkedBytes?: number;
    } = {},
  ) {
    this.#maxBytes = maxBytes;
    this.#maxUnmarkedBytes = maxUnmarkedBytes;
  }

  /** The size in bytes now. */
  get size(): number {
    return this.#size;
  }

  /** Bytes that may be sent now; not above zero when there is none. */
  get room(): number {
    return this.#pausing ? 0 : this.#size - this.underWay;
  }

  /** Bytes of which it is not known that they have arrived. */
  get underWay(): number {
    return this.#sent - this.#arrived;
  }

  /** The largest data frame that is to be sent, in bytes, so that another stream's turn comes soon. */
  get partBytes(): number {
    return Math.max(MIN_PART_BYTES, this.#size / PARTS | 0);
  }

  /** The round trip without a queue of ours. */
  get roundTrip(): number {
    return this.measuredRoundTrip ?? INITIAL_ROUND_TRIP_MS;
  }

  /** The same; undefined before the first answer. */
  get measuredRoundTrip(): number | undefined {
    return this.#samples.length === 0 ? undefined : Math.min(...this.#samples);
  }

  /** Counts bytes as sent. */
  send(count: number): void {
    this.#sent += count;
  }

  /** Data waits, because there is no room. */
  limit(): void {
    this.#round.limited = true;
  }

  /** How many pings have had no answer. */
  get unanswered(): number {
    return this.#marks.length;
  }

  /** Whether a mark is to follow what was sent. */
  get wantsMark(): boolean {
    if (this.#marks.length >= MAX_MARKS) return false;
    const unmarked = this.#sent - this.#marked;
    if (this.#pausing) return unmarked > IDLE_BYTES || this.#isIdle;
    if (unmarked >= Math.min(this.partBytes, this.#maxUnmarkedBytes)) return true;
    // The last bytes of a full window: nothing after them would mark them.
    return unmarked > 0 && this.#marks.length === 0 && this.room <= 0;
  }

  /** A ping is sent. Returns its number: our clock, from which the peer may learn how long it was under way. */
  mark(now: number): number {
    const idle = this.#isIdle;
    if (idle) this.#pausing = false;
    const nonce = now >>> 0;
    this.#marked = this.#sent;
    this.#marks.push({
      nonce,
      at: now,
      sent: this.#sent,
      underWay: this.underWay,
      idle,
      lost: false,
    });
    return nonce;
  }

  /** Whether hardly anything is under way; after a pause, nothing but what never waits, of which there may be much. */
  get #isIdle(): boolean {
    return this.underWay <= IDLE_BYTES || this.#pausing && this.#arrived >= this.#pausedUntil;
  }

  /** The peer's ping has arrived. */
  ping(nonce: number, now: number): void {
    this.#incoming.ping(nonce, now);
  }

  /** A ping was answered. @throws {ConnectorError} `internal` when it was not the next. */
  answer(nonce: number, now: number): void {
    const [mark] = this.#marks;
    if (mark?.nonce !== nonce) {
      throw new ConnectorError("internal", "The peer answered a ping that was not sent");
    }
    this.#marks.shift();
    this.#arrived = mark.sent;
    if (mark.lost) return;
    const incoming = this.#incoming.length(now);
    // Two moments that the clock cannot tell apart are still apart.
    const whole = Math.max(now - mark.at, MIN_ROUND_TRIP_MS);
    const roundTrip = Math.max(whole - incoming, MIN_ROUND_TRIP_MS);
    if (whole < this.roundTrip) this.#samples = [whole];
    if (mark.idle) {
      // What an answer has waited is known about, not exactly: better than nothing, after a pause.
      if (incoming < MIN_QUEUE_MS / 2 || this.#pausedAt > this.#sampledAt) {
        this.#sample(roundTrip, now);
      }
      // It tells nothing of a rate.
      if (mark.sent >= this.#round.sent) this.#round = newRound(this.#sent);
      return;
    }
    const round = this.#round;
    const rate = mark.underWay / whole;
    round.shortest = Math.min(round.shortest, roundTrip);
    round.rate = Math.max(round.rate, rate);
    round.underWay = Math.max(round.underWay, mark.underWay);
    if (roundTrip > this.roundTrip + FAR_TOO_LONG * this.#allowedQueue) {
      this.#endRound({ ...round, shortest: roundTrip, rate }, { now, incoming });
    } else if (mark.sent >= round.sent) {
      this.#endRound(round, { now, incoming });
    }
  }

  /** What is under way is sent again over another path, of which nothing is known. */
  restart(): void {
    this.#size = INITIAL_BYTES;
    this.#incoming = new IncomingQueue();
    for (const mark of this.#marks) mark.lost = true;
    this.#samples = [];
    this.#sampledAt = -Infinity;
    this.#tooLong = undefined;
    this.#pausing = false;
    this.#pausedAt = -Infinity;
    this.#forgets = false;
    this.#round = newRound(this.#sent);
  }

  get #allowedQueue(): number {
    return Math.min(MAX_QUEUE_MS, Math.max(MIN_QUEUE_MS, this.roundTrip));
  }

  #sample(roundTrip: number, now: number): void {
    if (this.#forgets) this.#samples = [];
    this.#forgets = false;
    this.#samples.push(roundTrip);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    this.#sampledAt = now;
  }

  /** `incoming`: how long answers wait in the other direction. */
  #endRound(
    { shortest, rate, underWay, limited }: Round,
    { now, incoming }: { now: number; incoming: number },
  ): void {
    const allowedQueue = this.#allowedQueue;
    const queue = shortest - this.roundTrip;
    const wanted = rate * (this.roundTrip + allowedQueue + Math.min(incoming, allowedQueue));
    if (queue > allowedQueue) {
      this.#size = Math.max(MIN_WINDOW_BYTES, Math.min(this.#size, wanted));
      this.#doubt(shortest, now);
    } else {
      this.#tooLong = undefined;
      const larger = Math.min(wanted, 2 * this.#size, this.#maxBytes);
      // Of a window that was not full the rate says only what is possible at least.
      const full = limited && underWay > this.#size / 2;
      this.#size = Math.max(full ? MIN_WINDOW_BYTES : this.#size, larger);
      if (limited && now - this.#sampledAt > MAX_SAMPLE_AGE_MS) this.#pause(now);
    }
    this.#round = newRound(this.#sent);
  }

  /** The queue is too long. If it stays so however much the window shrinks, it may be none of ours. */
  #doubt(roundTrip: number, now: number): void {
    const { rounds, shortest } = this.#tooLong ?? { rounds: 0, shortest: roundTrip };
    const helped = roundTrip < 0.9 * shortest;
    this.#tooLong = helped ? { rounds: 1, shortest: roundTrip } : { rounds: rounds + 1, shortest };
    if (rounds < MAX_TOO_LONG || helped || now - this.#pausedAt < MIN_PAUSE_INTERVAL_MS) return;
    this.#tooLong = undefined;
    this.#forgets = true;
    this.#pause(now);
  }

  #pause(now: number): void {
    if (this.#pausing) return;
    this.#pausing = true;
    this.#pausedUntil = this.#sent;
    this.#pausedAt = now;
  }
}

function newRound(sent: number): Round {
  return { sent, shortest: Infinity, rate: 0, underWay: 0, limited: false };
}
