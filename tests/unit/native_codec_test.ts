// The native dialect's bytes: vectors worked out by hand from proto/connector.proto, for every kind of frame,
// and what is refused. Whoever writes another implementation can hold it to the same vectors.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { encodeSmallFrame } from "../../src/wire/native_bodies.ts";
import {
  decodeBatch,
  encodeBatch,
  isBatch,
  type QueuedFrame,
  sizeInBatch,
} from "../../src/wire/native_codec.ts";
import { MAX_BATCH_BYTES, MAX_TEXT_BYTES, type NativeFrame } from "../../src/wire/native_frame.ts";

/** Hex with spaces, as in the comments of a specification. */
function bytes(hex: string): Uint8Array {
  return Uint8Array.fromHex(hex.replaceAll(" ", ""));
}

function decode(message: Uint8Array): NativeFrame[] {
  const frames: NativeFrame[] = [];
  decodeBatch(message, (frame) => frames.push(frame));
  return frames;
}

function queued(frame: NativeFrame): QueuedFrame {
  return frame.kind === "data" ? frame : encodeSmallFrame(frame);
}

/** A batch of one frame, given as the frame's own bytes; up to 121 of them, so that lengths are one byte. */
function batchOf(frameHex: string): Uint8Array {
  const frame = bytes(frameHex);
  return new Uint8Array([0xa2, 0x01, frame.length + 2, 0x0a, frame.length, ...frame]);
}

/** Each frame with its bytes as a member of a batch, without the tag and length there. */
const VECTORS: [name: string, frame: NativeFrame, hex: string][] = [
  [
    "open",
    { kind: "open", stream: 1, serviceId: "s", visitor: "v:1" },
    "08 01  12 08  0a 01 73  12 03 76 3a 31",
  ],
  ["opened", { kind: "opened", stream: 1 }, "08 01  1a 00"],
  [
    "opened on the highest stream",
    { kind: "opened", stream: 2 ** 31 - 1 },
    "08 ff ff ff ff 07  1a 00",
  ],
  ["data", { kind: "data", stream: 3, bytes: bytes("68 69") }, "08 03  22 02 68 69"],
  ["finish", { kind: "finish", stream: 2 }, "08 02  2a 00"],
  [
    "reset without a reason",
    { kind: "reset", stream: 1, code: "connection_reset", reason: "" },
    "08 01  32 00",
  ],
  [
    "reset with a reason",
    { kind: "reset", stream: 300, code: "refused", reason: "no" },
    "08 ac 02  32 06  08 01  12 02 6e 6f",
  ],
  [
    "reset, no service",
    { kind: "reset", stream: 1, code: "no_service", reason: "" },
    "08 01 32 02 08 02",
  ],
  ["reset, limit", { kind: "reset", stream: 1, code: "limit", reason: "" }, "08 01 32 02 08 03"],
  [
    "reset, closing",
    { kind: "reset", stream: 1, code: "closing", reason: "" },
    "08 01 32 02 08 04",
  ],
  ["reset, idle", { kind: "reset", stream: 1, code: "idle", reason: "" }, "08 01 32 02 08 05"],
  ["grant", { kind: "grant", stream: 1, offset: 262_144 }, "08 01  3a 04  08 80 80 10"],
  [
    "grant of the highest offset",
    { kind: "grant", stream: 1, offset: 2 ** 53 - 1 },
    "08 01  3a 09  08 ff ff ff ff ff ff ff 0f",
  ],
  ["ping", { kind: "ping", nonce: 1 }, "42 02 08 01"],
  ["ping of nonce 0", { kind: "ping", nonce: 0 }, "42 00"],
  ["ping of the highest nonce", { kind: "ping", nonce: 2 ** 32 - 1 }, "42 06 08 ff ff ff ff 0f"],
  ["pong", { kind: "pong", nonce: 150 }, "4a 03 08 96 01"],
  ["go-away in order", { kind: "goAway", code: "shutdown", reason: "" }, "52 00"],
  [
    "go-away after a breach",
    { kind: "goAway", code: "breach", reason: "bad" },
    "52 07 08 01 12 03 62 61 64",
  ],
  ["go-away soon", { kind: "goAway", code: "drain", reason: "" }, "52 02 08 02"],
  ["go-away soon and for good", { kind: "goAway", code: "leave", reason: "" }, "52 02 08 03"],
];

for (const [name, frame, hex] of VECTORS) {
  Deno.test(`the bytes of ${name}`, () => {
    const message = batchOf(hex);
    strictEqual(encodeBatch([queued(frame)]).toHex(), message.toHex());
    deepStrictEqual(decode(message), [frame]);
    strictEqual(isBatch(message), true);
    strictEqual(sizeInBatch(queued(frame)), bytes(hex).length + 2);
  });
}

Deno.test("the bytes of a batch of two frames, in their order", () => {
  const frames: NativeFrame[] = [
    { kind: "data", stream: 3, bytes: bytes("68 69") },
    { kind: "ping", nonce: 1 },
  ];
  const message = bytes("a2 01 0e  0a 06 08 03 22 02 68 69  0a 04 42 02 08 01");
  strictEqual(encodeBatch(frames.map(queued)).toHex(), message.toHex());
  deepStrictEqual(decode(message), frames);
});

Deno.test("lengths of two and three bytes are written where they are needed", () => {
  for (const length of [127, 128, 16_383, 16_384, 65_536]) {
    const frame: NativeFrame = { kind: "data", stream: 1, bytes: new Uint8Array(length).fill(7) };
    const message = encodeBatch([frame]);
    deepStrictEqual(decode(message), [frame]);
    // Two bytes of tag, and the batch's own length, which counts the frame with its tag and length.
    const head = sizeInBatch(frame) < 128 ? 3 : sizeInBatch(frame) < 16_384 ? 4 : 5;
    strictEqual(message.length, head + sizeInBatch(frame));
  }
});

Deno.test("data is a view into the message, not a copy", () => {
  const message = batchOf("08 03  22 02 68 69");
  const [frame] = decode(message);
  strictEqual(frame?.kind === "data" && frame.bytes.buffer === message.buffer, true);
});

Deno.test("the fields of a frame may come in any order", () => {
  deepStrictEqual(decode(batchOf("22 02 68 69  08 03")), [
    { kind: "data", stream: 3, bytes: bytes("68 69") },
  ]);
});

Deno.test("fields that a body does not have are skipped", () => {
  // Field 15 of Ping, a varint.
  deepStrictEqual(decode(batchOf("42 04 08 01 78 05")), [{ kind: "ping", nonce: 1 }]);
});

Deno.test("codes of later versions have a meaning that is safe", () => {
  deepStrictEqual(decode(batchOf("08 01 32 02 08 63")), [
    { kind: "reset", stream: 1, code: "closing", reason: "" },
  ]);
  deepStrictEqual(decode(batchOf("52 02 08 63")), [
    { kind: "goAway", code: "shutdown", reason: "" },
  ]);
});

Deno.test("a reason that is too long is cut, and what is left can be read", () => {
  for (const reason of ["x".repeat(5000), "é".repeat(5000), "😀".repeat(5000)]) {
    const message = encodeBatch([encodeSmallFrame({ kind: "goAway", code: "breach", reason })]);
    const [frame] = decode(message);
    strictEqual(frame?.kind === "goAway" && frame.reason.slice(0, 100), reason.slice(0, 100));
  }
});

Deno.test("control is not a batch", () => {
  strictEqual(isBatch(bytes("5a 00")), false);
  strictEqual(isBatch(new Uint8Array(0)), false);
  strictEqual(isBatch(bytes("a2")), false);
});

const text = (length: number, unit = "78") => unit.repeat(length);

/** What is no batch, or holds what is no frame; and a word of the reason. */
const REFUSED: [name: string, message: Uint8Array, reason: RegExp][] = [
  ["an empty batch", bytes("a2 01 00"), /empty/],
  ["a batch without its length", bytes("a2 01"), /truncated/],
  ["a batch that is cut off", bytes("a2 01 0e 0a 06 08 03 22"), /truncated/],
  ["a batch with something behind it", bytes("a2 01 04 0a 02 42 00 5a 00"), /beside/],
  ["a batch with another field", bytes("a2 01 02 10 01"), /unknown field/],
  ["a length above 32 bits", bytes("a2 01 ff ff ff ff 7f"), /too large/],
  ["a length that never ends", bytes("a2 01 ff ff ff ff ff ff ff ff ff ff ff"), /too large/],
  ["a frame longer than its batch", bytes("a2 01 03 0a 05 42"), /truncated/],
  ["an empty frame", batchOf(""), /without a body/],
  ["a frame that is a stream and no body", batchOf("08 01"), /without a body/],
  ["a frame with two bodies", batchOf("08 01 1a 00 2a 00"), /two bodies/],
  ["a frame with a body twice", batchOf("08 01 1a 00 1a 00"), /two bodies/],
  ["a frame with two streams", batchOf("08 01 08 01 1a 00"), /two streams/],
  ["a frame of an unknown kind", batchOf("08 01 5a 00"), /unknown kind/],
  ["a body that is a number", batchOf("08 01 18 00"), /unknown kind/],
  ["a body that is cut off", batchOf("08 01 22 05 68"), /truncated/],
  ["a stream id above 31 bits", batchOf("08 80 80 80 80 08 1a 00"), /stream id/],
  ["a stream id above 32 bits", batchOf("08 ff ff ff ff 1f 1a 00"), /too large/],
  ["data on the session", batchOf("22 01 68"), /wrong kind of stream/],
  ["an open on the session", batchOf("08 00 12 00"), /wrong kind of stream/],
  ["a ping on a stream", batchOf("08 01 42 00"), /wrong kind of stream/],
  ["a go-away on a stream", batchOf("08 01 52 00"), /wrong kind of stream/],
  ["empty data", batchOf("08 01 22 00"), /empty data/],
  ["a grant above what a number holds", batchOf("08 01 3a 09 08 80 80 80 80 80 80 80 10"), /read/],
  ["a text that is cut off", batchOf("08 01 12 03 0a 05 73"), /read/],
  [
    "a service id that is too long",
    longFrame("08 01", "12", `0a 81 08 ${text(MAX_TEXT_BYTES + 1)}`),
    /1025 bytes/,
  ],
  [
    "a visitor that is too long in bytes, not in characters",
    longFrame("08 01", "12", `12 82 08 ${text(MAX_TEXT_BYTES / 2 + 1, "c3a9")}`),
    /1026 bytes/,
  ],
  [
    "a body that is too long",
    longFrame("08 01", "1a", `7a 80 20 ${text(4096)}`),
    /4099 bytes/,
  ],
];

/** A batch of one frame whose body has a length of two bytes. */
function longFrame(stream: string, tag: string, body: string): Uint8Array {
  const head = bytes(stream);
  const content = bytes(body);
  const length = (value: number) => [(value & 0x7f) | 0x80, value >> 7];
  const frame = [...head, ...bytes(tag), ...length(content.length), ...content];
  const member = [0x0a, ...length(frame.length), ...frame];
  return new Uint8Array([0xa2, 0x01, ...length(member.length), ...member]);
}

for (const [name, message, reason] of REFUSED) {
  Deno.test(`refused: ${name}`, () => {
    throws(() => decode(message), (error) => {
      strictEqual(error instanceof ConnectorError, true);
      strictEqual(error instanceof ConnectorError && error.code, "internal");
      return reason.test(String(error));
    });
  });
}

Deno.test("the largest batch is taken, and one byte more is refused", () => {
  const fill = (length: number) => {
    const frame: NativeFrame = { kind: "data", stream: 1, bytes: new Uint8Array(length) };
    return encodeBatch([frame]);
  };
  const overhead = fill(200_000).length - 200_000;
  const largest = fill(MAX_BATCH_BYTES - overhead);
  strictEqual(largest.length, MAX_BATCH_BYTES);
  strictEqual(decode(largest).length, 1);
  throws(() => decode(fill(MAX_BATCH_BYTES - overhead + 1)), ConnectorError);
});

Deno.test("frames before a breach are given, none after it", () => {
  const kinds: string[] = [];
  const message = bytes("a2 01 0a  0a 02 42 00  0a 00  0a 02 4a 00");
  throws(() => decodeBatch(message, (frame) => kinds.push(frame.kind)), ConnectorError);
  deepStrictEqual(kinds, ["ping"]);
});
