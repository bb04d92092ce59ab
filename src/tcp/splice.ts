// Copies bytes both ways between two channels until both directions have ended, keeping half-close and
// reset what they are. It owns neither the copying's speed limits (the channels hold back) nor any log.

import type { ByteChannel, ResetCode } from "../byte_channel.ts";
import { reasonOf } from "../errors.ts";

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
export async function splice(
  a: ByteChannel,
  b: ByteChannel,
  { halfOpenMs, onBytes }: SpliceOptions,
): Promise<SpliceResult> {
  const result: SpliceResult = { up: 0, down: 0, reason: "" };
  const reset = (code: ResetCode, reason: string) => {
    result.reason ||= reason;
    a.reset(code, reason);
    b.reset(code, reason);
  };
  const fail = (reason: string) => reset("connection_reset", reason);
  const idle = new IdleTimer(
    halfOpenMs,
    () => reset("idle", "half-open for too long without a byte"),
  );
  let loss = "";
  const lost = new IdleTimer(LOST_GRACE_MS, () => fail(loss));
  for (const channel of [a, b]) {
    channel.onLost((reason) => {
      loss ||= reason;
      lost.start();
    });
  }
  const ended = { up: false, down: false };
  let refusal: string | undefined;
  const hooks = (direction: "up" | "down"): CopyHooks => ({
    onBytes(count) {
      result[direction] += count;
      idle.touch();
      lost.touch();
      onBytes?.(direction, count);
    },
    onRefusal(reason) {
      // A second refusal is the other direction's: nobody takes anything any more.
      const over = refusal !== undefined || ended.up || ended.down;
      refusal ??= reason;
      idle.start();
      if (over) fail(refusal);
    },
    onEnd() {
      ended[direction] = true;
      idle.start();
      if (refusal !== undefined) fail(refusal);
    },
    fail,
  });
  await Promise.all([copy(a, b, hooks("up")), copy(b, a, hooks("down"))]);
  idle.stop();
  lost.stop();
  a.close();
  b.close();
  return result;
}

interface CopyHooks {
  /** Bytes were taken by the target. */
  onBytes: (count: number) => void;
  /** The target takes no more bytes. */
  onRefusal: (reason: string) => void;
  /** The source has ended in order, and so has the target's incoming side. */
  onEnd: () => void;
  /** The source was reset. */
  fail: (reason: string) => void;
}

async function copy(from: ByteChannel, to: ByteChannel, hooks: CopyHooks): Promise<void> {
  // Once the target takes no more, the rest is read and dropped until the other direction has ended: what
  // the target still has to say may be on its way.
  let refused = false;
  try {
    for (let bytes = await from.read(); bytes !== null; bytes = await from.read()) {
      if (refused) continue;
      try {
        await to.write(bytes);
        hooks.onBytes(bytes.length);
      } catch (error) {
        refused = true;
        hooks.onRefusal(reasonOf(error));
      }
    }
    await to.finish();
    hooks.onEnd();
  } catch (error) {
    hooks.fail(reasonOf(error));
  }
}

/** Fires once after a time without a touch, counted from `start`. */
class IdleTimer {
  readonly #ms: number;
  readonly #onIdle: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #touched = 0;
  #stopped = false;

  constructor(ms: number, onIdle: () => void) {
    this.#ms = ms;
    this.#onIdle = onIdle;
  }

  start(): void {
    if (this.#stopped) return;
    this.#touched = performance.now();
    this.#timer ??= setTimeout(() => this.#check(), this.#ms);
  }

  touch(): void {
    if (this.#timer !== undefined) this.#touched = performance.now();
  }

  /** It fires no more, and is not started any more. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #check(): void {
    const left = this.#touched + this.#ms - performance.now();
    if (left <= 0) return this.#onIdle();
    this.#timer = setTimeout(() => this.#check(), left);
  }
}
