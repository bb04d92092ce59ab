// Shares the event loop between the REST API and everything else: what strangers send is parsed and answered in small
// pieces, one in each turn of the loop, so that no amount of it keeps tunnels waiting for longer than one piece takes.
// Used by paced_stream.ts for what arrives and by exchange.ts for requests.

import { setImmediate } from "node:timers";

/** Turns, in the order in which they were asked for. */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves in a turn of the event loop that is nobody else's. */
  take(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(() => this.#next());
    });
  }

  #next(): void {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(() => this.#next());
  }
}
