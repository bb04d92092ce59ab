// Merges what arrives over a call in pieces of a few bytes while nobody reads it. HTTP/2 windows count bytes, and the
// runtime keeps half a kilobyte for each piece: a peer that is held back could have 16 MiB of single bytes wait here. Used by
// call_gate.ts.

import { Buffer } from "node:buffer";
import type { ServerHttp2Stream } from "node:http2";

/** Pieces below this are merged, in bytes: for larger ones the copy costs more than is saved. */
const SMALL_BYTES = 1024;
/** Into pieces of so many bytes. */
const MERGED_BYTES = 16 * 1024;

/** From now on small pieces that come while more than enough waits to be read are merged. */
export function mergePieces(stream: ServerHttp2Stream): void {
  const push = stream.push.bind(stream);
  const read = stream._read.bind(stream);
  let merged: Buffer | undefined;
  let length = 0;
  const flush = () => {
    if (merged === undefined) return;
    const piece = merged.subarray(0, length);
    merged = undefined;
    length = 0;
    push(piece);
  };
  stream.push = (chunk, encoding) => {
    const isSmall = chunk instanceof Uint8Array && chunk.length < SMALL_BYTES;
    // Only then is it certain that the stream asks for more later, which is when what was merged is passed on.
    if (!isSmall || stream.readableLength < stream.readableHighWaterMark) {
      flush();
      return push(chunk, encoding);
    }
    if (length + chunk.length > MERGED_BYTES) flush();
    merged ??= Buffer.alloc(MERGED_BYTES);
    merged.set(chunk, length);
    length += chunk.length;
    return false;
  };
  stream._read = (size) => {
    flush();
    read(size);
  };
}
