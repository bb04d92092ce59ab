// The arithmetic of flow control by absolute offsets: how much may be sent, when to grant more, and how the
// window grows. Pure: the clock is passed in, nothing is sent from here. docs/PROTOCOL.md, "Flow control".

import { ConnectorError } from "../../model/errors.ts";

/** What we may send in one direction of a stream. */
export class SendWindow {
  #sent = 0;
  #limit: number;

  constructor(initialBytes: number) {
    this.#limit = initialBytes;
  }

  /** Bytes that may be sent now. */
  get available(): number {
    return this.#limit - this.#sent;
  }

  /** Counts bytes as sent. @throws {TypeError} beyond what is available: a defect of ours. */
  take(count: number): void {
    if (count > this.available) throw new TypeError("more was sent than was granted");
    this.#sent += count;
  }

  /**
   * The peer grants bytes up to an offset.
   *
   * @throws {ConnectorError} `internal` when the offset does not grow.
   */
  grant(offset: number): void {
    if (!Number.isSafeInteger(offset) || offset <= this.#limit) {
      throw new ConnectorError("internal", `The peer granted ${offset} after ${this.#limit}`);
    }
    this.#limit = offset;
  }
}

/**
 * No round trip counts as shorter here, in milliseconds. On one machine it is shorter than a turn of a busy reader, in which
 * half a window may have gone by: windows stayed at 4 MiB, and each byte cost four times as many grants.
 */
const MIN_ROUND_TRIP_MS = 10;

/** Bytes by which the windows of a session may grow beyond their first size, shared by all its streams. */
export class WindowBudget {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  /** Takes bytes for a window. Returns whether they were left. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  /** Gives bytes of a window back. */
  giveBack(bytes: number): void {
    this.#left += bytes;
  }
}

/** What a receive window needs. */
export interface ReceiveWindowOptions {
  /** The first size in bytes, which the peer may fill unasked. */
  initialBytes: number;
  /** It never grows beyond this, in bytes. */
  maxBytes: number;
  budget: WindowBudget;
}

/** What the peer may send in one direction of a stream. */
export class ReceiveWindow {
  readonly #initialBytes: number;
  readonly #maxBytes: number;
  readonly #budget: WindowBudget;
  #size: number;
  #granted: number;
  #received = 0;
  #consumed = 0;
  #grantedAt = -Infinity;
  #released = false;

  constructor({ initialBytes, maxBytes, budget }: ReceiveWindowOptions) {
    this.#initialBytes = initialBytes;
    this.#maxBytes = Math.max(maxBytes, initialBytes);
    this.#budget = budget;
    this.#size = initialBytes;
    this.#granted = initialBytes;
  }

  /** The size in bytes now. */
  get size(): number {
    return this.#size;
  }

  /**
   * Counts bytes as received.
   *
   * @throws {ConnectorError} `internal` when the peer sends more than it was granted.
   */
  receive(count: number): void {
    this.#received += count;
    if (this.#received > this.#granted) {
      throw new ConnectorError(
        "internal",
        `The peer sent ${this.#received} bytes of ${this.#granted} granted`,
      );
    }
  }

  /**
   * Counts bytes as consumed. Returns the offset to grant now, or undefined while more than half of the
   * window is still open. Times in milliseconds; they are asked for only when something is to be granted.
   */
  consume(
    count: number,
    time: { readonly now: number; readonly roundTrip: number },
  ): number | undefined {
    this.#consumed += count;
    // A reader may still drain what had arrived: that must not take of the budget again.
    if (this.#released) return undefined;
    const used = this.#size - (this.#granted - this.#consumed);
    if (used < this.#size / 2) return undefined;
    // Half a window in less than two round trips: the sender was waiting for grants.
    const { now } = time;
    if (now - this.#grantedAt < 2 * Math.max(MIN_ROUND_TRIP_MS, time.roundTrip)) this.#grow();
    this.#grantedAt = now;
    this.#granted = this.#consumed + this.#size;
    return this.#granted;
  }

  /** Gives what it took of the budget back. Nothing is granted any more. Idempotent. */
  release(): void {
    this.#released = true;
    this.#budget.giveBack(this.#size - this.#initialBytes);
    this.#size = this.#initialBytes;
  }

  #grow(): void {
    const larger = Math.min(this.#size * 2, this.#maxBytes);
    if (this.#budget.take(larger - this.#size)) this.#size = larger;
  }
}
