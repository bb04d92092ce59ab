// Decides which stream sends data next in the reference dialect: first come, first served, at most
// one turn a stream. It holds no data: a message is made when its turn has come.

import type { DataSource, Outbox } from "../outbox.ts";

/** Makes the message when its turn has come; undefined when it is not wanted any more. */
export type MakeMessage = () => Uint8Array | undefined;

/** Those who wait for their turn. */
export class DataTurns implements DataSource {
  readonly #outbox: Outbox;
  readonly #waiting: { make: MakeMessage; done: () => void }[] = [];
  #ended = false;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
    outbox.attach(this);
  }

  /** Sends a message when its turn comes. Never rejects: whether anything was sent is not told. */
  send(make: MakeMessage): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((done) => {
      this.#waiting.push({ make, done });
      this.#outbox.pump();
    });
  }

  next(): Uint8Array | undefined {
    for (let turn = this.#waiting.shift(); turn !== undefined; turn = this.#waiting.shift()) {
      const message = turn.make();
      turn.done();
      if (message !== undefined) return message;
    }
    return undefined;
  }

  abort(): void {
    this.#ended = true;
    for (const { done } of this.#waiting.splice(0)) done();
  }
}
