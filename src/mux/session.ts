// The multiplexer over one link: control frames to its owner, tunnelled connections as streams. The same
// engine on both ends; who dialled matters to its owner only. It owns the link and every stream over it.

import { ConnectorError } from "../errors.ts";
import { type ControlFrame, type Frame, MAX_MESSAGE_BYTES } from "../wire/frame.ts";
import { decodeFrame, encodeFrame } from "../wire/reference_codec.ts";
import type { Link, LinkEnd, PeerInfo } from "./link.ts";
import { Outbox } from "./outbox.ts";
import { type OnStream, ReferenceStreams } from "./reference_streams.ts";
import type { Stream } from "./stream.ts";

/** How long a peer may take to end a link that we have ended, in milliseconds. */
const CLOSE_GRACE_MS = 1000;

/** What the owner of a session is told. Neither call may block or throw. */
export interface SessionHandler {
  /** The peer sent a control frame. */
  onControl: (frame: ControlFrame) => void;
  /** The peer opened a stream: its user must read it, or reset it. */
  onStream: OnStream;
}

/** A session with a peer, for as long as its link lives. */
export class Session {
  /** Resolves when the session has ended and every stream was told. Never rejects. */
  readonly closed: Promise<LinkEnd>;
  readonly #link: Link;
  readonly #outbox: Outbox;
  readonly #streams: ReferenceStreams;
  readonly #handler: SessionHandler;

  constructor(link: Link, handler: SessionHandler) {
    this.#link = link;
    this.#handler = handler;
    this.#outbox = new Outbox(link);
    this.#streams = new ReferenceStreams(this.#outbox, handler.onStream);
    // What the link still holds when it ends is dispatched without holding back: nobody is left to hold.
    link.closed.then(() => this.#streams.stopHolding());
    this.closed = this.#run();
  }

  /** Who is at the other end. */
  get peer(): PeerInfo {
    return this.#link.peer;
  }

  /** How many streams are open. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** Sends a control frame, ahead of data that waits. */
  send(frame: ControlFrame): void {
    this.#outbox.sendControl(encodeFrame(frame));
  }

  /**
   * Opens a stream to the destination of a service at the peer.
   *
   * @throws {ConnectorError} `resource_exhausted`.
   */
  open(serviceId: string): Stream {
    return this.#streams.open(serviceId);
  }

  /** Ends the link in order; a peer that does not follow is cut off. Streams that are open are reset. */
  close(): void {
    this.#link.close();
    const timer = setTimeout(() => {
      this.#link.abort(new ConnectorError("deadline_exceeded", "the peer did not end the link"));
    }, CLOSE_GRACE_MS);
    this.#link.closed.then(() => clearTimeout(timer));
  }

  /** Ends the link at once. */
  abort(reason: ConnectorError): void {
    this.#link.abort(reason);
  }

  async #run(): Promise<LinkEnd> {
    try {
      await this.#receiveAll();
    } catch (error) {
      // Only decoding throws: the peer broke the protocol.
      this.#link.abort(ConnectorError.from(error, "The peer broke the protocol"));
    }
    const end = await this.#link.closed;
    this.#outbox.end();
    this.#streams.end(end ?? new ConnectorError("unavailable", "the link was closed"));
    return end;
  }

  async #receiveAll(): Promise<void> {
    for (;;) {
      const message = await this.#link.receive();
      if (message === null) return;
      if (message.length > MAX_MESSAGE_BYTES) {
        throw new ConnectorError("resource_exhausted", `a message of ${message.length} bytes`);
      }
      // A promise here holds the peer back: the session reads no more until it resolves.
      const pause = this.#dispatch(decodeFrame(message));
      if (pause) await pause;
    }
  }

  #dispatch(frame: Frame): Promise<void> | undefined {
    switch (frame.kind) {
      case "data":
      case "closed":
        return this.#streams.receive(frame);
      case "ignored":
        return undefined;
      default:
        this.#handler.onControl(frame);
        return undefined;
    }
  }
}
