// The streams of one session in the reference dialect: the table, the budget that bounds what waits in
// memory, and the memory of connections that ended here first, so that late data does not open them again.

import { ConnectorError } from "../errors.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import type { ReferenceFrame } from "../wire/frame.ts";
import { encodeFrame } from "../wire/reference_codec.ts";
import type { Outbox } from "./outbox.ts";
import {
  type ReferenceCarrier,
  ReferenceStream,
  type StreamIds,
  type StreamRole,
} from "./reference_stream.ts";
import { Places } from "./service_places.ts";
import type { OnStream, Stream } from "./stream.ts";
import type { WireIds } from "./wire_ids.ts";

/**
 * Bytes of all streams of a session that may wait for slow readers. Beyond it the session reads no more and
 * the peer is held back: the dialect has no credit by which only the slow stream could be.
 */
const INBOUND_BUDGET_BYTES = 8 * 1024 * 1024;

/** The most streams of a session, either way: what bounds the table. As many as in the native dialect. */
const MAX_STREAMS = DEFAULT_LIMITS.streams;

const EMPTY = new Uint8Array(0);

/** The data half of a session with a peer that negotiated nothing. */
export class ReferenceStreams implements ReferenceCarrier {
  readonly #outbox: Outbox;
  readonly #ids: WireIds;
  readonly #onStream: OnStream;
  readonly #connects: (serviceId: string) => boolean;
  readonly #streams = new Map<string, ReferenceStream>();
  /** Nobody is told here that a destination is connected: only streams are divided between services. */
  readonly #places = new Places({ streams: MAX_STREAMS, opens: MAX_STREAMS });
  #waitingBytes = 0;
  #wakeReceiver: (() => void) | undefined;
  #holding = true;

  constructor(
    outbox: Outbox,
    { ids, onStream, connects }: {
      ids: WireIds;
      onStream: OnStream;
      connects: (serviceId: string) => boolean;
    },
  ) {
    this.#outbox = outbox;
    this.#ids = ids;
    this.#onStream = onStream;
    this.#connects = connects;
  }

  /** How many streams are open, or wait for the peer's `closed`. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * Opens a stream to the peer's destination. The empty first data makes the peer dial at once.
   *
   * @throws {ConnectorError} `resource_exhausted` when the service has its part of what a session carries.
   */
  open(serviceId: string, _visitor: string): Stream {
    const wireId = this.#ids.wireOf(serviceId);
    const connectionId = crypto.randomUUID();
    const stream = this.#create({ serviceId, wireId, connectionId, role: "ingress" });
    if (stream === undefined) {
      const reason = `The link carries ${MAX_STREAMS} streams, and this service has used its share`;
      throw new ConnectorError("resource_exhausted", reason);
    }
    this.#outbox.sendControl(encodeFrame({ ...address(stream), kind: "data", bytes: EMPTY }));
    return stream;
  }

  /** Takes a frame of the peer. Resolves when the session may read on. */
  receive(frame: ReferenceFrame): Promise<void> | undefined {
    const { serviceId: wireId, connectionId } = frame;
    const serviceId = this.#ids.ownOf(wireId);
    let stream = this.#streams.get(key(wireId, connectionId));
    if (frame.kind === "closed") {
      // A reference ingress says nothing before its visitor does: one that left without a word is unknown
      // here, and keeps its socket until it is told `closed`. Only the egress tells: no answer to an answer.
      if (stream !== undefined) stream.receiveClosed();
      else if (serviceId !== undefined && this.#connects(serviceId)) {
        this.#refuse(frame);
      }
      return undefined;
    }
    if (stream === undefined) {
      // For a service whose destination we do not dial, only bytes that come too late, or are nobody's.
      if (serviceId !== undefined && this.#connects(serviceId)) {
        stream = this.#create({ serviceId, wireId, connectionId, role: "egress" });
      }
      if (stream === undefined) {
        this.#refuse(frame);
        return undefined;
      }
      this.#onStream(stream);
    }
    this.#waitingBytes += stream.receiveData(frame.bytes);
    if (!this.#holding || this.#waitingBytes <= INBOUND_BUDGET_BYTES) return undefined;
    return new Promise((resolve) => this.#wakeReceiver = resolve);
  }

  /** Takes what is still to come without regard to the budget. */
  stopHolding(): void {
    this.#holding = false;
    this.#wakeReceiver?.();
  }

  /** Ends every stream: the link is gone. */
  end(reason: ConnectorError): void {
    for (const stream of this.#streams.values()) stream.linkLost(reason);
    this.#streams.clear();
  }

  sendData(stream: ReferenceStream, bytes: Uint8Array, wanted: () => boolean): Promise<void> {
    return this.#outbox.sendData(() =>
      wanted() ? encodeFrame({ ...address(stream), kind: "data", bytes }) : null
    );
  }

  sendClosed(stream: ReferenceStream): void {
    this.#outbox.sendControl(encodeFrame({ ...address(stream), kind: "closed" }));
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

  /** Undefined when the service may have no more. */
  #create(ids: StreamIds & { role: StreamRole }): ReferenceStream | undefined {
    if (this.#places.enter(ids.serviceId) === undefined) return undefined;
    const stream = new ReferenceStream(ids, this);
    this.#streams.set(key(ids.wireId, ids.connectionId), stream);
    return stream;
  }

  /** Tells the peer that there is no connection here for what it has sent. */
  #refuse({ serviceId, connectionId }: ReferenceFrame): void {
    this.#outbox.sendControl(encodeFrame({ kind: "closed", serviceId, connectionId }));
  }
}

function key(wireId: string, connectionId: string): string {
  return `${wireId}/${connectionId}`;
}

function address(stream: ReferenceStream): { serviceId: string; connectionId: string } {
  return { serviceId: stream.wireId, connectionId: stream.connectionId };
}
