// What a peer makes us do and keep with the frames of HTTP/2 that carry no data. Each costs time, and a connection can bring
// 20 million a second; headers unpack to a thousand times their size. nghttp2 bounds some kinds of them (resets,
// continuations, unanswered pings), and the runtime lets us see none. So the frames are read as they arrive, ahead of both.
// Pure arithmetic; http2_bounds.ts feeds it.

import { HeaderMeter } from "./header_meter.ts";

/** What a client sends first, ahead of any frame, in bytes (RFC 9113 section 3.4). */
const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;
/** A longer frame is none: nghttp2 says so, and ends the connection. */
const MAX_FRAME_BYTES = 16 * 1024;

/** Types of frames, and their flags (RFC 9113 section 6). */
const DATA = 0;
const HEADERS = 1;
const PUSH_PROMISE = 5;
const CONTINUATION = 9;
const PADDED = 0x8;
const PRIORITY = 0x20;
/** What stands before the headers: how much padding follows them, a priority, the number of a pushed call. */
const PAD_LENGTH_BYTES = 1;
const PRIORITY_BYTES = 5;
const PROMISED_BYTES = 4;

/**
 * Frames without data that a peer may send at once, far above any start of a connection; and how many more for each
 * second. A frame counts once, and once more for each so many bytes in it.
 */
const BURST = 10_000;
const PER_SECOND = 2_000;
const BYTES_PER_FRAME = 512;
/**
 * How many more for what we send: its receiver gives windows back and may ask how long the path is (as Go's does), for
 * each write and for each so many bytes.
 */
const PER_WRITE = 4;
const BYTES_PER_ANSWER = 4096;

/** How many frames of data take as long as the beginning of a call: 5 µs each, and 120 µs. */
const WORK_PER_CALL = 24;

/** The most that the headers of one call may be, once unpacked. */
export interface HeaderBounds {
  bytes: number;
  fields: number;
}

/** Why a connection is cut, as is logged. */
export type Excess =
  | "it floods the connection with HTTP/2 frames that carry no data"
  | "its headers are too large";
export const FLOOD: Excess = "it floods the connection with HTTP/2 frames that carry no data";
const TOO_LARGE: Excess = "its headers are too large";

/** Reads what one connection brings. */
export class FrameMeter {
  readonly #bounds: HeaderBounds;
  readonly #headers = new HeaderMeter();
  #credit = BURST;
  #grownAt: number;
  /** Bytes to pass over. */
  #skip: number;
  /** Bytes of headers that come then, and bytes to pass over after them. */
  #block = 0;
  #padding = 0;
  /** The next byte says how much of the block is padding. */
  #padded = false;
  /** The head that has not arrived whole. */
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headLength = 0;
  #excess: Excess | undefined;
  #work = 0;

  /** `now` in milliseconds. `client`: who sends is one. */
  constructor(bounds: HeaderBounds, { client, now }: { client: boolean; now: number }) {
    this.#bounds = bounds;
    this.#skip = client ? PREFACE_BYTES : 0;
    this.#grownAt = now;
  }

  /** How much work it has brought so far, about as many times what a frame of data takes. */
  get work(): number {
    return this.#work;
  }

  /** Takes what has arrived. Returns why it is too much, for good. */
  received(bytes: Uint8Array, now: number): Excess | undefined {
    let cost = 0;
    let at = 0;
    while (at < bytes.length && this.#excess === undefined) {
      if (this.#padded) {
        this.#padded = false;
        this.#padding = Math.min(bytes[at++] ?? 0, this.#block);
        this.#block -= this.#padding;
      } else if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at);
        this.#skip -= skipped;
        at += skipped;
      } else if (this.#block > 0) {
        const taken = Math.min(this.#block, bytes.length - at);
        this.#block -= taken;
        this.#takeHeaders(bytes.subarray(at, at + taken));
        at += taken;
      } else if (this.#padding > 0) {
        this.#skip = this.#padding;
        this.#padding = 0;
      } else {
        this.#head[this.#headLength++] = bytes[at++] ?? 0;
        if (this.#headLength === HEAD_BYTES) cost += this.#beginFrame();
      }
    }
    if (cost > 0) this.#pay(cost, now);
    return this.#excess;
  }

  /** Takes how many bytes were written at once. */
  sent(length: number): void {
    this.#credit = Math.min(BURST, this.#credit + PER_WRITE + length / BYTES_PER_ANSWER);
  }

  /** Returns what the frame costs. */
  #beginFrame(): number {
    this.#headLength = 0;
    const [high = 0, middle = 0, low = 0, type = 0, flags = 0] = this.#head;
    const length = high << 16 | middle << 8 | low;
    this.#work += type === HEADERS ? WORK_PER_CALL : 1;
    if (type === HEADERS || type === PUSH_PROMISE || type === CONTINUATION) {
      this.#beginHeaders(type, flags, length);
    } else {
      this.#skip = length;
    }
    if (type === DATA && length > 0) return 0;
    return 1 + Math.floor(Math.min(length, MAX_FRAME_BYTES) / BYTES_PER_FRAME);
  }

  #beginHeaders(type: number, flags: number, length: number): void {
    if (type !== CONTINUATION) this.#headers.begin();
    this.#padded = type !== CONTINUATION && (flags & PADDED) !== 0 && length > 0;
    const ahead = type === PUSH_PROMISE
      ? PROMISED_BYTES
      : type === HEADERS && (flags & PRIORITY) !== 0
      ? PRIORITY_BYTES
      : 0;
    const left = length - (this.#padded ? PAD_LENGTH_BYTES : 0);
    this.#skip = Math.min(ahead, left);
    this.#block = left - this.#skip;
  }

  #takeHeaders(block: Uint8Array): void {
    const { bytes, fields } = this.#bounds;
    const readable = this.#headers.take(block);
    // What cannot be read nghttp2 refuses, too.
    if (!readable || this.#headers.bytes > bytes || this.#headers.fields > fields) {
      this.#excess = TOO_LARGE;
    }
  }

  #pay(cost: number, now: number): void {
    const grown = this.#credit + (now - this.#grownAt) / 1000 * PER_SECOND;
    this.#grownAt = now;
    this.#credit = Math.min(BURST, grown) - cost;
    if (this.#credit < 0) this.#excess ??= FLOOD;
  }
}
