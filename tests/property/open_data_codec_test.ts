// The codec for anything that a peer may send: what we encode comes back, and hostile bytes become a frame
// or a ConnectorError, soon.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { ConnectorError } from "../../src/model/errors.ts";
import { type ControlFrame, MAX_MESSAGE_BYTES, type ReferenceFrame } from "../../src/wire/frame.ts";
import { decodeFrame, encodeFrame } from "../../src/wire/open_data_codec.ts";

/** The longest that one message may take, in milliseconds: a wide margin, to find what is not linear. */
const DECODE_LIMIT_MS = 10_000;

/** `fc.record` of plain objects: strict equality heeds the prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

const text = fc.string({ unit: "grapheme", maxLength: 60 });
const id = fc.oneof(fc.uuid(), text.filter((each) => each !== ""));
const service = record({
  id: text,
  name: text,
  remoteConnectorAddr: text,
  destinationAddr: text,
  sourcePort: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  type: fc.constantFrom(0 as const, 1 as const),
  status: fc.constantFrom(0 as const, 1 as const, 2 as const),
  sourceAddr: fc.option(text, { nil: undefined }),
});

const sentFrame: fc.Arbitrary<ControlFrame | ReferenceFrame> = fc.oneof(
  fc.constant({ kind: "ping" as const }),
  record({ kind: fc.constant("expose" as const), serviceId: id, service }),
  record({ kind: fc.constant("destroy" as const), serviceId: text }),
  record({
    kind: fc.constant("status" as const),
    serviceId: text,
    status: fc.constantFrom("pending" as const, "complete" as const, "error" as const),
    message: text,
  }),
  record({
    kind: fc.constant("data" as const),
    serviceId: text,
    connectionId: text,
    bytes: fc.uint8Array({ maxLength: 10_000 }),
  }),
  record({ kind: fc.constant("closed" as const), serviceId: text, connectionId: text }),
);

/** A field that no version of the contract has, of any wire type. */
const unknownField: fc.Arbitrary<Uint8Array> = record({
  number: fc.integer({ min: 1000, max: 2 ** 29 - 1 }),
  value: fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((varint) => ({ wireType: 0, varint })),
    fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => ({ wireType: 1, bytes })),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ wireType: 2, bytes })),
    fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => ({ wireType: 5, bytes })),
  ),
}).map(({ number, value }) => {
  const writer = new BinaryWriter().tag(number, value.wireType);
  if ("varint" in value) return writer.uint64(value.varint).finish();
  return (value.wireType === 2 ? writer.bytes(value.bytes) : writer.raw(value.bytes)).finish();
});

function join(...parts: Uint8Array[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const part of parts) writer.raw(part);
  return writer.finish();
}

/** Decodes; throws what is neither a frame nor a ConnectorError, and what takes too long. */
function decodeHostile(bytes: Uint8Array): void {
  const started = performance.now();
  try {
    strictEqual(typeof decodeFrame(bytes).kind, "string");
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
    strictEqual(error.code, "internal");
  }
  const tookMs = performance.now() - started;
  strictEqual(tookMs < DECODE_LIMIT_MS, true, `${bytes.length} bytes took ${tookMs} ms`);
}

Deno.test("every frame that we send comes back as it was", () => {
  fc.assert(
    fc.property(sentFrame, (frame) => deepStrictEqual(decodeFrame(encodeFrame(frame)), frame)),
  );
});

Deno.test("unknown fields and members, before and after, change nothing", () => {
  fc.assert(
    fc.property(sentFrame, unknownField, unknownField, (frame, before, after) => {
      deepStrictEqual(decodeFrame(join(before, encodeFrame(frame), after)), frame);
    }),
  );
});

Deno.test("a message of nothing but unknown members is ignored", () => {
  fc.assert(
    fc.property(fc.array(unknownField, { maxLength: 5 }), (fields) => {
      deepStrictEqual(decodeFrame(join(...fields)), { kind: "ignored" });
    }),
  );
});

Deno.test("random bytes yield a frame or a ConnectorError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), decodeHostile),
    { numRuns: 5000 },
  );
});

Deno.test("mutated messages yield a frame or a ConnectorError", () => {
  const mutation = record({
    at: fc.nat(),
    bytes: fc.uint8Array({ maxLength: 6 }),
    dropped: fc.nat({ max: 6 }),
  });
  fc.assert(
    fc.property(
      sentFrame,
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      (frame, mutations) => {
        let message = encodeFrame(frame);
        for (const { at, bytes, dropped } of mutations) {
          const start = at % (message.length + 1);
          message = join(message.subarray(0, start), bytes, message.subarray(start + dropped));
        }
        decodeHostile(message);
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("every message that is cut off yields a frame or a ConnectorError", () => {
  fc.assert(
    fc.property(sentFrame, fc.nat(), (frame, at) => {
      const message = encodeFrame(frame);
      decodeHostile(message.subarray(0, at % (message.length + 1)));
    }),
  );
});

/** Messages of the largest size whose reading could be made expensive. */
const LARGEST: Record<string, () => Uint8Array> = {
  // The tag of a group in field 13, again and again.
  "groups within groups": () => new Uint8Array(MAX_MESSAGE_BYTES).fill(13 << 3 | 3),
  "empty data members, one after the other": () => repeated([0x1a, 0x00]),
  "empty exposes, one after the other": () => repeated([0x22, 0x00]),
  "services merged again and again": () => repeated([0x22, 0x02, 0x0a, 0x00]),
  "an endless varint": () => new Uint8Array(MAX_MESSAGE_BYTES).fill(0xff),
  "a length beyond the message": () => Uint8Array.from([0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
  "a negative length": () =>
    Uint8Array.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
  "text that is not UTF-8": () => {
    const length = new BinaryWriter().uint32(MAX_MESSAGE_BYTES - 10).finish();
    return join(Uint8Array.of(0x0a), length, new Uint8Array(MAX_MESSAGE_BYTES - 10).fill(0xfe));
  },
};

function repeated(pattern: number[]): Uint8Array {
  return new Uint8Array(MAX_MESSAGE_BYTES).map((_, index) => pattern[index % pattern.length] ?? 0);
}

for (const [what, make] of Object.entries(LARGEST)) {
  Deno.test(`a message of the largest size yields a frame or a ConnectorError: ${what}`, () => {
    decodeHostile(make());
  });
}
