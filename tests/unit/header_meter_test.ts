// What headers are reckoned to take, held against headers whose size is known.

import { ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { HeaderMeter } from "../../src/grpc/header_meter.ts";
import { callHeaders, concat, field, hpackInteger, OPEN_STREAM } from "../support/http2_frames.ts";

/** Reads a block in one piece. */
function reckon(...blocks: Uint8Array[]): { readable: boolean; bytes: number; fields: number } {
  const meter = new HeaderMeter();
  let readable = true;
  for (const block of blocks) {
    meter.begin();
    readable = meter.take(block) && readable;
  }
  return { readable, bytes: meter.bytes, fields: meter.fields };
}

const names = fc.string({ minLength: 1, maxLength: 300 }).map((name) =>
  name.replace(/[^!-~]/g, "x")
);
const fields = fc.array(fc.record({ name: names, value: names, kept: fc.boolean() }), {
  maxLength: 50,
});

Deno.test("fields that are written out are reckoned to the byte", () => {
  fc.assert(fc.property(fields, (fields) => {
    const block = concat(...fields.map(({ name, value, kept }) => field(name, value, { kept })));
    const bytes = fields.reduce((sum, each) => sum + each.name.length + each.value.length + 32, 0);
    const { readable, ...found } = reckon(block);
    ok(readable);
    strictEqual(found.bytes, bytes);
    strictEqual(found.fields, fields.length);
  }));
});

Deno.test("it does not matter how a block is cut", () => {
  fc.assert(fc.property(fields, fc.integer({ min: 1, max: 40 }), (fields, size) => {
    const block = concat(...fields.map(({ name, value, kept }) => field(name, value, { kept })));
    const meter = new HeaderMeter();
    meter.begin();
    for (let at = 0; at < block.length; at += size) meter.take(block.subarray(at, at + size));
    const { bytes, fields: count } = reckon(block);
    strictEqual(meter.bytes, bytes);
    strictEqual(meter.fields, count);
  }));
});

Deno.test("a reference is reckoned as the largest field that was kept", () => {
  const big = field("z", "y".repeat(4000), { kept: true });
  // Number 62 is the newest.
  const { bytes, fields } = reckon(big, new Uint8Array(100).fill(0xbe));
  strictEqual(fields, 100);
  strictEqual(bytes, 100 * (1 + 4000 + 32));
});

Deno.test("a name that is a reference is reckoned, too", () => {
  const big = field("z".repeat(2000), "", { kept: true });
  const named = concat(hpackInteger(62, 4), Uint8Array.of(1, 0x61));
  const { bytes, fields } = reckon(big, concat(named, named));
  strictEqual(fields, 2);
  strictEqual(bytes, 2 * (2000 + 1 + 32));
});

Deno.test("the length of a string counts before the string has come", () => {
  const meter = new HeaderMeter();
  meter.begin();
  meter.take(concat(Uint8Array.of(0, 1, 0x61), hpackInteger(1_000_000, 7)));
  ok(meter.bytes >= 1_000_000);
});

Deno.test("text in Huffman's code is reckoned as long as it may be", () => {
  const { bytes } = reckon(
    concat(Uint8Array.of(0, 1, 0x61), hpackInteger(100, 7, 0x80), new Uint8Array(100)),
  );
  strictEqual(bytes, 1 + 160 + 32);
});

Deno.test("a change of the table's size is no field", () => {
  strictEqual(reckon(hpackInteger(4096, 5, 0x20)).fields, 0);
});

Deno.test("a number without an end is no header", () => {
  strictEqual(reckon(new Uint8Array(20).fill(0xff)).readable, false);
});

Deno.test("the headers of a call are far below any bound", () => {
  const { bytes, fields } = reckon(callHeaders(OPEN_STREAM, ["user-agent", "grpc-go/1.70.0"]));
  strictEqual(fields, 7);
  ok(bytes < 1000);
});
