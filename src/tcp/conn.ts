// The only owner of `Deno.Conn`: dialling, reading into buffers that adapt, writing whole chunks, half-close.
// `conn.readable` is not used: read to its end it closes the whole socket, and half-close would be lost.

import { type Address, formatAddress, unmapIpv4 } from "../address.ts";
import type { ByteChannel, ResetCode } from "../byte_channel.ts";
import { ConnectorError } from "../errors.ts";

/** The smallest read buffer, in bytes: what an idle connection pins. */
const MIN_READ_BYTES = 4 * 1024;
/** The largest read buffer, in bytes: what makes a read cheap for bulk, and one turn of a stream. */
const MAX_READ_BYTES = 64 * 1024;
/** So many reads in a row that leave three quarters of the buffer empty halve it. */
const SMALL_READS_TO_SHRINK = 8;

/** How to dial. */
export interface DialOptions {
  /** The longest the dial may take, in milliseconds. */
  timeoutMs: number;
  /** Gives up when aborted. */
  signal: AbortSignal;
}

/** A TCP connection. */
export class Conn implements ByteChannel {
  /** host:port of the other end. */
  readonly remote: string;
  readonly #conn: Deno.TcpConn;
  #buffer = new Uint8Array(MIN_READ_BYTES);
  #smallReads = 0;
  #closed = false;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    const { hostname, port } = conn.remoteAddr;
    this.remote = formatAddress({ host: unmapIpv4(hostname), port });
    try {
      conn.setNoDelay(true);
    } catch (error) {
      // Some systems refuse it on a connection whose other end has gone already; reading will tell.
      if (error instanceof TypeError) throw error;
    }
  }

  /**
   * Connects to an address; host names are resolved, and both families are tried.
   *
   * @throws {ConnectorError} `unavailable`, `deadline_exceeded` or `cancelled`, naming the address.
   */
  static async dial(address: Address, { timeoutMs, signal }: DialOptions): Promise<Conn> {
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const conn = await Deno.connect({
        hostname: address.host,
        port: address.port,
        signal: AbortSignal.any([signal, timeout]),
      });
      return new Conn(conn);
    } catch (error) {
      const action = `Cannot connect to ${formatAddress(address)}`;
      if (timeout.aborted) {
        throw new ConnectorError(
          "deadline_exceeded",
          `${action}: no answer in ${timeoutMs / 1000} s`,
        );
      }
      throw ConnectorError.from(error, action);
    }
  }

  async read(): Promise<Uint8Array | null> {
    let count: number | null;
    try {
      count = await this.#conn.read(this.#buffer);
    } catch (error) {
      throw ConnectorError.from(error, `Cannot read from ${this.remote}`);
    }
    if (count === null) return null;
    const bytes = this.#buffer.subarray(0, count);
    this.#adapt(count);
    return bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      let offset = await this.#conn.write(bytes);
      while (offset < bytes.length) offset += await this.#conn.write(bytes.subarray(offset));
    } catch (error) {
      throw ConnectorError.from(error, `Cannot write to ${this.remote}`);
    }
  }

  async finish(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#conn.closeWrite();
    } catch (error) {
      throw ConnectorError.from(error, `Cannot end the stream to ${this.remote}`);
    }
  }

  reset(_code: ResetCode, _reason: string): void {
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#conn.close();
  }

  /** Grows the buffer while reads fill it, shrinks it when they stay small. The last view stays valid. */
  #adapt(count: number): void {
    const size = this.#buffer.length;
    if (count === size && size < MAX_READ_BYTES) {
      this.#buffer = new Uint8Array(size * 4);
      this.#smallReads = 0;
    } else if (count <= size / 4 && size > MIN_READ_BYTES) {
      this.#smallReads += 1;
      if (this.#smallReads < SMALL_READS_TO_SHRINK) return;
      this.#buffer = new Uint8Array(size / 4);
      this.#smallReads = 0;
    } else {
      this.#smallReads = 0;
    }
  }
}
