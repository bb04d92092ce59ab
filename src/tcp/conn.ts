// The only owner of TCP connections: reading into buffers that adapt, writing whole chunks, half-close, and
// real resets. Sockets are node's, because `Deno.Conn` cannot send a reset: it says FIN before it closes,
// whatever is asked, and a cut-off upload would pass for a whole one. docs/ARCHITECTURE.md, "Sockets".

import { type OnReadOpts, Socket } from "node:net";
import { formatAddress, unmapIpv4 } from "../address.ts";
import type { ByteChannel, ResetCode } from "../byte_channel.ts";
import { ConnectorError } from "../errors.ts";
import { keepAlive } from "../keep_alive.ts";
import { isConnected, unwatchLoss, watchLoss } from "./loss_watch.ts";

/** The smallest read buffer, in bytes: an idle connection pins two. */
const MIN_READ_BYTES = 1024;
/**
 * The largest read buffer, in bytes: what makes a read cheap for bulk, and one turn of a stream. With the headers
 * of its frame, batch and message it just fills four HTTP/2 frames of 16 KiB: the runtime sends each by itself.
 */
const MAX_READ_BYTES = 64 * 1024 - 64;
/** So many reads in a row that leave seven eighths of the buffer empty halve it. */
const SMALL_READS_TO_SHRINK = 8;

/** Codes of errors that a write to a socket meets which was closed or reset before. */
const GONE = /^(ERR_STREAM_.*|ECANCELED)$/;

const EMPTY = new Uint8Array(0);

/** A TCP connection. */
export class Conn implements ByteChannel {
  /** host:port of the other end. */
  readonly remote: string;
  readonly #socket: Socket;
  readonly #reads: ReadBuffers;
  /** What waited to be read at the last look at whether the connection is lost. */
  #waitingBefore: Uint8Array | undefined;
  #loss: string | undefined;
  #onLost: ((reason: string) => void) | undefined;

  private constructor(socket: Socket, reads: ReadBuffers, remote?: string) {
    this.#socket = socket;
    this.#reads = reads;
    this.remote = remote ?? remoteOf(socket);
    socket.setNoDelay(true);
    keepAlive(socket);
    socket.on("error", (error) => {
      const failure = ConnectorError.from(error, `The connection to ${this.remote} failed`);
      reads.fail(() => failure);
      this.#lose(failure.message);
    });
    socket.on("end", () => reads.end());
    watchLoss(this);
    socket.on("close", () => {
      unwatchLoss(this);
      reads.fail(() =>
        new ConnectorError("cancelled", `The connection to ${this.remote} was closed`)
      );
    });
  }

  /** Takes over a connection that a listener accepted and has not begun to read. */
  static accepted(socket: Socket): Conn {
    const reads = new ReadBuffers();
    giveReadBuffers(socket, reads.hooks);
    socket.resume();
    return new Conn(socket, reads);
  }

  /**
   * Takes over a socket that has connected; it was made with the hooks of `reads` and is not read yet. Who knows
   * where it leads to says so: asking the system takes a call.
   */
  static connected(socket: Socket, reads: ReadBuffers, remote?: string): Conn {
    return new Conn(socket, reads, remote);
  }

  read(): Promise<Uint8Array | null> {
    return this.#reads.read(this.#socket);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => error ? reject(this.#writeError(error)) : resolve());
    });
  }

  finish(): Promise<void> {
    // A destroyed socket never calls back, and a splice would wait for good.
    if (this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve, reject) => {
      // Older types leave out that it tells of an error.
      this.#socket.end((error?: Error | null) => {
        if (error) reject(this.#writeError(error));
        else resolve();
      });
    });
  }

  onLost(listener: (reason: string) => void): void {
    this.#onLost = listener;
    if (this.#loss !== undefined) listener(this.#loss);
  }

  /** Whether the connection was reset while it is held back. */
  checkLoss(): void {
    const { waiting } = this.#reads;
    const heldBack = waiting !== undefined && waiting === this.#waitingBefore;
    this.#waitingBefore = waiting;
    // Once both sides have finished the system forgets the other end, too: then what waits is whole.
    if (!heldBack || this.#socket.writableEnded || isConnected(this.#socket)) return;
    this.#lose(`The connection to ${this.remote} failed: connection reset by peer`);
  }

  reset(_code: ResetCode, _reason: string): void {
    this.#socket.resetAndDestroy();
  }

  close(): void {
    this.#socket.destroy();
  }

  #lose(reason: string): void {
    if (this.#loss !== undefined) return;
    this.#loss = reason;
    this.#onLost?.(reason);
  }

  #writeError(error: Error): ConnectorError {
    const action = `Cannot write to ${this.remote}`;
    // Node's own words for a stream that is gone ("write after end") are about the stream, not the connection.
    if ("code" in error && GONE.test(String(error.code))) {
      const cause = { cause: error };
      return new ConnectorError("unavailable", `${action}: the connection was closed`, cause);
    }
    return ConnectorError.from(error, action);
  }
}

function remoteOf({ remoteAddress = "unknown", remotePort = 0 }: Socket): string {
  return formatAddress({ host: unmapIpv4(remoteAddress), port: remotePort });
}

/** Where node keeps what a socket was made with to be read into: symbols of its own. */
const SOCKET_SYMBOLS = Object.getOwnPropertySymbols(new Socket());
const BUFFER = socketSymbol("kBuffer");
const BUFFER_CALLBACK = socketSymbol("kBufferCb");
const BUFFER_MAKER = socketSymbol("kBufferGen");

function socketSymbol(name: string): symbol {
  const symbol = SOCKET_SYMBOLS.find(({ description }) => description === name);
  if (symbol === undefined) throw new TypeError(`a socket of this runtime has no ${name}`);
  return symbol;
}

/**
 * Does for a socket that a server accepted what the option `onread` does for one that we make ourselves. Node has
 * no option for it; a second socket around the same handle would do, and cost a third of a connection.
 */
function giveReadBuffers(socket: Socket, { buffer, callback }: OnReadOpts): void {
  const internals = socket as unknown as {
    [key: symbol]: unknown;
    _handle: { useUserBuffer: (buffer: Uint8Array) => void } | null;
  };
  const first = typeof buffer === "function" ? buffer() : buffer;
  internals[BUFFER] = first;
  internals[BUFFER_CALLBACK] = callback;
  internals[BUFFER_MAKER] = buffer;
  internals._handle?.useUserBuffer(first);
}

/**
 * What a socket reads into, and who waits for it. Two buffers take turns: the reader holds one while the
 * socket fills the other; then the socket is paused until the reader comes back.
 */
export class ReadBuffers {
  /** What the socket is made with. */
  readonly hooks: OnReadOpts = {
    buffer: () => this.#bufferToFill(),
    callback: (count) => this.#receive(count),
  };
  readonly #buffers: [Uint8Array, Uint8Array] = [EMPTY, EMPTY];
  #filling: 0 | 1 = 0;
  #size = MIN_READ_BYTES;
  #smallReads = 0;
  /** Bytes that came while nobody was waiting for them. The socket is paused until they are read. */
  #waiting: Uint8Array | undefined;
  #reader: ((bytes: Uint8Array | null) => void) | undefined;
  #ended = false;
  /** Makes the error when it is asked for: most connections are closed when nobody reads any more. */
  #failure: (() => ConnectorError) | undefined;

  /** What came while nobody was waiting for it. */
  get waiting(): Uint8Array | undefined {
    return this.#waiting;
  }

  async read(socket: Socket): Promise<Uint8Array | null> {
    let bytes: Uint8Array | null = this.#waiting ?? null;
    if (bytes !== null) {
      this.#waiting = undefined;
      socket.resume();
      return bytes;
    }
    if (!this.#ended && this.#failure === undefined) {
      bytes = await new Promise<Uint8Array | null>((resolve) => this.#reader = resolve);
      if (bytes !== null) return bytes;
    }
    if (this.#ended || this.#failure === undefined) return null;
    throw this.#failure();
  }

  /** The other side has finished. */
  end(): void {
    this.#ended = true;
    this.#deliver(null);
  }

  /** The socket is gone; what has arrived can still be read. The first reason counts. */
  fail(makeError: () => ConnectorError): void {
    this.#failure ??= makeError;
    this.#deliver(null);
  }

  #bufferToFill(): Uint8Array {
    const buffer = this.#buffers[this.#filling];
    if (buffer.length === this.#size) return buffer;
    return this.#buffers[this.#filling] = new Uint8Array(this.#size);
  }

  #receive(count: number): boolean {
    const buffer = this.#buffers[this.#filling];
    const bytes = buffer.subarray(0, count);
    this.#filling = this.#filling === 0 ? 1 : 0;
    this.#adapt(count, buffer.length);
    if (this.#deliver(bytes)) return true;
    this.#waiting = bytes;
    // The reader may still hold the buffer that would be filled next.
    return false;
  }

  #adapt(count: number, size: number): void {
    if (count === size && size < MAX_READ_BYTES) {
      this.#size = Math.min(size * 4, MAX_READ_BYTES);
      this.#smallReads = 0;
    } else if (count <= size / 8 && size > MIN_READ_BYTES) {
      this.#smallReads += 1;
      if (this.#smallReads < SMALL_READS_TO_SHRINK) return;
      this.#size = Math.max(size / 2, MIN_READ_BYTES);
      this.#smallReads = 0;
    } else {
      this.#smallReads = 0;
    }
  }

  /** Returns whether somebody was waiting. */
  #deliver(bytes: Uint8Array | null): boolean {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.(bytes);
    return reader !== undefined;
  }
}
