/// <reference lib="dom" />
// Keeps up with the connector: reads its events, notices when they stop, and comes back after growing waits.

import type { LiveMessages } from "../src/api/live_messages.ts";
import { ApiError, request } from "./api.ts";
import { ServerEventReader } from "./server_events.ts";

/** With no event for so long the connector is lost, in milliseconds: it sends one a second. */
const SILENCE_MS = 10_000;
/** Waits between two tries, in milliseconds. */
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

/** How long a page may be hidden before it reads no more, in milliseconds. Browsers open six connections to one place. */
const HIDDEN_MS = 5000;

/** Whether events come. */
export type LiveStatus =
  | { kind: "connecting" }
  | { kind: "live" }
  /** `retryAt` is when it is tried again, by the clock of the page, in milliseconds. */
  | { kind: "lost"; reason: string; retryAt: number }
  /** Nothing is shown without a token, or with a wrong one. */
  | { kind: "refused"; status: number; reason: string };

/** What reads events. */
export interface LiveOptions {
  path: string;
  /** Takes the name and the data of each event. */
  onEvent: (name: keyof LiveMessages, data: unknown) => void;
  onStatus: (status: LiveStatus) => void;
}

/** Events of the connector until it is closed. */
export class Live {
  readonly #options: LiveOptions;
  #waitMs = FIRST_WAIT_MS;
  #reading: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #hiding: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  /** Begins to read, or tries again at once. A page that is hidden stops after a while, and catches up when it is shown. */
  start(): void {
    this.#stop();
    document.addEventListener("visibilitychange", this.#onVisibility);
    if (document.hidden) this.#onVisibility();
    void this.#read();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#hiding);
    document.removeEventListener("visibilitychange", this.#onVisibility);
    this.#stop();
  }

  readonly #onVisibility = () => {
    clearTimeout(this.#hiding);
    if (document.hidden) this.#hiding = setTimeout(() => this.#stop(), HIDDEN_MS);
    else if (this.#reading === undefined) this.start();
  };

  #stop(): void {
    clearTimeout(this.#timer);
    const reading = this.#reading;
    this.#reading = undefined;
    reading?.abort();
  }

  async #read(): Promise<void> {
    const reading = new AbortController();
    this.#reading = reading;
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => reading.abort(new Error("nothing comes any more")), SILENCE_MS);
    };
    const began = performance.now();
    let reason: string;
    heard();
    try {
      reason = await this.#readOnce(reading.signal, heard);
      clearTimeout(silence);
      // It ends streams after a while, and when it ends itself: whether it is lost is seen by asking again.
      const isOrderly = performance.now() - began > SILENCE_MS;
      if (isOrderly && this.#reading === reading) return this.start();
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        clearTimeout(silence);
        if (this.#reading === reading) this.#refuse(error);
        return;
      }
      reason = error instanceof ApiError
        ? error.message
        : reading.signal.aborted
        ? "nothing comes any more"
        : "it does not answer";
    }
    clearTimeout(silence);
    // Another try has begun in its place.
    if (this.#reading !== reading || this.#closed) return;
    this.#options.onStatus({ kind: "lost", reason, retryAt: Date.now() + this.#waitMs });
    this.#timer = setTimeout(() => this.start(), this.#waitMs);
    this.#waitMs = Math.min(LONGEST_WAIT_MS, 2 * this.#waitMs);
  }

  /** Resolves with the reason when the events end. */
  async #readOnce(signal: AbortSignal, heard: () => void): Promise<string> {
    const { path, onEvent, onStatus } = this.#options;
    const { body } = await request(path, { signal });
    const reader = new ServerEventReader();
    if (body === null) return "it sends nothing";
    const decoder = new TextDecoder();
    const pieces = body.getReader();
    for (let piece = await pieces.read(); !piece.done; piece = await pieces.read()) {
      heard();
      for (const { name, data } of reader.take(decoder.decode(piece.value, { stream: true }))) {
        const value: unknown = JSON.parse(data);
        if (name === "end") return String(value);
        if (this.#waitMs > FIRST_WAIT_MS || name === "snapshot" || name === "detail") {
          this.#waitMs = FIRST_WAIT_MS;
          onStatus({ kind: "live" });
        }
        // It comes from the program that the page comes from.
        onEvent(name as keyof LiveMessages, value);
      }
    }
    return "it has ended the connection";
  }

  #refuse({ status, message }: ApiError): void {
    if (!this.#closed) this.#options.onStatus({ kind: "refused", status, reason: message });
  }
}
