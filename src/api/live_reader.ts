// One reader of `GET /events`: what waits for it is bounded. A reader that is too slow loses what waits, and gets everything
// as it is then instead. Used by live_state.ts.

import type { LiveMessages } from "./live_messages.ts";

/** What may wait for a reader, in bytes: some seconds of what a busy connector has to say. */
const MAX_WAITING_BYTES = 256 * 1024;

/** A server-sent event. https://html.spec.whatwg.org/multipage/server-sent-events.html */
export function eventText<Name extends keyof LiveMessages>(name: Name, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`;
}

/** Messages on their way to one reader. */
export class LiveReader implements Disposable {
  /** The service whose connections it is told of. */
  readonly serviceId: string | undefined;
  /** Whether it may still read. */
  readonly #admitted: () => boolean;
  readonly #everything: () => Uint8Array;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Whether it is to get everything, before anything else. */
  #behind = true;
  #last: Uint8Array | undefined;
  #ended = false;
  #wake: PromiseWithResolvers<void> | undefined;

  constructor(
    { serviceId, admitted, everything }: {
      serviceId: string | undefined;
      admitted: () => boolean;
      /** Everything that it is to know, as it is now. */
      everything: () => Uint8Array;
    },
  ) {
    this.serviceId = serviceId;
    this.#admitted = admitted;
    this.#everything = everything;
  }

  /** Gives it a message, unless it is to get everything anyway. */
  offer(message: Uint8Array): void {
    if (this.#behind || this.#ended) return;
    this.#waiting.push(message);
    this.#waitingBytes += message.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) {
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#behind = true;
    }
    this.#wake?.resolve();
  }

  /** Gives it a last message, if there is one, in place of what waits, and nothing more. Idempotent. */
  close(message?: Uint8Array): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#last = message;
    this.#wake?.resolve();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What to send next, as soon as there is something; undefined when nothing more comes. */
  async next(): Promise<Uint8Array | undefined> {
    if (!this.#ended && !this.#behind && this.#waiting.length === 0) {
      this.#wake = Promise.withResolvers();
      await this.#wake.promise;
      this.#wake = undefined;
    }
    if (!this.#ended && !this.#admitted()) this.close(NOT_ADMITTED);
    if (this.#ended) {
      const last = this.#last;
      this.#last = undefined;
      return last;
    }
    if (this.#behind) {
      this.#behind = false;
      return this.#everything();
    }
    const message = this.#waiting.shift();
    this.#waitingBytes -= message?.length ?? 0;
    return message;
  }
}

const encoder = new TextEncoder();
const NOT_ADMITTED = encoder.encode(
  eventText("end", JSON.stringify("What allowed this is not valid any more")),
);
