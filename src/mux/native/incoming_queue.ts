// Measures how long data from the peer waits on its way to us. A peer numbers its pings by its clock, in milliseconds:
// the time that a ping takes longer than the quickest one is queueing delay, whatever the offset of the clocks. This
// separates the delays of the two directions, which a round trip cannot do. (RFC 6817, section 2.) Pure: the clock is passed
// in. Used by link_window.ts, with peers that have agreed on it.

/** The quickest ping is that of so many spans of so long, in milliseconds: clocks drift apart by 10 ms meanwhile. */
const SPANS = 10;
const SPAN_MS = 60_000;
/** What a ping told counts for so long, in milliseconds: a peer that sends much sends many. */
const FRESH_MS = 300;

/** The queue of what a peer sends. Times in milliseconds. */
export class IncomingQueue {
  #startedAt: number | undefined;
  #nonce = 0;
  /** How long after the first ping the last one was sent, by the peer's clock: its number is that modulo 2^32, some 50 days. */
  #sent = 0;
  /** How much later than its number each quickest ping of a span came, newest last. */
  #quickest: number[] = [];
  #spanAt = -Infinity;
  #queue = 0;
  #at = -Infinity;

  /** A ping has arrived. */
  ping(nonce: number, now: number): void {
    this.#sent += this.#startedAt === undefined ? 0 : (nonce - this.#nonce) >>> 0;
    this.#nonce = nonce;
    this.#startedAt ??= now;
    const lateness = now - this.#startedAt - this.#sent;
    if (now - this.#spanAt >= SPAN_MS) {
      this.#spanAt = now;
      this.#quickest.push(lateness);
      if (this.#quickest.length > SPANS) this.#quickest.shift();
    }
    const last = this.#quickest.length - 1;
    this.#quickest[last] = Math.min(this.#quickest[last] ?? lateness, lateness);
    this.#queue = lateness - Math.min(...this.#quickest);
    this.#at = now;
  }

  /** How long it is, as far as that is known; 0 otherwise. */
  length(now: number): number {
    return now - this.#at < FRESH_MS ? this.#queue : 0;
  }
}
