// Whether the peer still answers, and how long it takes. A path can go silent without anything being closed:
// only an answer proves that it is there. docs/PROTOCOL.md, "Liveness".

import { ConnectorError } from "../errors.ts";

/** Between two pings, in milliseconds. With the time to answer, a silent path is noticed within 15 s. */
export const PING_INTERVAL_MS = 5_000;
/** How long an answer may take, in milliseconds: far above any path, and above what a busy machine delays. */
export const PONG_TIMEOUT_MS = 9_000;
/** The round trip is the shortest of so many answers: queues only ever add to it. */
const SAMPLES = 8;
/** The round trip that is assumed before the first answer, in milliseconds. */
const INITIAL_ROUND_TRIP_MS = 10;

/** What it does to the session. */
export interface LivenessHooks {
  /** Sends a ping. */
  ping: (nonce: number) => void;
  /** One was answered. */
  onAnswer?: () => void;
  /** No answer came in time. */
  onSilence: () => void;
}

/** Pings a peer, from `start` to `stop`. */
export class Liveness {
  readonly #hooks: LivenessHooks;
  readonly #samples: number[] = [];
  #nonce = 0;
  #sentAt: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(hooks: LivenessHooks) {
    this.#hooks = hooks;
  }

  /** The round trip in milliseconds. */
  get roundTrip(): number {
    return this.#samples.length === 0 ? INITIAL_ROUND_TRIP_MS : Math.min(...this.#samples);
  }

  /** Sends the first ping. */
  start(): void {
    this.#nonce = (this.#nonce + 1) >>> 0;
    this.#sentAt = performance.now();
    this.#hooks.ping(this.#nonce);
    this.#timer = setTimeout(() => this.#hooks.onSilence(), PONG_TIMEOUT_MS);
  }

  /** Takes an answer. @throws {ConnectorError} `internal` when it answers nothing. */
  pong(nonce: number): void {
    if (this.#sentAt === undefined || nonce !== this.#nonce) {
      throw new ConnectorError("internal", "The peer answered a ping that was not sent");
    }
    this.#samples.push(performance.now() - this.#sentAt);
    if (this.#samples.length > SAMPLES) this.#samples.shift();
    this.#sentAt = undefined;
    this.#hooks.onAnswer?.();
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), PING_INTERVAL_MS);
  }

  /** Sends no more pings. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
