// The wait before a peer is dialled again: it ends early when somebody is in a hurry, or when the peer's port opens.

import type { Address } from "../address.ts";
import { delay } from "../delay.ts";
import { becomesReachable, type Reachability } from "../tcp/reachable.ts";

/** Waits longer than this, in milliseconds, end early when the peer's port opens. */
const PATIENT_WAIT_MS = 1000;

/** Waits between the tries to open a link to one peer. */
export class RedialPause {
  readonly #address: Address;
  #hurry = new AbortController();
  /** What the peer's port did at the last look: it may open between a wait and the next. */
  #seen: Reachability | undefined;

  constructor(address: Address) {
    this.#address = address;
  }

  /** Waits. Never rejects. */
  async wait(ms: number): Promise<void> {
    const hurry = new AbortController();
    const { signal } = hurry;
    this.#hurry = hurry;
    if (ms <= PATIENT_WAIT_MS) return await delay(ms, { signal });
    const before = this.#seen;
    const watched = becomesReachable(this.#address, { signal, before }).then((seen) => {
      this.#seen = seen;
      if (seen === "opened") hurry.abort();
    });
    await delay(ms, { signal });
    hurry.abort();
    await watched;
  }

  /** Ends the wait that is under way, if any. */
  end(): void {
    this.#hurry.abort();
  }
}
