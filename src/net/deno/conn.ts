// A TCP connection over a `Deno.Conn`. It cannot reset: however it ends, the other end reads an
// end. It uses `read` and `write`, not the streams: the readable stream closes the whole socket
// when it has been read to its end. docs/ARCHITECTURE.md, "Sockets".

import { formatAddress, unmapIpv4 } from "../../model/address.ts";
import { type ResetCode, TAKEN } from "../../byte_channel.ts";
import { delay } from "../../delay.ts";
import { ConnectorError } from "../../model/errors.ts";
import type { Conn } from "../conn.ts";
import { ReadBuffers } from "../read_buffers.ts";
import { sweep, type Swept, unsweep } from "../sweep.ts";

/** A TCP connection over a `Deno.Conn`. */
export class DenoConn implements Conn, Swept {
  /** host:port of the other end. */
  readonly remote: string;
  place = -1;
  readonly #conn: Deno.TcpConn;
  readonly #reads = new ReadBuffers();
  #loss: string | undefined;
  #writeFailure: ConnectorError | undefined;
  /** The last write or half-close, while any is under way. */
  #lastWrite: Promise<void> | undefined;
  #unfinished = 0;
  #prompt = false;
  #closed = false;
  #onLost: ((reason: string) => void) | undefined;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    this.remote = textOf(conn.remoteAddr);
  }

  /** Takes over a connection, and begins to read it. */
  static over(deno: Deno.TcpConn): DenoConn {
    const conn = new DenoConn(deno);
    sweep(conn);
    void conn.#readAhead();
    return conn;
  }

  /** host:port of this end. */
  get local(): string {
    return textOf(this.#conn.localAddr);
  }

  read(): Promise<Uint8Array | null> {
    const waiting = this.#reads.take();
    if (waiting === undefined) return this.#reads.next();
    if (!this.#closed) void this.#readAhead();
    return Promise.resolve(waiting);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.reject(this.#gone());
    if (!this.#prompt) this.#hurry();
    return this.#inTurn(bytes);
  }

  finish(): Promise<void> {
    if (this.#closed) return TAKEN;
    // The other side has finished, too, and nothing waits: closing says the same.
    if (this.#unfinished === 0 && this.#reads.ended) {
      this.close();
      return TAKEN;
    }
    return this.#inTurn(undefined);
  }

  onLost(listener: (reason: string) => void): void {
    this.#onLost = listener;
    if (this.#loss !== undefined) listener(this.#loss);
  }

  /** Has the system watch over a connection that is still there at the first look, as often as it does by itself. */
  look(): void {
    unsweep(this);
    this.#set(() => this.#conn.setKeepAlive(true));
  }

  /** The other end reads an end, and fails to write from then on. */
  reset(_code: ResetCode, _reason: string): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onLost = undefined;
    unsweep(this);
    this.#conn.close();
    this.#reads.fail(() =>
      new ConnectorError("cancelled", `The connection to ${this.remote} was closed`)
    );
  }

  /** Reads until something waits that nobody takes. */
  async #readAhead(): Promise<void> {
    try {
      for (let more = true; more;) {
        const count = await this.#conn.read(this.#reads.toFill());
        if (this.#closed) return;
        if (count === null) return await this.#endReading();
        more = count === 0 || this.#reads.filled(count);
      }
    } catch (error) {
      if (this.#closed) return;
      const failure = ConnectorError.from(error, `The connection to ${this.remote} failed`);
      this.#reads.fail(() => failure);
      this.#lose(failure.message);
    }
  }

  /** The system tells of a reset once. When a write has met it, the read sees an end, which it is not. */
  async #endReading(): Promise<void> {
    // A write that has met it fails in this turn of the event loop.
    if (this.#unfinished > 0) await delay(0);
    const failure = this.#writeFailure;
    if (failure === undefined) this.#reads.finish();
    else this.#reads.fail(() => failure);
  }

  /** Writes, or half-closes without bytes, once what was begun before is over. */
  #inTurn(bytes: Uint8Array | undefined): Promise<void> {
    this.#unfinished += 1;
    return this.#lastWrite = this.#send(bytes, this.#lastWrite);
  }

  async #send(bytes: Uint8Array | undefined, before: Promise<void> | undefined): Promise<void> {
    try {
      if (before !== undefined) await before;
      if (bytes === undefined) await this.#conn.closeWrite();
      else await this.#writeAll(bytes);
    } catch (error) {
      throw this.#closed ? this.#gone() : this.#failWrite(error);
    } finally {
      this.#unfinished -= 1;
      if (this.#unfinished === 0) this.#lastWrite = undefined;
    }
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let written = await this.#conn.write(bytes);
    while (written < bytes.length) written += await this.#conn.write(bytes.subarray(written));
  }

  /** Has small segments leave at once. */
  #hurry(): void {
    this.#prompt = true;
    this.#set(() => this.#conn.setNoDelay(true));
  }

  #set(option: () => void): void {
    try {
      option();
    } catch {
      // Some systems refuse options for a connection that is gone, which its reads and writes tell better.
    }
  }

  #failWrite(error: unknown): ConnectorError {
    // Whatever waited behind a write that failed fails for the same reason.
    this.#writeFailure ??= ConnectorError.from(error, `Cannot write to ${this.remote}`);
    this.#lose(this.#writeFailure.message);
    return this.#writeFailure;
  }

  #lose(reason: string): void {
    if (this.#loss !== undefined) return;
    this.#loss = reason;
    this.#onLost?.(reason);
  }

  #gone(): ConnectorError {
    return new ConnectorError(
      "unavailable",
      `Cannot write to ${this.remote}: the connection was closed`,
    );
  }
}

function textOf({ hostname, port }: Deno.NetAddr): string {
  return formatAddress({ host: unmapIpv4(hostname), port });
}
