// What a stream of the native dialect asks of its session: the seam between native_stream.ts and native_streams.ts.

import type { NativeFrame } from "../../wire/native_frame.ts";
import type { DataTurn } from "./batcher.ts";
import type { Share } from "./turn_queue.ts";
import type { ReceiveWindow, SendWindow } from "./window.ts";

/** What a stream asks of the session that carries it; `Stream` is its own class. */
export interface NativeCarrier<Stream> {
  /** The most bytes of one data frame: that the peer takes, and that leave other streams their turn soon. It changes. */
  readonly maxFrameBytes: number;
  /** The round trip to the peer, in milliseconds. */
  readonly roundTrip: number;
  /** The time now, in milliseconds since some moment. */
  readonly now: number;
  /** Queues a frame that is not data. */
  send(frame: Exclude<NativeFrame, { kind: "data" }>): void;
  /** Takes a small piece of data at once, if there is room; returns whether it did. `share`: what the stream has had. */
  sendSmallData(stream: number, bytes: Uint8Array, share: Share): boolean;
  /** Sends bytes when the stream's turn comes; nothing is sent once `wanted` says no. `done`: the turn is over. */
  sendData(stream: number, bytes: Uint8Array, turn: DataTurn): void;
  /** Data that waits for its turn is not wanted any more. */
  unwanted(): void;
  /** Received bytes of the stream were consumed or dropped. */
  release(stream: Stream, count: number): void;
  /** Our open was answered, or needs no answer any more. */
  answered(stream: Stream): void;
  /** Both directions have ended on both sides. */
  forget(stream: Stream): void;
}

/** Who opened a stream, and whether its open was answered. */
export type OpenState =
  | "waiting" // ours: not sent yet, because the peer has too many to answer
  | "opening" // sent or received, not answered
  | "open"; // answered

/** What a stream is made of. */
export interface NativeStreamOptions {
  serviceId: string;
  /** host:port of the visitor's socket. */
  visitor: string;
  /** How many services the connection has passed, if the opener wants to find it again; else 0. */
  passages: number;
  /** Whether this side opened it. */
  ours: boolean;
  sendWindow: SendWindow;
  receiveWindow: ReceiveWindow;
}
