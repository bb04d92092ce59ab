// Cuts off a link that we have ended and that the peer does not end in time.

import { ConnectorError } from "../model/errors.ts";
import type { Link } from "./link.ts";

/** The patience with one link that is about to end. */
export class CutOff implements Disposable {
  readonly #link: Link;
  readonly #reason: () => ConnectorError | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #deadline = Infinity;

  /** `reason` is asked for why we have ended the link; without one, that the peer did not follow. */
  constructor(link: Link, reason: () => ConnectorError | undefined) {
    this.#link = link;
    this.#reason = reason;
  }

  /** Cuts it off in so many milliseconds, or when it was said before, whichever is sooner. */
  in(graceMs: number): void {
    const deadline = performance.now() + graceMs;
    if (deadline >= this.#deadline) return;
    this.#deadline = deadline;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const late = new ConnectorError("deadline_exceeded", "the peer did not end the link");
      this.#link.abort(this.#reason() ?? late);
    }, graceMs);
  }

  /** The link has ended: there is nothing to cut off. */
  [Symbol.dispose](): void {
    this.#deadline = -Infinity;
    clearTimeout(this.#timer);
  }
}
