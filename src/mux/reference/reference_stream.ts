// One tunnelled connection in the reference dialect, which has no half-close and no flow control: `closed`
// from the peer ends its bytes, and our own `closed` is held back while an answer may still come, because
// a reference peer that receives it closes both directions. docs/PROTOCOL.md, "Reference dialect".

import type { ResetCode } from "../../byte_channel.ts";
import { ConnectorError } from "../../model/errors.ts";
import { CHUNK_OVERHEAD_BYTES } from "../../model/limits.ts";
import { MAX_DATA_BYTES } from "../../wire/frame.ts";
import type { Stream } from "../stream.ts";

/** Which side of the service a stream's user is on. */
export type StreamRole = "ingress" | "egress";

/** What a stream is known by. */
export interface StreamIds {
  serviceId: string;
  /** The id of the service on the wire. */
  wireId: string;
  connectionId: string;
}

/** What a stream asks of the session that carries it. */
export interface ReferenceCarrier {
  /** Sends bytes when the stream's turn comes; nothing is sent once `wanted` says no. */
  sendData(stream: ReferenceStream, bytes: Uint8Array, wanted: () => boolean): Promise<void>;
  /** Sends the end of our bytes. */
  sendClosed(stream: ReferenceStream): void;
  /** Bytes that the session had counted against its budget were consumed or dropped. */
  release(count: number): void;
  /** The stream has ended on both sides and can be forgotten. */
  forget(stream: ReferenceStream): void;
}

/**
 * How long our `closed` waits for an answer's next byte, in milliseconds. A reference peer cuts an answer off
 * when `closed` arrives; a peer of ours only learns of the end later.
 */
const CLOSED_LINGER_MS = 2000;

/** How long a stream that ended here first is remembered when the peer never says `closed`, in milliseconds. */
const LATE_BYTES_MS = 30_000;

/** A stream of the reference dialect. */
export class ReferenceStream implements Stream {
  readonly serviceId: string;
  readonly wireId: string;
  readonly visitor = "";
  readonly passages = 0;
  readonly connectionId: string;
  readonly #role: StreamRole;
  readonly #carrier: ReferenceCarrier;
  readonly #queue: Uint8Array[] = [];
  /** What the bytes of the last read cost: still counted against the session's budget. */
  #reading = 0;
  #wakeReader: (() => void) | undefined;
  /** Reset by our user: nothing is delivered or sent any more. */
  #failure: ConnectorError | undefined;
  #onLost: ((reason: string) => void) | undefined;
  /** The link is gone: what has arrived is still delivered. */
  #linkFailure: ConnectorError | undefined;
  /** The peer has sent `closed`. */
  #peerClosed = false;
  /** Our user has finished writing. */
  #finished = false;
  /** We have sent `closed`. */
  #closedSent = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #receivedAt = 0;
  #sentAt = 0;

  constructor(
    { serviceId, wireId, connectionId, role }: StreamIds & { role: StreamRole },
    carrier: ReferenceCarrier,
  ) {
    this.serviceId = serviceId;
    this.wireId = wireId;
    this.connectionId = connectionId;
    this.#role = role;
    this.#carrier = carrier;
  }

  async read(): Promise<Uint8Array | null> {
    this.#carrier.release(this.#reading);
    this.#reading = 0;
    for (;;) {
      if (this.#failure) throw this.#failure;
      const bytes = this.#queue.shift();
      if (bytes !== undefined) {
        this.#reading = costOf(bytes);
        return bytes;
      }
      if (this.#peerClosed) {
        this.#settle();
        return null;
      }
      if (this.#linkFailure) throw this.#linkFailure;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += MAX_DATA_BYTES) {
      this.#throwIfEnded();
      const chunk = bytes.subarray(start, start + MAX_DATA_BYTES);
      await this.#carrier.sendData(this, chunk, () => this.#failure === undefined);
      this.#sentAt = performance.now();
    }
    this.#throwIfEnded();
  }

  finish(): Promise<void> {
    if (!this.#finished) {
      this.#finished = true;
      if (this.#peerClosed || !this.#mayStillReceive()) this.#sendClosed();
      else this.#startLinger(performance.now());
    }
    return Promise.resolve();
  }

  onLost(listener: (reason: string) => void): void {
    this.#onLost = listener;
    const failure = this.#failure ?? this.#linkFailure;
    if (failure) listener(failure.message);
  }

  /** The dialect has no word for it. */
  accept(): void {}

  /** Nor for this. */
  onDialled(): void {}

  reset(_code: ResetCode, reason: string): void {
    if (this.#failure) return;
    this.#failure = new ConnectorError("unavailable", reason);
    this.#carrier.release(this.#queue.reduce((sum, bytes) => sum + costOf(bytes), this.#reading));
    this.#queue.length = 0;
    this.#reading = 0;
    this.#wake();
    this.#onLost?.(reason);
    this.#sendClosed();
    // Late bytes of the peer must find this stream, or they would open it anew.
    if (!this.#peerClosed && !this.#linkFailure) {
      this.#timer = setTimeout(() => this.#carrier.forget(this), LATE_BYTES_MS);
    }
  }

  close(): void {
    this.reset("closing", "the connection was closed");
  }

  /** Takes bytes from the peer; returns what now counts against the session's budget. */
  receiveData(bytes: Uint8Array): number {
    if (this.#failure || this.#peerClosed || bytes.length === 0) return 0;
    this.#receivedAt = performance.now();
    // A view keeps the whole message in memory: fine for a reader that waits, not for bytes that may lie long.
    this.#queue.push(this.#wakeReader === undefined ? bytes.slice() : bytes);
    this.#wake();
    return costOf(bytes);
  }

  /** Takes the peer's `closed`: no more bytes will come. */
  receiveClosed(): void {
    if (this.#peerClosed) return;
    this.#peerClosed = true;
    if (this.#finished) this.#sendClosed();
    this.#wake();
    this.#settle();
  }

  /** The link is gone: nothing can be sent or received any more. */
  linkLost(error: ConnectorError): void {
    this.#linkFailure = error;
    this.#closedSent = true;
    clearTimeout(this.#timer);
    this.#wake();
    this.#onLost?.(error.message);
  }

  #throwIfEnded(): void {
    const failure = this.#failure ?? this.#linkFailure;
    if (failure) throw failure;
  }

  /** Whether bytes may still come that our `closed` would cut off at a reference peer. */
  #mayStillReceive(): boolean {
    if (this.#role === "ingress") return true;
    // The egress has read the end of the destination. If it answered last, the exchange is over; if the
    // visitor was still sending, let it.
    return this.#queue.length > 0 || this.#receivedAt > this.#sentAt;
  }

  #startLinger(since: number): void {
    const quiet = performance.now() - Math.max(since, this.#receivedAt);
    if (quiet >= CLOSED_LINGER_MS) return this.#sendClosed();
    this.#timer = setTimeout(() => this.#startLinger(since), CLOSED_LINGER_MS - quiet);
  }

  #sendClosed(): void {
    clearTimeout(this.#timer);
    if (!this.#closedSent) {
      this.#closedSent = true;
      this.#carrier.sendClosed(this);
    }
    this.#settle();
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }

  #settle(): void {
    if (!this.#closedSent || !this.#peerClosed || this.#queue.length > 0) return;
    clearTimeout(this.#timer);
    this.#carrier.forget(this);
  }
}

function costOf(bytes: Uint8Array): number {
  return bytes.length + CHUNK_OVERHEAD_BYTES;
}
