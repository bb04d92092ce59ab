// Reads request bodies within bounds of size, time and memory, whatever the client declares or sends. Hono's
// own body limit copies the request, and has no time limit.

import { HTTPException } from "hono/http-exception";

/** The largest request body, in bytes: an expose request needs a few hundred. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** How long a whole body may take, in milliseconds: it fits into a few packets. */
const BODY_TIMEOUT_MS = 10_000;
/** Bytes of all bodies that are being read at one time: 16 of the largest. */
const MAX_HELD_BYTES = 16 * MAX_BODY_BYTES;
/** Bytes of a body that nobody wants that are taken all the same: what a client has sent before it can be told. */
export const MAX_DROPPED_BYTES = 16 * MAX_BODY_BYTES;
/** How long those may take, in milliseconds: what was sent already comes at once. */
const DROP_TIMEOUT_MS = 1000;
/** What a body is first given room for, in bytes. */
const FIRST_ROOM_BYTES = 4096;

/** Bounds of a reader. The defaults are right except for tests. */
export interface BodyReaderOptions {
  /** How long a whole body may take, in milliseconds. */
  timeoutMs?: number | undefined;
  /** Bytes of all bodies that are being read at one time. */
  maxHeldBytes?: number | undefined;
}

/** Reads bodies, and counts what all those that are being read hold. */
export class BodyReader {
  readonly #timeoutMs: number;
  readonly #maxHeldBytes: number;
  #heldBytes = 0;

  constructor(options: BodyReaderOptions = {}) {
    this.#timeoutMs = options.timeoutMs ?? BODY_TIMEOUT_MS;
    this.#maxHeldBytes = options.maxHeldBytes ?? MAX_HELD_BYTES;
  }

  /**
   * Reads the whole body. On every outcome the body is released and no timer is left.
   *
   * @throws {HTTPException} 413 too large, 408 too slow, 429 too many at a time, 400 when it was cut off.
   */
  async read(request: Request): Promise<Uint8Array> {
    // A declared length is refused before a byte of it is kept.
    if (Number(request.headers.get("content-length")) > MAX_BODY_BYTES) {
      await this.drop(request);
      throw tooLarge();
    }
    if (request.body === null) return new Uint8Array();

    const reader = request.body.getReader();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      release(reader);
    }, this.#timeoutMs);
    // Copied into one buffer: a list of chunks costs a hundred times its bytes when they come one by one.
    let buffer = new Uint8Array(FIRST_ROOM_BYTES);
    let size = 0;
    try {
      while (true) {
        const { done, value } = await readChunk(reader);
        if (late) throw new HTTPException(408, { message: tooSlow(this.#timeoutMs) });
        if (done) return buffer.subarray(0, size);
        if (size + value.length > MAX_BODY_BYTES) {
          await dropRest(reader, this.#dropTimeoutMs);
          throw tooLarge();
        }
        if (this.#heldBytes + value.length > this.#maxHeldBytes) throw tooMany();
        this.#heldBytes += value.length;
        buffer = withRoom(buffer, size + value.length);
        buffer.set(value, size);
        size += value.length;
      }
    } finally {
      clearTimeout(timer);
      this.#heldBytes -= size;
      release(reader);
    }
  }

  /**
   * Takes a body that nobody wants, within bounds, before the request is answered: a connection that ends with bytes
   * unread is reset, and the client may see that in place of the answer. Never rejects.
   */
  async drop(request: Request): Promise<void> {
    if (request.body === null || request.bodyUsed) return;
    if (Number(request.headers.get("content-length")) > MAX_DROPPED_BYTES) return;
    // It has not been asked for, and has not been sent.
    if (/^100-continue$/i.test(request.headers.get("expect") ?? "")) return;
    const reader = request.body.getReader();
    await dropRest(reader, this.#dropTimeoutMs);
    release(reader);
  }

  get #dropTimeoutMs(): number {
    return Math.min(this.#timeoutMs, DROP_TIMEOUT_MS);
  }
}

/** Reads on, to the end or up to the bounds, and keeps nothing. Never rejects. */
async function dropRest(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  timeoutMs: number,
): Promise<void> {
  const timer = setTimeout(() => release(reader), timeoutMs);
  try {
    for (let dropped = 0; dropped < MAX_DROPPED_BYTES;) {
      const { done, value } = await reader.read();
      if (done) return;
      dropped += value.length;
    }
  } catch {
    // It was cut off: whoever sent it does not wait for an answer.
  } finally {
    clearTimeout(timer);
  }
}

async function readChunk(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (error) {
    throw new HTTPException(400, { message: "The request body was cut off", cause: error });
  }
}

/** Gives the body up, so that nothing more of it is received; nothing happens when it has ended. */
function release(reader: ReadableStreamDefaultReader<Uint8Array>): void {
  // Canceling a body that has failed repeats its error, which `read` has reported already.
  reader.cancel().catch(() => undefined);
}

function withRoom(buffer: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  if (size <= buffer.length) return buffer;
  const larger = new Uint8Array(Math.min(MAX_BODY_BYTES, Math.max(size, buffer.length * 2)));
  larger.set(buffer);
  return larger;
}

function tooLarge(): HTTPException {
  return new HTTPException(413, {
    message: `The request body is too large, want at most ${MAX_BODY_BYTES} bytes`,
  });
}

function tooMany(): HTTPException {
  return new HTTPException(429, {
    message: "Too many large requests at the same time, try again later",
  });
}

function tooSlow(timeoutMs: number): string {
  return `The request body did not arrive within ${timeoutMs / 1000} seconds`;
}
