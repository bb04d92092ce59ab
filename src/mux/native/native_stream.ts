// One tunnelled connection in the native dialect: half-close each way, resets with a reason, credit by
// absolute offsets. It checks what the peer does with it; a breach is thrown to the session.

import { type ResetCode, TAKEN } from "../../byte_channel.ts";
import { ConnectorError } from "../../model/errors.ts";
import { CHUNK_OVERHEAD_BYTES } from "../../model/limits.ts";
import type { SwapSetMember } from "../../swap_set.ts";
import type { Dialled } from "../../wire/native_frame.ts";
import { Inbox } from "./inbox.ts";
import type { NativeCarrier, NativeStreamOptions, OpenState } from "./native_carrier.ts";
import type { Stream } from "../stream.ts";
import { newShare } from "./turn_queue.ts";
import type { ReceiveWindow, SendWindow } from "./window.ts";

/** A stream of the native dialect. */
export class NativeStream implements SwapSetMember, Stream {
  place = -1;
  readonly serviceId: string;
  readonly visitor: string;
  readonly passages: number;
  /** Whether this side opened it. */
  readonly ours: boolean;
  readonly #carrier: NativeCarrier<NativeStream>;
  readonly #sendWindow: SendWindow;
  readonly #receiveWindow: ReceiveWindow;
  readonly #inbox = new Inbox();
  #id = 0;
  #state: OpenState;
  readonly #wanted = () => this.#failure === undefined;
  /** What was sent of it, beside other streams; and whether more waits for its turn. */
  readonly #share = newShare();
  #waitsForTurn = false;
  #wakeWriter: (() => void) | undefined;
  /** Why it was reset, by either side, in words: an error only for who asks, since most are just closed. */
  #failure: string | undefined;
  #onLost: ((reason: string) => void) | undefined;
  #onDialled: ((dialled: Dialled) => void) | undefined;
  /** Set when the link is gone: what has arrived is still delivered. */
  #linkFailure: ConnectorError | undefined;
  #sent: "nothing" | "finish" | "reset" = "nothing";
  #received: "nothing" | "finish" | "reset" = "nothing";

  constructor(options: NativeStreamOptions, carrier: NativeCarrier<NativeStream>) {
    this.serviceId = options.serviceId;
    this.visitor = options.visitor;
    this.passages = options.passages;
    this.ours = options.ours;
    this.#sendWindow = options.sendWindow;
    this.#receiveWindow = options.receiveWindow;
    this.#carrier = carrier;
    this.#state = options.ours ? "waiting" : "opening";
  }

  /** Its number in the session; 0 while it waits to be opened. */
  get id(): number {
    return this.#id;
  }

  /** What waits for its reader, in bytes, with what each chunk costs. */
  get waitingBytes(): number {
    return this.#inbox.cost;
  }

  /** Whether its open was sent or received, and neither answered nor made void. */
  get unanswered(): boolean {
    return this.#state === "opening";
  }

  /** Whether our user has finished writing, and the peer was told. */
  get finished(): boolean {
    return this.#sent === "finish";
  }

  /** Whether it was reset, by either side. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  read(): Promise<Uint8Array | null> {
    this.#consumed();
    return this.#inbox.next();
  }

  write(bytes: Uint8Array): Promise<void> {
    const room = Math.min(this.#room, this.#carrier.maxFrameBytes);
    if (bytes.length > room || bytes.length === 0) return this.#writeInParts(bytes);
    const ended = this.#ending();
    if (ended !== undefined) return Promise.reject(ended);
    if (!this.#carrier.sendSmallData(this.#id, bytes, this.#share)) return this.#send(bytes);
    this.#sendWindow.take(bytes.length);
    return TAKEN;
  }

  finish(): Promise<void> {
    if (this.#state === "waiting") return this.#finishOnceOpened();
    this.#finishNow();
    return TAKEN;
  }

  onLost(listener: (reason: string) => void): void {
    this.#onLost = listener;
    const reason = this.#failure ?? this.#linkFailure?.message;
    if (reason !== undefined) listener(reason);
  }

  onDialled(listener: (dialled: Dialled) => void): void {
    this.#onDialled = listener;
  }

  accept(dialled?: Dialled): void {
    if (this.ours || this.#state !== "opening") return;
    if (this.#failure !== undefined || this.#linkFailure) return;
    this.#state = "open";
    this.#carrier.send({ kind: "opened", stream: this.#id, ...(dialled && { dialled }) });
    this.#carrier.answered(this);
  }

  reset(code: ResetCode, reason: string): void {
    if (this.#failure !== undefined) return;
    this.#fail(reason);
    if (this.#ended || this.#linkFailure) return;
    if (this.#state === "waiting") {
      // The peer has never heard of it.
      this.#state = "open";
      this.#carrier.forget(this);
      return;
    }
    this.#sent = "reset";
    this.#carrier.send({ kind: "reset", stream: this.#id, code, reason });
    this.#voidOpen();
    this.#settle();
  }

  close(): void {
    this.reset("closing", "the connection was closed");
  }

  /** Ours: its open is about to be sent under this number. */
  opening(id: number): void {
    this.#id = id;
    this.#state = "opening";
    this.#wakeWaitingWriter();
  }

  /** The peer's: its number. */
  adopt(id: number): this {
    this.#id = id;
    return this;
  }

  /** The peer has connected the destination. @throws {ConnectorError} when that makes no sense. */
  receiveOpened(dialled?: Dialled): void {
    if (!this.ours || this.#received !== "nothing") throw this.#breach("opened");
    if (this.#state !== "opening") {
      // We have reset it before the answer came.
      if (this.#sent === "reset") return;
      throw this.#breach("opened twice");
    }
    this.#state = "open";
    this.#carrier.answered(this);
    if (dialled && this.passages > 0) this.#onDialled?.(dialled);
  }

  /** Takes bytes. Returns what they now cost while they wait. @throws {ConnectorError} when they were not allowed. */
  receiveData(bytes: Uint8Array): number {
    if (this.#received !== "nothing") throw this.#breach(`data after ${this.#received}`);
    if (this.#tooEarly) throw this.#breach("data before opened");
    this.#receiveWindow.receive(bytes.length);
    return this.#failure === undefined ? this.#inbox.push(bytes) : 0;
  }

  /** The peer has finished. @throws {ConnectorError} when it had before. */
  receiveFinish(): void {
    if (this.#received !== "nothing") throw this.#breach(`finish after ${this.#received}`);
    if (this.#tooEarly) throw this.#breach("finish before opened");
    this.#received = "finish";
    this.#inbox.finish();
    this.#settle();
  }

  /** The peer has reset it. @throws {ConnectorError} when it had before. */
  receiveReset(reason: string): void {
    if (this.#received === "reset") throw this.#breach("reset twice");
    this.#received = "reset";
    if (this.#sent === "nothing") {
      this.#sent = "reset";
      this.#carrier.send({ kind: "reset", stream: this.#id, code: "closing", reason: "" });
    }
    this.#fail(reason || "reset by peer");
    this.#voidOpen();
    this.#settle();
  }

  /** The peer grants bytes. @throws {ConnectorError} when the offset does not grow. */
  receiveGrant(offset: number): void {
    this.#sendWindow.grant(offset);
    this.#wakeWaitingWriter();
  }

  /** The link is gone. */
  linkLost(error: ConnectorError): void {
    this.#linkFailure = error;
    this.#receiveWindow.release();
    this.#inbox.finish(() => error);
    this.#wakeWaitingWriter();
    this.#onLost?.(error.message);
  }

  /** The egress speaks before it has said that the destination is connected. */
  get #tooEarly(): boolean {
    return this.ours && this.#state === "opening";
  }

  /** Both directions have ended in order or were given up: nothing is to be told to the peer. */
  get #ended(): boolean {
    return this.#sent !== "nothing" && this.#received !== "nothing";
  }

  /** Bytes that may be sent now. */
  get #room(): number {
    return this.#state === "waiting" ? 0 : this.#sendWindow.available;
  }

  /** Why nothing can be written any more. */
  #ending(): Error | undefined {
    if (this.#failure !== undefined) return unavailable(this.#failure);
    if (this.#linkFailure) return this.#linkFailure;
    return this.#sent === "finish" ? new TypeError("write after finish") : undefined;
  }

  async #writeInParts(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length;) {
      const ended = this.#ending();
      if (ended !== undefined) throw ended;
      const count = Math.min(this.#room, bytes.length - offset, this.#carrier.maxFrameBytes);
      if (count === 0) await new Promise<void>((resolve) => this.#wakeWriter = resolve);
      else await this.#send(bytes.subarray(offset, offset + count));
      offset += count;
    }
    const ended = this.#ending();
    if (ended !== undefined) throw ended;
  }

  async #finishOnceOpened(): Promise<void> {
    while (this.#state === "waiting" && this.#failure === undefined && !this.#linkFailure) {
      await new Promise<void>((resolve) => this.#wakeWriter = resolve);
    }
    this.#finishNow();
  }

  #finishNow(): void {
    // Reset while it waited, it has no number under which the peer could be told.
    if (this.#sent !== "nothing" || this.#failure !== undefined || this.#linkFailure) return;
    this.#sent = "finish";
    this.#carrier.send({ kind: "finish", stream: this.#id });
    this.#settle();
  }

  /** Sends what fits into the window and a frame; rejects when it was not sent, or nothing can follow. */
  #send(bytes: Uint8Array): Promise<void> {
    this.#sendWindow.take(bytes.length);
    this.#waitsForTurn = true;
    return new Promise((resolve, reject) => {
      this.#carrier.sendData(this.#id, bytes, {
        share: this.#share,
        wanted: this.#wanted,
        done: () => {
          this.#waitsForTurn = false;
          const ended = this.#ending();
          if (ended === undefined) resolve();
          else reject(ended);
        },
      });
    });
  }

  /** What the last read returned was taken: grants more when it is time. */
  #consumed(): void {
    const count = this.#inbox.takeBack();
    if (count === 0) return;
    this.#carrier.release(this, count + CHUNK_OVERHEAD_BYTES);
    const offset = this.#receiveWindow.consume(count, this.#carrier);
    if (offset === undefined || this.#received !== "nothing" || this.#linkFailure) return;
    this.#carrier.send({ kind: "grant", stream: this.#id, offset });
  }

  #fail(reason: string): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    if (this.#waitsForTurn) this.#carrier.unwanted();
    const dropped = this.#inbox.drop(() => unavailable(reason));
    this.#carrier.release(this, dropped);
    this.#wakeWaitingWriter();
    this.#onLost?.(reason);
  }

  /** An end that comes before `opened` is an answer, too. */
  #voidOpen(): void {
    if (this.#state !== "opening") return;
    this.#state = "open";
    this.#carrier.answered(this);
  }

  #settle(): void {
    if (!this.#ended) return;
    this.#receiveWindow.release();
    this.#carrier.forget(this);
  }

  #wakeWaitingWriter(): void {
    this.#wakeWriter?.();
    this.#wakeWriter = undefined;
  }

  #breach(what: string): ConnectorError {
    return new ConnectorError("internal", `The peer sent ${what} on stream ${this.#id}`);
  }
}

function unavailable(reason: string): ConnectorError {
  return new ConnectorError("unavailable", reason);
}
