// The messages of a session that its peer may not have received: kept in order, so that they can be sent again over the next
// link. References, not copies: a message is never changed once it was made. Pure. docs/PROTOCOL.md, "Resumption".

import { ConnectorError } from "../model/errors.ts";

/** What a kept message costs besides its bytes, in bytes. */
const MESSAGE_OVERHEAD_BYTES = 128;
/** The used-up front is dropped when it is this long, in messages, and half of the whole. */
const MIN_COMPACTION = 64;

/** What was sent and not acknowledged. */
export class Retained {
  /** Those that are not acknowledged, from `#head` on. */
  #messages: (Uint8Array | undefined)[] = [];
  #head = 0;
  #acknowledged = 0;
  #bytes = 0;

  /** How many messages were sent, from the first one of the session on. */
  get sent(): number {
    return this.#acknowledged + this.#messages.length - this.#head;
  }

  /** How many of them the peer is known to have received. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** What is kept costs, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** One more is sent. */
  push(message: Uint8Array): void {
    this.#messages.push(message);
    this.#bytes += message.length + MESSAGE_OVERHEAD_BYTES;
  }

  /** The message that follows so many others. @throws {TypeError} when it is not kept: a defect of ours. */
  after(count: number): Uint8Array {
    const message = count < this.#acknowledged
      ? undefined
      : this.#messages[this.#head + count - this.#acknowledged];
    if (message === undefined) throw new TypeError("a message is wanted that is not kept");
    return message;
  }

  /**
   * The peer has received so many messages, of `handed` that a link was given; default: all.
   *
   * @throws {ConnectorError} `invalid_argument` when it had said more before, or so many were never sent.
   */
  acknowledge(count: number, { handed = this.sent }: { handed?: number } = {}): void {
    if (!Number.isSafeInteger(count) || count < this.#acknowledged || count > handed) {
      throw new ConnectorError(
        "invalid_argument",
        `The peer says that it has received ${count} messages: ` +
          `want a number from ${this.#acknowledged} to ${handed}`,
      );
    }
    for (; this.#acknowledged < count; this.#acknowledged += 1, this.#head += 1) {
      this.#bytes -= (this.#messages[this.#head]?.length ?? 0) + MESSAGE_OVERHEAD_BYTES;
      this.#messages[this.#head] = undefined;
    }
    if (this.#head < MIN_COMPACTION || this.#head * 2 < this.#messages.length) return;
    this.#messages = this.#messages.slice(this.#head);
    this.#head = 0;
  }
}
