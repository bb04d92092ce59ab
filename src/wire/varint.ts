// Variable-length numbers of Protocol Buffers, below 2^32, as the hand-written codec needs them.
// https://protobuf.dev/programming-guides/encoding/

import { breach } from "./native_frame.ts";

/** How many bytes a number takes. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}

/** Writes a number below 2^32 and returns the offset behind it. */
export function writeVarint(target: Uint8Array, offset: number, value: number): number {
  while (value >= 0x80) {
    target[offset++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  target[offset++] = value;
  return offset;
}

/** Reads within bounds that are checked at every step. */
export class Reader {
  readonly bytes: Uint8Array;
  /** Where what may be read ends. */
  end: number;
  offset: number;

  constructor(bytes: Uint8Array, offset: number, end: number) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  /** A number below 2^32: tags, lengths and stream ids all are. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.offset < this.end ? this.bytes[this.offset++] : undefined;
      if (byte === undefined) throw breach("a truncated frame");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw breach("a number that is too large");
  }

  /** Reads a length and returns the offset behind what it announces. */
  lengthDelimited(): number {
    const length = this.varint();
    if (length > this.end - this.offset) throw breach("a truncated frame");
    return this.offset + length;
  }
}
