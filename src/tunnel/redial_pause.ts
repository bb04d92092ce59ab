// Decides when to dial a peer again: after a wait, which ends early when a service needs the link
// or the peer's port opens, and when it is the peer's turn among all.

import type { Address } from "../model/address.ts";
import { delay } from "../delay.ts";
import { becomesReachable, type Reachability } from "../net/reachable.ts";
import type { DialPace } from "./dial_pace.ts";
import type { Pacer, Turn } from "./pacer.ts";

/** Waits longer than this, in milliseconds, end early when the peer's port opens. */
const PATIENT_WAIT_MS = 1000;

/** Waits between the tries to open a link to one peer. */
export class RedialPause implements Disposable {
  readonly #address: Address;
  readonly #pace: DialPace;
  /** Ends the part of the wait that `hurry` cuts short. */
  #hurry = new AbortController();
  readonly #closing = new AbortController();
  /** Whether the next try is a fresh one. */
  #hurried: boolean;
  /** What the peer's port did at the last look: it may open between a wait and the next. */
  #seen: Reachability | undefined;

  /** `fresh`: whether the first try does not wait. */
  constructor(address: Address, pace: DialPace, { fresh = true }: { fresh?: boolean } = {}) {
    this.#address = address;
    this.#pace = pace;
    this.#hurried = fresh;
  }

  /** Waits for this peer's turn to be dialled; `known`: it has answered before. Undefined once it was disposed. */
  async turn({ known }: { known: boolean }): Promise<Turn | undefined> {
    for (;;) {
      // Those that are in the quick lanes already keep their place when `hurry` is called.
      const quick = known || this.#hurried;
      const { signal } = quick ? this.#closing : this.#newHurry();
      const turn = await this.#lane(known).turn(signal);
      if (turn === undefined && !this.#closing.signal.aborted) continue;
      this.#hurried = false;
      return turn;
    }
  }

  /**
   * Waits so long, in milliseconds, or until `hurry` is called or the signal is aborted: then others need not hurry.
   * Never rejects.
   */
  async wait(
    ms: number,
    { known, signal: given }: { known: boolean; signal?: AbortSignal },
  ): Promise<void> {
    if (this.#closing.signal.aborted || this.#hurried) return;
    const hurry = this.#newHurry().signal;
    const signal = given ? AbortSignal.any([hurry, given]) : hurry;
    if (ms <= PATIENT_WAIT_MS) return await delay(ms, { signal });
    const waited = new AbortController();
    const watched = becomesReachable(this.#address, {
      signal: AbortSignal.any([signal, waited.signal]),
      before: this.#seen,
      turn: (signal) => this.#lane(known).turn(signal),
    }).then((seen) => {
      this.#seen = seen;
      if (seen === "opened") this.hurry();
    });
    await delay(ms, { signal });
    waited.abort();
    await watched;
  }

  /** Ends the wait that is under way, if any: the next try is due. */
  hurry(): void {
    this.#hurried = true;
    this.#hurry.abort();
  }

  /** Ends every wait, now and later. */
  [Symbol.dispose](): void {
    this.#closing.abort();
    this.#hurry.abort();
  }

  #lane(known: boolean): Pacer {
    if (known) return this.#pace.known;
    return this.#hurried ? this.#pace.fresh : this.#pace.failing;
  }

  #newHurry(): AbortController {
    this.#hurry = new AbortController();
    return this.#hurry;
  }
}
