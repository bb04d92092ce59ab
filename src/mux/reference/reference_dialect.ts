// A session in the reference dialect: the table of its streams, the budget that bounds what waits in memory, and the
// memory of connections that ended here first, so that late data does not open them again. docs/PROTOCOL.md, "Reference
// dialect".

import { ConnectorError } from "../../model/errors.ts";
import { DEFAULT_LIMITS } from "../../model/limits.ts";
import type { ReferenceFrame } from "../../wire/frame.ts";
import { decodeFrame, encodeFrame } from "../../wire/open_data_codec.ts";
import type { Dialect, DialectOptions } from "../dialect.ts";
import {
  type ReferenceCarrier,
  ReferenceStream,
  type StreamIds,
  type StreamRole,
} from "./reference_stream.ts";
import { Places } from "../service_places.ts";
import type { Stream } from "../stream.ts";
import { DataTurns } from "./data_turns.ts";

/**
 * Bytes of all streams of a session that may wait for slow readers. Beyond it the session reads no more and
 * the peer is held back: the dialect has no credit by which only the slow stream could be.
 */
const INBOUND_BUDGET_BYTES = 8 * 1024 * 1024;

/** The most streams of a session, either way: what bounds the table. As many as in the native dialect. */
const MAX_STREAMS = DEFAULT_LIMITS.streams;

const EMPTY = new Uint8Array(0);

/** A session with a peer that has negotiated nothing. */
export class ReferenceDialect implements Dialect, ReferenceCarrier {
  readonly name = "reference";
  readonly #options: DialectOptions;
  readonly #turns: DataTurns;
  readonly #streams = new Map<string, ReferenceStream>();
  /** Nobody is told here that a destination is connected: only streams are divided between services. */
  readonly #places = new Places({ streams: MAX_STREAMS, opens: MAX_STREAMS });
  #waitingBytes = 0;
  #wakeReceiver: (() => void) | undefined;
  #holding = true;

  constructor(options: DialectOptions) {
    this.#options = options;
    this.#turns = new DataTurns(options.outbox);
  }

  /** How many streams are open, or wait for the peer's `closed`. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** The dialect has no ping that is answered. */
  readonly roundTripMs = undefined;

  get heldBytes(): number {
    return this.#waitingBytes;
  }

  get streamCounts(): Map<string, number> {
    return new Map(this.#places.counts);
  }

  /** Its sessions end with their links. */
  suspend(): void {}

  resume(): void {}

  /** Nothing is said unasked. */
  start(): void {
    // What the link still holds when it ends is taken without holding back: nobody is left to hold.
    this.#options.linkEnded.then(() => {
      this.#holding = false;
      this.#wakeReceiver?.();
    });
  }

  /** The empty first data makes the peer dial at once. */
  open(serviceId: string, _visitor: string): Stream {
    const wireId = this.#options.ids.wireOf(serviceId);
    const connectionId = crypto.randomUUID();
    const stream = this.#create({ serviceId, wireId, connectionId, role: "ingress" });
    if (stream === undefined) {
      const reason = `The link carries ${MAX_STREAMS} streams, and this service has used its share`;
      throw new ConnectorError("resource_exhausted", reason);
    }
    this.#options.outbox.sendControl(
      encodeFrame({ ...address(stream), kind: "data", bytes: EMPTY }),
    );
    return stream;
  }

  receive(message: Uint8Array): Promise<void> | undefined {
    const frame = decodeFrame(message);
    switch (frame.kind) {
      case "data":
      case "closed":
        return this.#take(frame);
      case "batch":
      case "ignored":
        return undefined;
      default:
        this.#options.onControl(frame);
        return undefined;
    }
  }

  /** The dialect has no word for it. */
  drain(): void {}

  /** Nor for this. */
  tellClose(): "ours" {
    return "ours";
  }

  /** Nor for this. */
  tellAbort(): false {
    return false;
  }

  abort(reason: ConnectorError): void {
    for (const stream of this.#streams.values()) stream.linkLost(reason);
    this.#streams.clear();
  }

  sendData(stream: ReferenceStream, bytes: Uint8Array, wanted: () => boolean): Promise<void> {
    return this.#turns.send(() =>
      wanted() ? encodeFrame({ ...address(stream), kind: "data", bytes }) : undefined
    );
  }

  sendClosed(stream: ReferenceStream): void {
    this.#options.outbox.sendControl(encodeFrame({ ...address(stream), kind: "closed" }));
  }

  release(count: number): void {
    this.#waitingBytes -= count;
    if (this.#wakeReceiver !== undefined && this.#waitingBytes <= INBOUND_BUDGET_BYTES) {
      this.#wakeReceiver();
      this.#wakeReceiver = undefined;
    }
  }

  forget(stream: ReferenceStream): void {
    const { serviceId, wireId, connectionId } = stream;
    if (this.#streams.delete(key(wireId, connectionId))) this.#places.leave(serviceId);
  }

  /** Resolves when the session may read on. */
  #take(frame: ReferenceFrame): Promise<void> | undefined {
    const { serviceId: wireId, connectionId } = frame;
    const serviceId = this.#options.ids.ownOf(wireId);
    let stream = this.#streams.get(key(wireId, connectionId));
    if (frame.kind === "closed") {
      // A reference ingress says nothing before its visitor does: one that left without a word is unknown
      // here, and keeps its socket until it is told `closed`. Only the egress tells: no answer to an answer.
      if (stream !== undefined) stream.receiveClosed();
      else if (serviceId !== undefined && this.#options.connects(serviceId)) {
        this.#refuse(frame);
      }
      return undefined;
    }
    if (stream === undefined) {
      // For a service whose destination we do not dial, only bytes that come too late, or are nobody's.
      if (serviceId !== undefined && this.#options.connects(serviceId)) {
        stream = this.#create({ serviceId, wireId, connectionId, role: "egress" });
      }
      if (stream === undefined) {
        this.#refuse(frame);
        return undefined;
      }
      this.#options.onStream(stream);
    }
    this.#waitingBytes += stream.receiveData(frame.bytes);
    if (!this.#holding || this.#waitingBytes <= INBOUND_BUDGET_BYTES) return undefined;
    return new Promise((resolve) => this.#wakeReceiver = resolve);
  }

  /** Undefined when the service may have no more. */
  #create(ids: StreamIds & { role: StreamRole }): ReferenceStream | undefined {
    if (this.#places.enter(ids.serviceId) === undefined) return undefined;
    const stream = new ReferenceStream(ids, this);
    this.#streams.set(key(ids.wireId, ids.connectionId), stream);
    return stream;
  }

  /** Tells the peer that there is no connection here for what it has sent. */
  #refuse({ serviceId, connectionId }: ReferenceFrame): void {
    this.#options.outbox.sendControl(encodeFrame({ kind: "closed", serviceId, connectionId }));
  }
}

function key(wireId: string, connectionId: string): string {
  return `${wireId}/${connectionId}`;
}

function address(stream: ReferenceStream): { serviceId: string; connectionId: string } {
  return { serviceId: stream.wireId, connectionId: stream.connectionId };
}
