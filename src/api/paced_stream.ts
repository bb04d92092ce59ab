// A connection as the HTTP server sees it: what the client sends comes in pieces, each in a turn of its own, and no more
// is received before it was taken. Given a socket itself, the runtime's HTTP server reads as much as there is in one turn
// of the event loop. Used by api/serve_http.ts.

import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { pauseReading, resumeReading, writeTo } from "../platform/tls_pause.ts";
import type { Connection } from "./connections.ts";
import type { Turns } from "./turns.ts";

/**
 * Bytes that are parsed in one turn. The worst of them, a body in chunks of one byte, take some milliseconds; an honest
 * request is smaller.
 */
const PIECE_BYTES = 4 * 1024;

/** How long a connection may take to end in order once its last answer is written, in milliseconds. */
const END_MS = 1000;

/** What a stream needs besides its socket. */
export interface PacedStreamOptions {
  turns: Turns;
  connection: Connection;
}

/** A socket, or a TLS socket, that is read in pieces. Whichever of the two ends, the other ends with it. */
export class PacedStream extends Duplex {
  readonly #socket: Socket;
  readonly #turns: Turns;
  readonly connection: Connection;
  /** What was received and is not handed on; while there is something, the socket is not read. */
  #received: Uint8Array[] = [];
  #hasEnded = false;
  #isHandingOn = false;

  private constructor(socket: Socket, { turns, connection }: PacedStreamOptions) {
    super({ emitClose: true });
    this.#socket = socket;
    this.#turns = turns;
    this.connection = connection;
  }

  /** Takes a socket over: nothing of it is read before the stream is. */
  static over(socket: Socket, options: PacedStreamOptions): PacedStream {
    const stream = new PacedStream(socket, options);
    stream.#pause();
    socket.on("data", (chunk: Uint8Array) => {
      stream.#pause();
      stream.#received.push(chunk);
      void stream.#handOn();
    });
    socket.on("end", () => {
      stream.#hasEnded = true;
      void stream.#handOn();
    });
    socket.on("error", (error) => stream.destroy(error));
    socket.on("close", () => stream.destroy());
    return stream;
  }

  override _read(): void {
    if (this.#received.length === 0 && !this.#hasEnded) this.#resume();
    else void this.#handOn();
  }

  override _write(
    chunk: Uint8Array,
    _encoding: string,
    callback: (error?: Error | null) => void,
  ): void {
    writeTo(this.#socket, chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#received = [];
    this.#socket.destroy();
    callback(error);
  }

  /** As of a socket: ends it when what was written has been sent. Called by the HTTP server. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) return void this.destroy();
    this.once("finish", () => this.destroy());
    // TLS cannot end in order while nothing is read, and a client that sends on is not read.
    const timer = setTimeout(() => this.destroy(), END_MS);
    this.once("close", () => clearTimeout(timer));
  }

  /** As of a socket. Deadlines are the business of connections.ts. */
  setTimeout(): this {
    return this;
  }

  #pause(): void {
    pauseReading(this.#socket, this.connection.socket);
  }

  #resume(): void {
    resumeReading(this.#socket, this.connection.socket);
  }

  async #handOn(): Promise<void> {
    if (this.#isHandingOn) return;
    this.#isHandingOn = true;
    await this.#turns.take();
    this.#isHandingOn = false;
    if (this.destroyed) return;
    const [first] = this.#received;
    if (first === undefined) {
      if (this.#hasEnded) this.push(null);
      return;
    }
    this.#received[0] = first.subarray(PIECE_BYTES);
    if (first.length <= PIECE_BYTES) this.#received.shift();
    this.connection.hear();
    // The stream asks for the next piece by itself, when this one has been taken.
    this.push(first.subarray(0, PIECE_BYTES));
  }
}
