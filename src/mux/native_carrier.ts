// What a stream of the native dialect asks of its session: the seam between native_stream.ts and native_streams.ts.

import type { NativeFrame } from "../wire/native_frame.ts";
import type { NativeStream } from "./native_stream.ts";

/** What a stream asks of the session that carries it. */
export interface NativeCarrier {
  /** The most bytes of one data frame that the peer takes. */
  readonly maxFrameBytes: number;
  /** The round trip to the peer, in milliseconds. */
  readonly roundTrip: number;
  /** Queues a frame that is not data. */
  send(frame: Exclude<NativeFrame, { kind: "data" }>): void;
  /** Sends bytes when the stream's turn comes; nothing is sent once `wanted` says no. */
  sendData(stream: number, bytes: Uint8Array, wanted: () => boolean): Promise<void>;
  /** Received bytes of the stream were consumed or dropped. */
  release(stream: NativeStream, count: number): void;
  /** Our open was answered, or needs no answer any more. */
  answered(stream: NativeStream): void;
  /** Both directions have ended on both sides. */
  forget(stream: NativeStream): void;
}
