// Sends messages over a link: control at once, data in turns. Between two turns the link may say that it
// is full; then data waits where it is, in the reader's buffer, and so back to the sender's TCP socket.

import type { Link } from "./link.ts";

/** Makes the message when its turn has come; null when it is not wanted any more. */
export type MakeMessage = () => Uint8Array | null;

/** The sending side of a session. Holds no data: only who waits, at most one turn a stream. */
export class Outbox {
  readonly #link: Link;
  readonly #waiting: { make: MakeMessage; done: () => void }[] = [];
  #full = false;
  #ended = false;

  constructor(link: Link) {
    this.#link = link;
  }

  /** Sends a control message now, ahead of all data that waits. */
  sendControl(message: Uint8Array): void {
    this.#send(message);
  }

  /** Sends a data message when its turn comes: first come, first served. Never rejects. */
  sendData(make: MakeMessage): Promise<void> {
    if (this.#ended) return Promise.resolve();
    if (!this.#full) {
      const message = make();
      if (message !== null) this.#send(message);
      return Promise.resolve();
    }
    return new Promise((done) => this.#waiting.push({ make, done }));
  }

  /** Sends nothing more, and lets everybody go who waits. */
  end(): void {
    this.#ended = true;
    for (const { done } of this.#waiting.splice(0)) done();
  }

  #send(message: Uint8Array): void {
    if (this.#ended || this.#link.send(message) || this.#full) return;
    this.#full = true;
    this.#link.writable().then(() => this.#resume());
  }

  #resume(): void {
    this.#full = false;
    while (!this.#full) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const message = next.make();
      if (message !== null) this.#send(message);
      next.done();
    }
  }
}
