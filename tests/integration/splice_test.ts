// Copying both ways, over scripted channels: every order of events can be had.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { ByteChannel, ResetCode } from "../../src/byte_channel.ts";
import { delay } from "../../src/delay.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { LOST_GRACE_MS, splice } from "../../src/net/splice.ts";
import { until } from "../support/world.ts";

/** Longer than any test: the half-open timer does not fire. */
const NEVER_MS = 600_000;

/** A channel whose other side is the test. */
class ScriptedChannel implements ByteChannel {
  /** What was written to it. */
  written = "";
  /** How often it was read. */
  reads = 0;
  finished = false;
  closed = false;
  readonly resets: [ResetCode, string][] = [];
  /** What each write waits for. */
  gate: Promise<void> = Promise.resolve();
  /** What writes and `finish` fail with. */
  refusal: ConnectorError | undefined;
  /** Tells the splice that the other side is gone. */
  lose: (reason: string) => void = () => {};
  readonly #failed = Promise.withResolvers<never>();
  readonly #incoming: (Uint8Array | null | ConnectorError)[] = [];
  #wake: (() => void) | undefined;

  /** Gives it bytes to read, an end (null), or a failure. */
  feed(next: string | null | ConnectorError): void {
    this.#incoming.push(typeof next === "string" ? new TextEncoder().encode(next) : next);
    this.#wake?.();
  }

  async read(): Promise<Uint8Array | null> {
    this.reads += 1;
    while (this.#incoming.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    const next = this.#incoming.shift() ?? null;
    if (next instanceof ConnectorError) throw next;
    return next;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await Promise.race([this.gate, this.#failed.promise]);
    if (this.refusal) throw this.refusal;
    this.written += new TextDecoder().decode(bytes);
  }

  // deno-lint-ignore require-await -- a rejection, not a throw
  async finish(): Promise<void> {
    if (this.refusal) throw this.refusal;
    this.finished = true;
  }

  onLost(listener: (reason: string) => void): void {
    this.lose = listener;
  }

  reset(code: ResetCode, reason: string): void {
    this.resets.push([code, reason]);
    const error = new ConnectorError("unavailable", reason);
    this.feed(error);
    this.#failed.promise.catch(() => {});
    this.#failed.reject(error);
  }

  close(): void {
    this.closed = true;
  }
}

function pair(halfOpenMs = NEVER_MS) {
  const a = new ScriptedChannel();
  const b = new ScriptedChannel();
  const passed: [string, number][] = [];
  const done = splice(a, b, { halfOpenMs, onBytes: (...each) => passed.push(each) });
  return { a, b, done, passed };
}

const RESET = new ConnectorError("unavailable", "connection reset by peer");
const BROKEN = new ConnectorError("unavailable", "it takes no more");

Deno.test("bytes pass both ways, are counted, and both channels are closed at the end", async () => {
  const { a, b, done, passed } = pair();
  a.feed("hello");
  b.feed("you too");
  a.feed(" there");
  a.feed(null);
  b.feed(null);
  deepStrictEqual(await done, { up: 11, down: 7, reason: "" });
  deepStrictEqual([a.written, b.written], ["you too", "hello there"]);
  deepStrictEqual([a.closed, b.closed], [true, true]);
  deepStrictEqual([a.resets, b.resets], [[], []]);
  deepStrictEqual(passed.filter(([direction]) => direction === "up"), [["up", 5], ["up", 6]]);
  deepStrictEqual(passed.filter(([direction]) => direction === "down"), [["down", 7]]);
});

for (const first of ["a", "b"] as const) {
  Deno.test(`an end of ${first} is passed on, and the other direction goes on`, async () => {
    const channels = pair();
    const ended = channels[first];
    const other = channels[first === "a" ? "b" : "a"];
    ended.feed("the question");
    ended.feed(null);
    await until(() => other.finished, "the end has arrived");
    strictEqual(other.written, "the question");
    deepStrictEqual([ended.finished, ended.closed, other.closed], [false, false, false]);
    other.feed("the answer");
    await until(() => ended.written === "the answer", "the answer has arrived");
    other.feed(null);
    strictEqual((await channels.done).reason, "");
    strictEqual(ended.finished, true);
  });

  Deno.test(`a reset of ${first} resets both, with its reason`, async () => {
    const { a, b, done, ...channels } = { ...pair() };
    const source = first === "a" ? a : b;
    source.feed("last words");
    source.feed(RESET);
    deepStrictEqual((await done).reason, RESET.message);
    for (const channel of [a, b]) {
      deepStrictEqual(channel.resets[0], ["connection_reset", RESET.message]);
    }
    strictEqual(channels.passed.length, 1);
  });

  Deno.test(`when ${first} takes no more, what it still says arrives`, async () => {
    const channels = pair();
    const deaf = channels[first];
    const other = channels[first === "a" ? "b" : "a"];
    deaf.refusal = BROKEN;
    other.feed("unheard");
    other.feed("unheard as well");
    await until(() => other.reads === 3, "what cannot be delivered is read on");
    deepStrictEqual([deaf.resets, other.resets], [[], []]);
    deaf.feed("last words");
    await until(() => other.written === "last words", "the last words have arrived");
    deaf.feed(null);
    strictEqual((await channels.done).reason, BROKEN.message);
    // Bytes were lost on the way to it: that is no orderly end.
    deepStrictEqual(other.resets[0], ["connection_reset", BROKEN.message]);
  });
}

Deno.test("a refusal after the other direction has ended is a reset", async () => {
  const { a, b, done } = pair();
  b.feed(null);
  await until(() => a.finished, "the end has arrived");
  b.refusal = BROKEN;
  a.feed("unheard");
  strictEqual((await done).reason, BROKEN.message);
});

Deno.test("when neither takes any more, both are reset", async () => {
  const { a, b, done } = pair();
  a.refusal = BROKEN;
  b.refusal = BROKEN;
  a.feed("unheard");
  b.feed("unheard");
  deepStrictEqual(await done, { up: 0, down: 0, reason: BROKEN.message });
});

Deno.test("an end that cannot be passed on is a reset", async () => {
  const { a, b, done } = pair();
  b.refusal = BROKEN;
  a.feed(null);
  strictEqual((await done).reason, BROKEN.message);
  deepStrictEqual(a.resets[0], ["connection_reset", BROKEN.message]);
});

Deno.test("nothing is read while a write waits", async () => {
  const { a, b, done } = pair();
  const { promise, resolve } = Promise.withResolvers<void>();
  b.gate = promise;
  for (let count = 0; count < 10; count += 1) a.feed("x");
  b.feed("not held back");
  await until(() => a.written === "not held back", "the other direction goes on");
  strictEqual(a.reads, 1);
  resolve();
  a.feed(null);
  b.feed(null);
  strictEqual((await done).up, 10);
});

Deno.test("half-open without a byte for too long is a reset", async () => {
  const { a, b, done } = pair(30);
  a.feed(null);
  strictEqual((await done).reason, "half-open for too long without a byte");
  for (const channel of [a, b]) {
    deepStrictEqual(channel.resets[0], ["idle", "half-open for too long without a byte"]);
  }
});

Deno.test("bytes keep a half-open pair alive beyond the time", async () => {
  const halfOpenMs = 500;
  const { a, b, done } = pair(halfOpenMs);
  a.feed(null);
  const started = performance.now();
  while (performance.now() - started < 3 * halfOpenMs) {
    b.feed(".");
    await delay(10);
  }
  deepStrictEqual([a.resets, b.resets], [[], []]);
  b.feed(null);
  strictEqual((await done).reason, "");
});

Deno.test("a pair that is open both ways is not timed out", async () => {
  const { a, b, done } = pair(1);
  const started = performance.now();
  await until(() => performance.now() - started > 50, "many times the limit has passed");
  deepStrictEqual([a.resets, b.resets], [[], []]);
  a.feed(null);
  b.feed(null);
  strictEqual((await done).reason, "");
});

for (const lost of ["a", "b"] as const) {
  Deno.test(`who is gone is not waited for while the other takes nothing: ${lost}`, async () => {
    const channels = pair();
    const gone = channels[lost];
    const stuck = channels[lost === "a" ? "b" : "a"];
    stuck.gate = new Promise(() => {});
    gone.feed("held back");
    await until(() => gone.reads === 1, "its bytes are being written");
    gone.lose("it was reset");
    strictEqual((await channels.done).reason, "it was reset");
    for (const channel of [gone, stuck]) {
      deepStrictEqual(channel.resets[0], ["connection_reset", "it was reset"]);
    }
  });
}

Deno.test("what one that is gone has said is delivered for as long as the other takes it", async () => {
  const { a, b, done } = pair();
  b.feed("");
  a.lose("it was reset");
  const started = performance.now();
  while (performance.now() - started < 3 * LOST_GRACE_MS) {
    a.feed(".");
    await delay(10);
  }
  deepStrictEqual([a.resets, b.resets], [[], []]);
  a.feed(RESET);
  strictEqual((await done).reason, RESET.message);
});
