// Small pieces that arrive over a call while nobody reads it are merged; nothing is lost, doubled or moved.

import { deepStrictEqual, ok } from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { mergePieces } from "../../src/grpc/merged_pieces.ts";

const PIECES = 40_000;

/** Pushes single bytes, the stream being full or not, and reads it all. Returns the sizes of what was read. */
async function sizesRead({ full }: { full: boolean }): Promise<number[]> {
  const stream = new Readable({ read() {} });
  // It uses nothing but what all streams to read have.
  mergePieces(stream as unknown as ServerHttp2Stream);
  const sent: Buffer[] = [];
  const push = (piece: Buffer) => {
    sent.push(piece);
    stream.push(piece);
  };
  if (full) push(Buffer.alloc(stream.readableHighWaterMark, "full"));
  const read: Buffer[] = [];
  if (!full) stream.on("data", (piece: Buffer) => read.push(piece));
  for (let count = 0; count < PIECES; count += 1) {
    push(Buffer.of(count % 251));
    if (!full) await Promise.resolve();
  }
  // A large one comes after those before it.
  push(Buffer.alloc(5_000, "large"));
  push(Buffer.of(1));
  stream.push(null);
  if (full) stream.on("data", (piece: Buffer) => read.push(piece));
  await new Promise((resolve) => stream.once("end", resolve));
  ok(Buffer.concat(read).equals(Buffer.concat(sent)), "it is what was sent");
  return read.map(({ length }) => length);
}

Deno.test("pieces that wait are merged", async () => {
  const sizes = await sizesRead({ full: true });
  ok(sizes.length < 10, `${sizes.length} pieces`);
});

Deno.test("pieces that are read as they come are passed on as they are", async () => {
  const sizes = await sizesRead({ full: false });
  deepStrictEqual(sizes.slice(0, 3), [1, 1, 1]);
});
