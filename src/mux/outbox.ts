// Sends messages over a link: control at once, data in turns. Between two turns the link may say that it
// is full; then data waits where it is, in the reader's buffer, and so back to the sender's TCP socket.

import { ConnectorError } from "../errors.ts";
import type { Link } from "./link.ts";

/**
 * The most that may wait for a peer that does not read, in bytes, before it counts as a breach: room for the
 * first messages of as many connections as a link carries.
 */
const MAX_CONTROL_BYTES = 8 * 1024 * 1024;
/** What a waiting message costs besides its bytes. */
const MESSAGE_OVERHEAD_BYTES = 128;

/** Makes the message when its turn has come; null when it is not wanted any more. */
export type MakeMessage = () => Uint8Array | null;

/** The sending side of a session. Holds no data: only who waits, at most one turn a stream. */
export class Outbox {
  readonly #link: Link;
  readonly #waiting: { make: MakeMessage; done: () => void }[] = [];
  readonly #onOverflow: (error: ConnectorError) => void;
  /** Control that waits while the link is full. */
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  #full = false;
  #ended = false;

  /** `onOverflow` is told when too much control waits because the peer does not read. */
  constructor(link: Link, onOverflow: (error: ConnectorError) => void) {
    this.#link = link;
    this.#onOverflow = onOverflow;
  }

  /** Whether what is queued waits until the link takes messages again. */
  get full(): boolean {
    return this.#full && !this.#ended;
  }

  /** Sends a message of our own making now. How many there are does not depend on the peer. */
  send(message: Uint8Array): void {
    this.#send(message);
  }

  /** Sends a message that the peer or a visitor has caused, ahead of all data that waits. */
  sendControl(message: Uint8Array): void {
    if (!this.#full) return this.#send(message);
    if (this.#ended) return;
    this.#controlBytes += message.length + MESSAGE_OVERHEAD_BYTES;
    this.#control.push(message);
    if (this.#controlBytes <= MAX_CONTROL_BYTES) return;
    this.end();
    const reason = "The peer does not read our answers";
    this.#onOverflow(new ConnectorError("resource_exhausted", reason));
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
    this.#control = [];
    for (const { done } of this.#waiting.splice(0)) done();
  }

  #send(message: Uint8Array): void {
    if (this.#ended || this.#link.send(message) || this.#full) return;
    this.#full = true;
    this.#link.writable().then(() => this.#resume());
  }

  #resume(): void {
    this.#full = false;
    const control = this.#control;
    this.#control = [];
    this.#controlBytes = 0;
    for (const message of control) this.sendControl(message);
    while (!this.#full) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const message = next.make();
      if (message !== null) this.#send(message);
      next.done();
    }
  }
}
