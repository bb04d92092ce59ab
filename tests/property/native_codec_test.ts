// The hand-written codec of the native dialect agrees with the generated code, both ways, byte for byte.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { encodeSmallFrame } from "../../src/wire/native_bodies.ts";
import {
  decodeBatch,
  encodeBatch,
  isBatch,
  MAX_SMALL_FRAME_BYTES,
  sizeInBatch,
  writeFrame,
  writeSmallFrame,
} from "../../src/wire/native_codec.ts";
import type { NativeFrame } from "../../src/wire/native_frame.ts";
import { anyFrame, decodeNaively, encodeNaively, toMessage } from "../support/native_frames.ts";

const batch = fc.array(anyFrame, { minLength: 1, maxLength: 30 });

function encode(frames: readonly NativeFrame[]): Uint8Array {
  return encodeBatch(
    frames.map((frame) => frame.kind === "data" ? frame : encodeSmallFrame(frame)),
  );
}

function decode(message: Uint8Array): NativeFrame[] {
  const frames: NativeFrame[] = [];
  decodeBatch(message, (frame) => frames.push(frame));
  return frames;
}

Deno.test("both write the same bytes", () => {
  fc.assert(
    fc.property(batch, (frames) => {
      strictEqual(encode(frames).toHex(), encodeNaively(frames).toHex());
    }),
    { numRuns: 1000 },
  );
});

Deno.test("frames that are written one by one are the same bytes", () => {
  const written = new Uint8Array(30 * (MAX_SMALL_FRAME_BYTES + 4096));
  fc.assert(
    fc.property(batch, (frames) => {
      let length = 0;
      for (const frame of frames) {
        const before = length;
        length = frame.kind === "data"
          ? writeFrame(written, length, frame)
          : writeSmallFrame(written, length, frame);
        if (frame.kind !== "data") ok(length - before <= MAX_SMALL_FRAME_BYTES);
      }
      const message = encodeBatch([], written.subarray(0, length));
      strictEqual(message.toHex(), encodeNaively(frames).toHex());
    }),
    { numRuns: 1000 },
  );
});

Deno.test("the generated code reads what is written by hand", () => {
  fc.assert(
    fc.property(batch, (frames) => {
      deepStrictEqual(decodeNaively(encode(frames)), frames.map(toMessage));
    }),
    { numRuns: 500 },
  );
});

Deno.test("what the generated code writes is read by hand", () => {
  fc.assert(
    fc.property(batch, (frames) => {
      const message = encodeNaively(frames);
      strictEqual(isBatch(message), true);
      deepStrictEqual(decode(message), frames);
    }),
    { numRuns: 500 },
  );
});

Deno.test("the size of a frame in a batch is what it adds to it", () => {
  fc.assert(
    fc.property(batch, anyFrame, (frames, frame) => {
      const content = (all: NativeFrame[]) => {
        const message = encode(all);
        // Behind the tag of two bytes and the length.
        const head = message.findIndex((byte, index) => index >= 2 && byte < 0x80) + 1;
        return message.length - head;
      };
      const queued = frame.kind === "data" ? frame : encodeSmallFrame(frame);
      strictEqual(content([...frames, frame]) - content(frames), sizeInBatch(queued));
    }),
    { numRuns: 200 },
  );
});
