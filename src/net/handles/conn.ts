// A TCP connection over a handle of the runtime: reading (read_buffers.ts), writing whole chunks, half-close, and real
// resets. docs/ARCHITECTURE.md, "Sockets".

import { formatAddress, unmapIpv4 } from "../../model/address.ts";
import { type ResetCode, TAKEN } from "../../byte_channel.ts";
import { ConnectorError } from "../../model/errors.ts";
import { KEEP_ALIVE_IDLE_MS } from "../../keep_alive.ts";
import type { Conn } from "../conn.ts";
import { ReadBuffers } from "../read_buffers.ts";
import type { SocketAddress } from "../sockets.ts";
import { sweep, type Swept, unsweep } from "../sweep.ts";
import {
  EOF,
  type HandleReader,
  readInto,
  type Request,
  shutdown,
  SystemError,
  type TcpHandle,
  type Waiter,
  write,
} from "./handle.ts";

/**
 * The longest first write that leaves at once although TCP_NODELAY is not set yet, in bytes: nothing is on its way that
 * it could wait for, and it is one segment on any path. Most short connections never write again.
 */
const MAX_PROMPT_BYTES = 512;

/** A TCP connection over a handle. */
export class HandleConn implements Conn, HandleReader, Swept {
  /** host:port of the other end. */
  readonly remote: string;
  place = -1;
  readonly #handle: TcpHandle;
  readonly #reads = new ReadBuffers();
  /** What waited to be read at the last look at whether the connection is lost. */
  #waitingBefore: Uint8Array | undefined;
  #loss: string | undefined;
  #writeFailure: ConnectorError | undefined;
  /** Writes and the half-close that the system has not finished: told when the connection is closed before. */
  #unfinished: Unfinished[] = [];
  #prompt = false;
  #wrote = false;
  #keptAlive = false;
  /** Whether the read has met an end that a write under way explains. */
  #ending = false;
  #finished = false;
  #closed = false;
  #onLost: ((reason: string) => void) | undefined;

  private constructor(handle: TcpHandle, remote: string) {
    this.#handle = handle;
    this.remote = remote;
  }

  /**
   * Takes over a handle that is connected. Pass `remote` if you know it: asking the system takes a call.
   *
   * The sweep holds it until it is closed, and so the handle, which ends when nothing refers to it.
   */
  static over(handle: TcpHandle, remote = remoteOf(handle)): HandleConn {
    const conn = new HandleConn(handle, remote);
    readInto(handle, conn);
    sweep(conn);
    conn.#startReading();
    return conn;
  }

  /** host:port of this end. Asks the system each time. */
  get local(): string {
    const local: Partial<SocketAddress> = {};
    this.#handle.getsockname(local);
    return textOf(local);
  }

  read(): Promise<Uint8Array | null> {
    const waiting = this.#reads.take();
    if (waiting === undefined) return this.#reads.next();
    if (!this.#closed) this.#startReading();
    return Promise.resolve(waiting);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.reject(this.#gone());
    if (!this.#prompt) this.#hurry(bytes.length);
    const result = write(this.#handle, bytes);
    return result === 0 ? TAKEN : this.#whenOver(result);
  }

  finish(): Promise<void> {
    if (this.#closed) return TAKEN;
    this.#finished = true;
    const over = this.#unfinished.length === 0;
    // The other side has finished, too, and nothing waits: closing says the same, in one call to the system.
    if (over && this.#reads.ended) {
      this.close();
      return TAKEN;
    }
    const begun = shutdown(this.#handle);
    return over && typeof begun !== "number" ? TAKEN : this.#whenOver(begun);
  }

  onLost(listener: (reason: string) => void): void {
    this.#onLost = listener;
    if (this.#loss !== undefined) listener(this.#loss);
  }

  /** Whether the connection was reset while it is held back: who does not read is not told. */
  look(): void {
    // Here, and not at the start: those that end soon have no use for it.
    if (!this.#keptAlive) this.#handle.setKeepAlive(true, KEEP_ALIVE_IDLE_MS / 1000);
    this.#keptAlive = true;
    const { waiting } = this.#reads;
    const heldBack = waiting !== undefined && waiting === this.#waitingBefore;
    this.#waitingBefore = waiting;
    // Once both sides have finished the system forgets the other end, too: then what waits is whole.
    if (!heldBack || this.#finished || this.#handle.getpeername({}) === 0) return;
    this.#lose(`The connection to ${this.remote} failed: connection reset by peer`);
  }

  /** For the handle only: so many bytes were read, or none for this reason. */
  receive(count: number): void {
    if (count > 0) {
      if (this.#reads.filled(count)) this.#handle.useUserBuffer(this.#reads.toFill());
      else this.#handle.readStop();
    } else if (count === EOF) {
      // Once the system has forgotten the other end, a write under way tells how it ended.
      this.#ending = this.#unfinished.length > 0 && this.#handle.getpeername({}) !== 0;
      if (!this.#ending) this.#endReading();
    } else if (count < 0) {
      const action = `The connection to ${this.remote} failed`;
      const failure = ConnectorError.from(new SystemError(count), action);
      this.#reads.fail(() => failure);
      this.#lose(failure.message);
    }
  }

  /** For the handle only: a write or half-close is over. */
  completed(unfinished: Unfinished, status: number): void {
    const place = this.#unfinished.indexOf(unfinished);
    if (place < 0) return;
    this.#unfinished.splice(place, 1);
    if (status === 0) unfinished.resolve();
    else unfinished.reject(this.#failWrite(status));
    if (this.#ending && this.#unfinished.length === 0) this.#endReading();
  }

  reset(_code: ResetCode, _reason: string): void {
    if (this.#closed) return;
    if (this.#handle.reset() !== 0) this.#handle.close();
    this.#release();
  }

  close(): void {
    if (this.#closed) return;
    // Bytes that the system has not taken are lost, and that is no orderly end.
    if (this.#unfinished.length > 0) return this.reset("closing", "the connection was closed");
    this.#handle.close();
    this.#release();
  }

  /** The system tells of a reset once. When a write has met it, the read sees an end, which it is not. */
  #endReading(): void {
    const failure = this.#writeFailure;
    if (failure === undefined) this.#reads.finish();
    else this.#reads.fail(() => failure);
  }

  #startReading(): void {
    this.#handle.useUserBuffer(this.#reads.toFill());
    const status = this.#handle.readStart();
    if (status !== 0) this.receive(status);
  }

  /** Has small segments leave at once from the second write on. */
  #hurry(firstBytes: number): void {
    const soon = !this.#wrote && firstBytes <= MAX_PROMPT_BYTES;
    this.#wrote = true;
    if (soon) return;
    this.#prompt = true;
    this.#handle.setNoDelay(true);
  }

  /** Resolves when the system has finished what was begun; rejects when that failed or the connection was closed. */
  #whenOver(begun: number | Request): Promise<void> {
    if (typeof begun === "number") return Promise.reject(this.#failWrite(begun));
    const unfinished = new Unfinished(this);
    this.#unfinished.push(unfinished);
    begun.waiter = unfinished;
    return unfinished.done;
  }

  #failWrite(status: number): ConnectorError {
    const failure = ConnectorError.from(
      new SystemError(status),
      `Cannot write to ${this.remote}`,
    );
    this.#writeFailure ??= failure;
    this.#lose(failure.message);
    return failure;
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

  /** After the handle was closed: nothing waits any more. */
  #release(): void {
    this.#closed = true;
    this.#handle.reader = undefined;
    this.#onLost = undefined;
    unsweep(this);
    this.#reads.fail(() =>
      new ConnectorError("cancelled", `The connection to ${this.remote} was closed`)
    );
    const unfinished = this.#unfinished;
    this.#unfinished = [];
    for (const each of unfinished) each.reject(this.#gone());
  }
}

/** A write or half-close that the system has not finished. */
class Unfinished implements Waiter {
  readonly done: Promise<void>;
  resolve: () => void = () => {};
  reject: (error: ConnectorError) => void = () => {};
  readonly #conn: HandleConn;

  constructor(conn: HandleConn) {
    this.#conn = conn;
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  complete(status: number): void {
    this.#conn.completed(this, status);
  }
}

function remoteOf(handle: TcpHandle): string {
  const remote: Partial<SocketAddress> = {};
  handle.getpeername(remote);
  return textOf(remote);
}

function textOf({ address = "unknown", port = 0 }: Partial<SocketAddress>): string {
  return formatAddress({ host: unmapIpv4(address), port });
}
