// The sending half of a link. Everything leaves through it: control as whole messages, and data, which its dialect makes
// into messages when there is room for them. It holds no data: while the link is full, bytes wait in the buffer that they
// were read into, and so the sender's TCP socket is held back.

import { ConnectorError } from "../model/errors.ts";
import type { Link } from "./link.ts";

/**
 * The most that may wait for a peer that does not read, in bytes, before it counts as a breach: room for the
 * first messages of as many connections as a link carries.
 */
const MAX_CONTROL_BYTES = 8 * 1024 * 1024;
/** What a waiting message costs besides its bytes. */
const MESSAGE_OVERHEAD_BYTES = 128;

/** What makes the messages of data. */
export interface DataSource {
  /** The next message; undefined when nothing is to be sent now. The outbox is told to `pump` when there is something. */
  next(): Uint8Array | undefined;
  /** Nothing more is sent: lets everybody go who waits. Idempotent. */
  abort(): void;
}

/** Sends over a link. Control goes ahead of all data that waits. */
export class Outbox {
  readonly #link: Link;
  readonly #onOverflow: (error: ConnectorError) => void;
  #source: DataSource | undefined;
  /** Control that waits while the link is full. */
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  #full = false;
  #ended = false;

  /** `onOverflow` is told when too much control waits because the peer does not read. It has to abort the outbox. */
  constructor(link: Link, onOverflow: (error: ConnectorError) => void) {
    this.#link = link;
    this.#onOverflow = onOverflow;
  }

  /** Whether what is to be sent waits until the link takes messages again. */
  get full(): boolean {
    return this.#full && !this.#ended;
  }

  /** Takes the data of one source, for good. */
  attach(source: DataSource): void {
    this.#source = source;
  }

  /** Sends a message of our own making now. How many there are does not depend on the peer. */
  send(message: Uint8Array): void {
    if (this.#ended || this.#link.send(message) || this.#full) return;
    this.#full = true;
    this.#link.writable().then(() => this.#resume());
  }

  /** Sends a message that the peer or a visitor has caused, ahead of all data that waits. */
  sendControl(message: Uint8Array): void {
    if (!this.#full) return this.send(message);
    if (this.#ended) return;
    this.#controlBytes += message.length + MESSAGE_OVERHEAD_BYTES;
    this.#control.push(message);
    if (this.#controlBytes <= MAX_CONTROL_BYTES) return;
    this.#control = [];
    this.#controlBytes = 0;
    const reason = "The peer does not read our answers";
    this.#onOverflow(new ConnectorError("resource_exhausted", reason));
  }

  /** Sends the data that there is, as far as the link takes it. */
  pump(): void {
    while (!this.#full && !this.#ended) {
      const message = this.#source?.next();
      if (message === undefined) return;
      this.send(message);
    }
  }

  /** Sends nothing more, and lets everybody go who waits. Idempotent. */
  abort(): void {
    this.#ended = true;
    this.#control = [];
    this.#source?.abort();
  }

  #resume(): void {
    this.#full = false;
    const control = this.#control;
    this.#control = [];
    this.#controlBytes = 0;
    for (const message of control) this.sendControl(message);
    this.pump();
  }
}
