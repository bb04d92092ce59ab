// Frames of the native dialect as plain values. docs/PROTOCOL.md, "Native dialect", says what each means.

import type { ResetCode } from "../byte_channel.ts";
import { ConnectorError } from "../model/errors.ts";

/** Why a session ends, and when. */
export type GoAwayCode =
  | "shutdown" // now, in order
  | "breach" // now: the receiver broke the protocol
  | "drain" // soon: no new streams, those that are open go on; the sender may return with its services
  | "leave"; // soon, and nothing that the sender exposed will return

/** Bytes of a stream, at least one: the frame that has to be fast. */
export interface DataFrame {
  kind: "data";
  stream: number;
  bytes: Uint8Array;
}

/** How a destination was dialled: from which host:port, and how many services the connection has passed. */
export interface Dialled {
  local: string;
  passages: number;
}

/** One event of one stream, or of the session. */
export type NativeFrame =
  /** `passages`: how many services the connection has passed, if its opener wants to find it again. */
  | { kind: "open"; stream: number; serviceId: string; visitor: string; passages?: number }
  /** `dialled`: what the opener wanted to know. */
  | { kind: "opened"; stream: number; dialled?: Dialled }
  | DataFrame
  | { kind: "finish"; stream: number }
  | { kind: "reset"; stream: number; code: ResetCode; reason: string }
  /** The receiver of the grant may send the bytes before `offset`. */
  | { kind: "grant"; stream: number; offset: number }
  | { kind: "ping"; nonce: number }
  | { kind: "pong"; nonce: number }
  | { kind: "goAway"; code: GoAwayCode; reason: string };

/** The largest batch that is taken, in bytes: room for 128 KiB of data and many small frames. */
export const MAX_BATCH_BYTES = 256 * 1024;
/** The longest text of a frame, in bytes of UTF-8. */
export const MAX_TEXT_BYTES = 1024;
/** The highest stream id: what a signed 32-bit number holds, so that ids stay cheap in every language. */
export const MAX_STREAM_ID = 2 ** 31 - 1;

/** What ends a session whose peer has sent something that is not allowed. */
export function breach(what: string): ConnectorError {
  return new ConnectorError("internal", `The peer sent ${what}`);
}
