// Copies bytes both ways between two channels until both directions have ended, keeping half-close and
// reset what they are. It owns neither the copying's speed limits (the channels hold back) nor any log.

import { type ByteChannel, type ResetCode, TAKEN } from "../byte_channel.ts";
import { reasonOf } from "../model/errors.ts";
import { sweep, type Swept, unsweep } from "./sweep.ts";

/**
 * Once one side is gone, so long without a byte ends the other, in milliseconds: a reader that is only slow gets what
 * has arrived, one that is stuck is not waited for.
 */
export const LOST_GRACE_MS = 500;

/** How to splice. */
export interface SpliceOptions {
  /** Once one direction has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
  /** Told about bytes as they pass: `up` from the first channel to the second. */
  onBytes?: (direction: "up" | "down", count: number) => void;
}

/** What a splice did. */
export interface SpliceResult {
  /** Bytes from the first channel to the second. */
  up: number;
  /** Bytes from the second channel to the first. */
  down: number;
  /** Why it ended, in words; empty when both directions ended in order. */
  reason: string;
}

/** Copies until both directions have ended, then closes both channels. Never rejects. */
export function splice(
  a: ByteChannel,
  b: ByteChannel,
  options: SpliceOptions,
): Promise<SpliceResult> {
  return new Splice(a, b, options).run();
}

/** One for each connection, so it makes no closure that it can do without. */
class Splice {
  readonly #a: ByteChannel;
  readonly #b: ByteChannel;
  readonly #options: SpliceOptions;
  readonly #result: SpliceResult = { up: 0, down: 0, reason: "" };
  #resolve: (result: SpliceResult) => void = () => {};
  /** Directions that are copied still. */
  #copying = 2;
  /** Whether a direction has ended in order. */
  #oneEnded = false;
  /** Why one side takes no more bytes. */
  #refusal: string | undefined;
  /** Why one side is gone. */
  #loss = "";
  /** Runs once one direction has ended. */
  #idle: IdleTimer | undefined;
  /** Runs once one side is gone. */
  #lost: IdleTimer | undefined;

  constructor(a: ByteChannel, b: ByteChannel, options: SpliceOptions) {
    this.#a = a;
    this.#b = b;
    this.#options = options;
  }

  run(): Promise<SpliceResult> {
    const result = new Promise<SpliceResult>((resolve) => this.#resolve = resolve);
    const onLost = (reason: string) => this.#lose(reason);
    this.#a.onLost(onLost);
    this.#b.onLost(onLost);
    this.#copy(this.#a, this.#b, "up");
    this.#copy(this.#b, this.#a, "down");
    return result;
  }

  async #copy(from: ByteChannel, to: ByteChannel, direction: "up" | "down"): Promise<void> {
    // Once the target takes no more, the rest is read and dropped until the other direction has ended: what
    // the target still has to say may be on its way.
    let refused = false;
    try {
      for (let bytes = await from.read(); bytes !== null; bytes = await from.read()) {
        if (refused) continue;
        try {
          const taken = to.write(bytes);
          if (taken !== TAKEN) await taken;
          this.#passed(direction, bytes.length);
        } catch (error) {
          refused = true;
          this.#refuse(reasonOf(error));
        }
      }
      const finished = to.finish();
      if (finished !== TAKEN) await finished;
      this.#endInOrder();
    } catch (error) {
      this.#fail(reasonOf(error));
    }
    this.#copying -= 1;
    if (this.#copying === 0) this.#close();
  }

  /** Bytes were taken. */
  #passed(direction: "up" | "down", count: number): void {
    this.#result[direction] += count;
    this.#idle?.touch();
    this.#lost?.touch();
    this.#options.onBytes?.(direction, count);
  }

  /** One side takes no more bytes. */
  #refuse(reason: string): void {
    // A second refusal is the other direction's: nobody takes anything any more.
    const over = this.#refusal !== undefined || this.#oneEnded;
    this.#refusal ??= reason;
    this.#startIdle();
    if (over) this.#fail(this.#refusal);
  }

  /** One direction has ended in order, and its target was told. */
  #endInOrder(): void {
    this.#oneEnded = true;
    if (this.#refusal !== undefined) this.#fail(this.#refusal);
    else if (this.#copying === 2) this.#startIdle();
  }

  /** One side is gone. */
  #lose(reason: string): void {
    this.#loss ||= reason;
    if (this.#copying === 0) return;
    this.#lost ??= new IdleTimer(LOST_GRACE_MS, () => this.#fail(this.#loss));
    this.#lost.start();
  }

  #startIdle(): void {
    this.#idle ??= new IdleTimer(
      this.#options.halfOpenMs,
      () => this.#reset("idle", "half-open for too long without a byte"),
    );
    this.#idle.start();
  }

  #fail(reason: string): void {
    this.#reset("connection_reset", reason);
  }

  #reset(code: ResetCode, reason: string): void {
    this.#result.reason ||= reason;
    this.#a.reset(code, reason);
    this.#b.reset(code, reason);
  }

  #close(): void {
    this.#idle?.[Symbol.dispose]();
    this.#lost?.[Symbol.dispose]();
    this.#a.close();
    this.#b.close();
    this.#resolve(this.#result);
  }
}

/** From this limit on, in milliseconds, half a second more or less does not matter. */
const MIN_SWEPT_MS = 60_000;

/** Fires once after a time without a touch, counted from `start`. */
class IdleTimer implements Swept, Disposable {
  place = -1;
  readonly #ms: number;
  readonly #onIdle: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #started = false;
  #touched = 0;
  #disposed = false;

  constructor(ms: number, onIdle: () => void) {
    this.#ms = ms;
    this.#onIdle = onIdle;
  }

  start(): void {
    if (this.#disposed) return;
    this.#touched = performance.now();
    if (this.#started) return;
    this.#started = true;
    if (this.#ms >= MIN_SWEPT_MS) sweep(this);
    else this.#timer = setTimeout(() => this.#check(), this.#ms);
  }

  touch(): void {
    if (this.#started) this.#touched = performance.now();
  }

  /** It fires no more, and is not started any more. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    if (!this.#started) return;
    if (this.#timer === undefined) unsweep(this);
    else clearTimeout(this.#timer);
  }

  look(now: number): void {
    if (now - this.#touched < this.#ms) return;
    unsweep(this);
    this.#onIdle();
  }

  #check(): void {
    const left = this.#touched + this.#ms - performance.now();
    if (left <= 0) return this.#onIdle();
    this.#timer = setTimeout(() => this.#check(), left);
  }
}
