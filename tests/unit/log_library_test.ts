// Why src/log.ts writes lines itself: each test here has something that it guarantees, which log_test.ts holds it to, and
// that LogTape's own sinks, formatters or sanitiser do not. One that fails tells that LogTape has learnt it.

import { doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import {
  fromAsyncSink,
  getJsonLinesFormatter,
  getLogfmtFormatter,
  getStreamSink,
  type LogRecord,
  sanitizeControlSequences,
} from "@logtape/logtape";
import { formatJson } from "../../src/log.ts";
import { settle } from "../support/world.ts";

function record(properties: Record<string, unknown> = {}): LogRecord {
  return {
    category: ["connector"],
    level: "info",
    message: ["event"],
    rawMessage: "event",
    timestamp: 0,
    properties,
  };
}

/** A stream that takes nothing until it is released, and counts what it is given after. */
function stalledStream() {
  const gate = Promise.withResolvers<void>();
  const stalled = { writes: 0, bytes: 0, release: gate.resolve };
  const stream = new WritableStream<Uint8Array>({
    async write(chunk) {
      await gate.promise;
      stalled.writes += 1;
      stalled.bytes += chunk.length;
    },
  });
  return Object.assign(stalled, { stream });
}

const LONG = "x".repeat(10_000);

Deno.test("the stream sink keeps all that a stalled output does not take", async () => {
  const stalled = stalledStream();
  const sink = getStreamSink(stalled.stream);
  for (let n = 0; n < 1000; n++) sink({ ...record(), message: [LONG] });
  stalled.release();
  await sink[Symbol.asyncDispose]();
  ok(stalled.bytes > 1000 * LONG.length);
});

Deno.test("the stream sink without blocking, and the asynchronous one, count records and not bytes", async () => {
  const stalled = stalledStream();
  const nonBlocking = { bufferSize: 50, flushInterval: 1 };
  const sink = getStreamSink(stalled.stream, { nonBlocking });
  for (let n = 0; n < 1000; n++) sink({ ...record(), message: [LONG] });
  stalled.release();
  await sink[Symbol.asyncDispose]();
  ok(stalled.bytes >= 100 * LONG.length, `${stalled.bytes} bytes`);
  // Each line is a write of its own, which costs more than all else that is done with it.
  ok(stalled.writes >= 100, `${stalled.writes} writes`);

  let waited = 0;
  const queue = fromAsyncSink(({ message }) => {
    waited += String(message[0]).length;
    return Promise.resolve();
  }, { maxQueueSize: 50 });
  for (let n = 0; n < 1000; n++) queue({ ...record(), message: [LONG] });
  await queue[Symbol.asyncDispose]();
  ok(waited >= 50 * LONG.length, `${waited} characters`);
});

Deno.test("after a failed write the stream sink writes nothing more, and its rejection is nobody's", async () => {
  const unhandled: unknown[] = [];
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    unhandled.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", note);
  try {
    let writes = 0;
    const stream = new WritableStream<Uint8Array>({
      write() {
        writes += 1;
        return writes === 1 ? Promise.reject(new Deno.errors.BrokenPipe("gone")) : undefined;
      },
    });
    const sink = getStreamSink(stream);
    for (let n = 0; n < 3; n++) {
      sink(record());
      await settle();
    }
    strictEqual(writes, 1);
    // It would end the process.
    ok(unhandled.length > 0);
  } finally {
    globalThis.removeEventListener("unhandledrejection", note);
  }
});

Deno.test("the sanitiser leaves what hides or turns text round", () => {
  const options = { sgr: "escape", newlines: "escape" } as const;
  for (const character of ["\t", "\u202e", "\u2028", "\u200b", "\u{e0041}"]) {
    strictEqual(sanitizeControlSequences(character, options), character);
  }
});

Deno.test("the formatters write values of any length, and errors with their stack", () => {
  const fields = {
    names: Array<string>(1000).fill(LONG),
    error: new Error("why"),
    turned: "\u202e",
  };
  for (const format of [getJsonLinesFormatter(), getLogfmtFormatter()]) {
    const line = format(record(fields));
    ok(line.length > 100 * LONG.length);
    match(line, /log_library_test\.ts:\d+/);
    match(line, /\u202e/);
  }
  const ours = formatJson(record(fields));
  ok(ours.length < 32_000);
  doesNotMatch(ours, /log_library_test|\u202e/);
});
