// Frames that are not data, and their bodies, as the generated code writes and reads them. Batches are made and taken
// apart in native_codec.ts.

import {
  Frame as FrameMessage,
  GoAway,
  GoAwayCode as GoAwayCodeMessage,
  Grant,
  Open,
  Opened,
  Ping,
  Pong,
  Reset,
  ResetCode as ResetCodeMessage,
} from "../../proto/gen/connector.ts";
import type { ResetCode } from "../byte_channel.ts";
import { ConnectorError } from "../model/errors.ts";
import {
  breach,
  type DataFrame,
  type GoAwayCode,
  MAX_TEXT_BYTES,
  type NativeFrame,
} from "./native_frame.ts";

/** Tags of `Frame.body`: fields 2 to 10, length-delimited; field 4 is data. */
export const OPEN_TAG = 0x12;
export const OPENED_TAG = 0x1a;
export const FINISH_TAG = 0x2a;
const RESET_TAG = 0x32;
const GRANT_TAG = 0x3a;
export const PING_TAG = 0x42;
const PONG_TAG = 0x4a;
export const GO_AWAY_TAG = 0x52;

/** Encodes a frame that is not data, for a batch. */
export function encodeSmallFrame(frame: Exclude<NativeFrame, DataFrame>): Uint8Array {
  return FrameMessage.encode(toMessage(frame)).finish();
}

/**
 * Reads the body of a frame that is not data.
 *
 * @throws {ConnectorError} `internal` when it is malformed, or has a text that is too long.
 */
export function decodeSmallBody(tag: number, stream: number, body: Uint8Array): NativeFrame {
  try {
    switch (tag) {
      case OPEN_TAG: {
        const { serviceId, visitor, passages } = Open.decode(body);
        const frame = { stream, serviceId: text(serviceId), visitor: text(visitor) };
        return { kind: "open", ...frame, ...(passages > 0 && { passages }) };
      }
      case OPENED_TAG: {
        const { local, passages } = Opened.decode(body);
        const dialled = { local: text(local), passages };
        return { kind: "opened", stream, ...(local !== "" && { dialled }) };
      }
      case RESET_TAG: {
        const { code, reason } = Reset.decode(body);
        return {
          kind: "reset",
          stream,
          code: RESET_CODES[code] ?? "closing",
          reason: text(reason),
        };
      }
      case GRANT_TAG:
        return { kind: "grant", stream, offset: Grant.decode(body).offset };
      case PING_TAG:
        return { kind: "ping", nonce: Ping.decode(body).nonce };
      case PONG_TAG:
        return { kind: "pong", nonce: Pong.decode(body).nonce };
      default: {
        const { code, reason } = GoAway.decode(body);
        return {
          kind: "goAway",
          code: GO_AWAY_CODES[code] ?? "shutdown",
          reason: text(reason),
        };
      }
    }
  } catch (error) {
    throw ConnectorError.from(error, "A frame body cannot be read");
  }
}

/** In the order of the protocol's numbers; an unknown one counts as `closing`. */
const RESET_CODES: readonly ResetCode[] = [
  "connection_reset",
  "refused",
  "no_service",
  "limit",
  "closing",
  "idle",
];

const RESET_NUMBERS: Record<ResetCode, ResetCodeMessage> = {
  connection_reset: ResetCodeMessage.CONNECTION_RESET,
  refused: ResetCodeMessage.REFUSED,
  no_service: ResetCodeMessage.NO_SERVICE,
  limit: ResetCodeMessage.LIMIT,
  closing: ResetCodeMessage.CLOSING,
  idle: ResetCodeMessage.IDLE,
};

/** In the order of the protocol's numbers; an unknown one counts as `shutdown`. */
const GO_AWAY_CODES: readonly GoAwayCode[] = ["shutdown", "breach", "drain", "leave"];

const GO_AWAY_NUMBERS: Record<GoAwayCode, GoAwayCodeMessage> = {
  shutdown: GoAwayCodeMessage.SHUTDOWN,
  breach: GoAwayCodeMessage.BREACH,
  drain: GoAwayCodeMessage.DRAIN,
  leave: GoAwayCodeMessage.LEAVE,
};

function toMessage(frame: Exclude<NativeFrame, DataFrame>): FrameMessage {
  switch (frame.kind) {
    case "open": {
      const { stream, serviceId, visitor, passages = 0 } = frame;
      return { stream, body: { $case: "open", value: { serviceId, visitor, passages } } };
    }
    case "opened": {
      const value = frame.dialled ?? { local: "", passages: 0 };
      return { stream: frame.stream, body: { $case: "opened", value } };
    }
    case "finish":
      return { stream: frame.stream, body: { $case: "finish", value: {} } };
    case "reset": {
      const value = { code: RESET_NUMBERS[frame.code], reason: clip(frame.reason) };
      return { stream: frame.stream, body: { $case: "reset", value } };
    }
    case "grant":
      return {
        stream: frame.stream,
        body: { $case: "grant", value: { offset: frame.offset } },
      };
    case "ping":
      return { stream: 0, body: { $case: "ping", value: { nonce: frame.nonce } } };
    case "pong":
      return { stream: 0, body: { $case: "pong", value: { nonce: frame.nonce } } };
    case "goAway": {
      const value = { code: GO_AWAY_NUMBERS[frame.code], reason: clip(frame.reason) };
      return { stream: 0, body: { $case: "goAway", value } };
    }
  }
}

/** Reasons are for people: cut so that, at up to four bytes a character, they keep to the limit. */
function clip(reason: string): string {
  return reason.slice(0, MAX_TEXT_BYTES / 4);
}

function text(value: string): string {
  // At most three bytes for every UTF-16 unit: short ones need no count.
  if (value.length <= MAX_TEXT_BYTES / 3) return value;
  const { length } = UTF8.encode(value);
  if (length > MAX_TEXT_BYTES) throw breach(`a text of ${length} bytes`);
  return value;
}

const UTF8 = new TextEncoder();
