// A session in the native dialect: batches of frames, whether the peer is alive, and how the session ends. Its streams are
// in native_streams.ts, and what leaves when in batcher.ts. docs/PROTOCOL.md, "Native dialect".

import { ConnectorError } from "../../model/errors.ts";
import { decodeBatch, isBatch } from "../../wire/native_codec.ts";
import type { NativeFrame } from "../../wire/native_frame.ts";
import { decodeFrame } from "../../wire/open_data_codec.ts";
import type { Dialect, DialectOptions } from "../dialect.ts";
import { PING_CLOCK, type Terms } from "../negotiation.ts";
import type { OpenOptions, Stream } from "../stream.ts";
import { Batcher } from "./batcher.ts";
import { Liveness } from "./liveness.ts";
import { NativeStreams } from "./native_streams.ts";

/** A session with a peer that has negotiated. */
export class NativeDialect implements Dialect {
  readonly name = "native";
  readonly #options: DialectOptions;
  readonly #batcher: Batcher;
  readonly #liveness: Liveness;
  readonly #streams: NativeStreams;
  /** Kept, so that no batch makes one anew. */
  readonly #onFrame = (frame: NativeFrame) => this.#take(frame);

  constructor({ limits: peerLimits, features }: Terms, options: DialectOptions) {
    const { role, limits, outbox, kept, onStream, onExhausted, onFailure, onSilence } = options;
    this.#options = options;
    this.#batcher = new Batcher(outbox, {
      onOverflow: onFailure,
      hearsClock: features.includes(PING_CLOCK),
      kept,
    });
    this.#liveness = new Liveness({
      ping: () => this.#batcher.ping(),
      arrivals: options.arrivals,
      onSilence: () =>
        onSilence(new ConnectorError("deadline_exceeded", "the peer no longer answers")),
    });
    this.#streams = new NativeStreams({
      role,
      limits,
      peerLimits,
      batcher: this.#batcher,
      onStream,
      onExhausted,
    });
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  get roundTripMs(): number | undefined {
    return this.#batcher.measuredRoundTrip;
  }

  get heldBytes(): number {
    return this.#streams.heldBytes;
  }

  get streamCounts(): Map<string, number> {
    return this.#streams.counts;
  }

  start(): void {
    this.#liveness.start();
  }

  open(serviceId: string, visitor: string, options: OpenOptions): Stream {
    return this.#streams.open(serviceId, visitor, options);
  }

  receive(message: Uint8Array): undefined {
    if (!isBatch(message)) return this.#receiveControl(message);
    decodeBatch(message, this.#onFrame);
    this.#streams.keepToBudget();
  }

  drain(returns: boolean): void {
    this.#batcher.send({
      kind: "goAway",
      code: returns ? "drain" : "leave",
      reason: "the connector is shutting down",
    });
  }

  tellClose(): "ours" | "theirs" {
    this.#batcher.send({ kind: "goAway", code: "shutdown", reason: "" });
    this.#batcher.flush();
    // The go-away is read after everything before it: once the dialler ends the call, all has been delivered. An
    // acceptor that ended it first would not learn that.
    return this.#options.role === "dialler" ? "ours" : "theirs";
  }

  tellAbort(reason: ConnectorError): true {
    this.#batcher.sendLast({ kind: "goAway", code: "breach", reason: reason.message });
    return true;
  }

  suspend(): void {
    this.#liveness.suspend();
    this.#streams.suspend();
  }

  resume(): void {
    this.#batcher.resume();
    this.#streams.resume();
    this.#liveness.start();
  }

  abort(reason: ConnectorError): void {
    this.#liveness[Symbol.dispose]();
    this.#streams.abort(reason);
  }

  #receiveControl(message: Uint8Array): undefined {
    const frame = decodeFrame(message);
    switch (frame.kind) {
      case "data":
      case "closed":
        throw new ConnectorError("internal", `The peer sent ${frame.kind} of the other dialect`);
      case "batch":
        throw new ConnectorError("internal", "The peer sent a batch with something else beside it");
      case "ignored":
        return;
      default:
        this.#options.onControl(frame);
    }
  }

  #take(frame: NativeFrame): void {
    switch (frame.kind) {
      case "ping":
        return this.#batcher.answerPing(frame.nonce);
      case "pong":
        this.#batcher.pong(frame.nonce);
        this.#liveness.answered();
        return this.#options.onPong();
      case "goAway":
        return this.#onGoAway(frame);
      default:
        return this.#streams.receive(frame);
    }
  }

  #onGoAway({ code, reason }: NativeFrame & { kind: "goAway" }): void {
    const { onDrain, onClose } = this.#options;
    if (code === "drain" || code === "leave") return onDrain(code === "drain");
    onClose(
      code === "breach"
        ? new ConnectorError("internal", `The peer ended the link: ${reason}`)
        : undefined,
    );
  }
}
