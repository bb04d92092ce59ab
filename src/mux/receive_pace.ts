// How fast a session takes what its peer sends, so that no peer keeps others waiting: messages of one link take a few
// milliseconds of a turn of the event loop, and control messages, each of which may open a port or end connections, come
// at a rate. What is more stays in the link, which holds the peer back. Used by session.ts.

import { setImmediate } from "node:timers";
import { delay } from "../delay.ts";
import { MAX_SERVICES_PER_LINK } from "../model/service.ts";

/** So long messages of one link are worked on before others have their turn, in milliseconds: some MB of data. */
const TURN_MS = 4;
/** Control messages that are taken at once: twice as many as a link may have services, which all come when it opens. */
const CONTROL_AT_ONCE = 2 * MAX_SERVICES_PER_LINK;
/** And in a second after that. */
const CONTROL_PER_SECOND = 200;

/** The links that wait for their turn, all of the process, as a chain. */
let lastTurn: Promise<void> = Promise.resolve();

/** Resolves in a turn of the event loop that no other link has. */
function nextTurn(): Promise<void> {
  return lastTurn = lastTurn.then(() => new Promise((resolve) => void setImmediate(resolve)));
}

/** The pace of one link. Disposing ends a wait that is under way, and all that would follow. */
export class ReceivePace implements Disposable {
  readonly #ended = new AbortController();
  #spentMs = 0;
  #beganAt = 0;
  /** Control messages that may be taken now; grows with time. */
  #credit = CONTROL_AT_ONCE;
  #grownAt = performance.now();

  /** A message is about to be worked on. */
  begin(): void {
    this.#beganAt = performance.now();
  }

  /** The message that is being worked on was one of control. */
  countControl(): void {
    const grown = this.#credit + (this.#beganAt - this.#grownAt) / 1000 * CONTROL_PER_SECOND;
    this.#grownAt = this.#beganAt;
    this.#credit = Math.min(CONTROL_AT_ONCE, grown) - 1;
  }

  /** The message has been worked on. What is returned is to be awaited before the next one. */
  pause(): Promise<void> | undefined {
    this.#spentMs += performance.now() - this.#beganAt;
    if (this.#credit < 0) {
      this.#spentMs = 0;
      return delay(-this.#credit / CONTROL_PER_SECOND * 1000, { signal: this.#ended.signal });
    }
    if (this.#spentMs < TURN_MS) return undefined;
    this.#spentMs = 0;
    return nextTurn();
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
  }
}
