// Batches of native frames as messages, and back. Data frames are written and read by hand, in one pass and
// without a copy on reading; the rest goes through the generated code, which the hand-written agrees with
// byte for byte.

import {
  Frame as FrameMessage,
  GoAway,
  GoAwayCode as GoAwayCodeMessage,
  Grant,
  Open,
  Ping,
  Pong,
  Reset,
  ResetCode as ResetCodeMessage,
} from "../../proto/gen/connector.ts";
import type { ResetCode } from "../byte_channel.ts";
import { ConnectorError } from "../errors.ts";
import {
  breach,
  type DataFrame,
  type GoAwayCode,
  MAX_BATCH_BYTES,
  MAX_STREAM_ID,
  MAX_TEXT_BYTES,
  type NativeFrame,
} from "./native_frame.ts";
import { Reader, varintSize, writeVarint } from "./varint.ts";

/** The tag of `OpenData.batch` (field 20, length-delimited): the first two bytes of a batch message. */
const BATCH_TAG = [0xa2, 0x01] as const;
/** The tag of `Batch.frames` (field 1, length-delimited). */
const FRAMES_TAG = 0x0a;
/** The tag of `Frame.stream` (field 1, varint). */
const STREAM_TAG = 0x08;
/** The tag of `Frame.data` (field 4, length-delimited). */
const DATA_TAG = 0x22;

/** A frame ready to be put into a batch: data keeps its bytes until then, all else is encoded. */
export type QueuedFrame = DataFrame | Uint8Array;

/** Encodes a frame that is not data, for a batch: by hand what comes with every connection, and is its stream only. */
export function encodeSmallFrame(frame: Exclude<NativeFrame, DataFrame>): Uint8Array {
  if (frame.kind === "opened" || frame.kind === "finish") {
    const bytes = new Uint8Array(3 + varintSize(frame.stream));
    bytes[0] = STREAM_TAG;
    bytes[writeVarint(bytes, 1, frame.stream)] = frame.kind === "opened" ? OPENED_TAG : FINISH_TAG;
    return bytes;
  }
  return FrameMessage.encode(toMessage(frame)).finish();
}

/** How many bytes a frame takes in a batch. */
export function sizeInBatch(frame: QueuedFrame): number {
  const size = frame instanceof Uint8Array ? frame.length : dataFrameSize(frame);
  return 1 + varintSize(size) + size;
}

/** Makes the message of a batch. Bytes are copied: their buffers may be reused. */
export function encodeBatch(frames: readonly QueuedFrame[]): Uint8Array {
  let size = 0;
  for (const frame of frames) size += sizeInBatch(frame);
  const message = new Uint8Array(BATCH_TAG.length + varintSize(size) + size);
  message.set(BATCH_TAG);
  let offset = writeVarint(message, BATCH_TAG.length, size);
  for (const frame of frames) {
    message[offset++] = FRAMES_TAG;
    if (frame instanceof Uint8Array) {
      offset = writeVarint(message, offset, frame.length);
      message.set(frame, offset);
      offset += frame.length;
    } else {
      offset = writeVarint(message, offset, dataFrameSize(frame));
      message[offset++] = STREAM_TAG;
      offset = writeVarint(message, offset, frame.stream);
      message[offset++] = DATA_TAG;
      offset = writeVarint(message, offset, frame.bytes.length);
      message.set(frame.bytes, offset);
      offset += frame.bytes.length;
    }
  }
  return message;
}

/** Whether a message is a batch, not control. */
export function isBatch(message: Uint8Array): boolean {
  return message[0] === BATCH_TAG[0] && message[1] === BATCH_TAG[1];
}

/**
 * Reads a batch and gives each frame to `onFrame`, in order. Data is a view into the message, not a copy.
 *
 * @throws {ConnectorError} `internal` when it is malformed, or anything that the protocol does not allow.
 */
export function decodeBatch(message: Uint8Array, onFrame: (frame: NativeFrame) => void): void {
  if (message.length > MAX_BATCH_BYTES) throw breach(`a batch of ${message.length} bytes`);
  const reader = new Reader(message, BATCH_TAG.length, message.length);
  const end = reader.lengthDelimited();
  if (end !== message.length) throw breach("a batch with something else beside it");
  if (reader.offset === end) throw breach("an empty batch");
  while (reader.offset < end) {
    if (reader.varint() !== FRAMES_TAG) throw breach("a batch with an unknown field");
    const frameEnd = reader.lengthDelimited();
    onFrame(decodeFrame(new Reader(message, reader.offset, frameEnd)));
    reader.offset = frameEnd;
  }
}

function decodeFrame(reader: Reader): NativeFrame {
  let stream: number | undefined;
  let bodyTag: number | undefined;
  let body: Uint8Array = EMPTY;
  while (reader.offset < reader.end) {
    const tag = reader.varint();
    if (tag === STREAM_TAG) {
      if (stream !== undefined) throw breach("a frame with two streams");
      stream = reader.varint();
    } else if (tag >= FIRST_BODY_TAG && tag <= LAST_BODY_TAG && (tag & 7) === 2) {
      if (bodyTag !== undefined) throw breach("a frame with two bodies");
      bodyTag = tag;
      const end = reader.lengthDelimited();
      body = reader.bytes.subarray(reader.offset, end);
      reader.offset = end;
    } else {
      throw breach("a frame of an unknown kind");
    }
  }
  if (bodyTag === undefined) throw breach("a frame without a body");
  const id = stream ?? 0;
  if (id > MAX_STREAM_ID) throw breach(`the stream id ${id}`);
  if (id === 0 ? bodyTag < PING_TAG : bodyTag >= PING_TAG) {
    throw breach("a frame on the wrong kind of stream");
  }
  if (bodyTag === DATA_TAG) {
    if (body.length === 0) throw breach("an empty data frame");
    return { kind: "data", stream: id, bytes: body };
  }
  // Every other body is a few numbers and two texts at most.
  if (body.length > MAX_SMALL_BODY_BYTES) throw breach(`a frame body of ${body.length} bytes`);
  return decodeSmallBody(bodyTag, id, body);
}

const EMPTY = new Uint8Array(0);
/** Tags of `Frame.body`: fields 2 to 10, length-delimited. */
const FIRST_BODY_TAG = 0x12;
const OPENED_TAG = 0x1a;
const FINISH_TAG = 0x2a;
const RESET_TAG = 0x32;
const GRANT_TAG = 0x3a;
const PING_TAG = 0x42;
const PONG_TAG = 0x4a;
const LAST_BODY_TAG = 0x52;
const MAX_SMALL_BODY_BYTES = 2 * MAX_TEXT_BYTES + 64;

function decodeSmallBody(tag: number, stream: number, body: Uint8Array): NativeFrame {
  try {
    switch (tag) {
      case FIRST_BODY_TAG: {
        const { serviceId, visitor } = Open.decode(body);
        return { kind: "open", stream, serviceId: text(serviceId), visitor: text(visitor) };
      }
      case OPENED_TAG:
        return { kind: "opened", stream };
      case FINISH_TAG:
        return { kind: "finish", stream };
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
      const { stream, serviceId, visitor } = frame;
      return { stream, body: { $case: "open", value: { serviceId, visitor } } };
    }
    case "opened":
      return { stream: frame.stream, body: { $case: "opened", value: {} } };
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

function dataFrameSize(frame: DataFrame): number {
  const { length } = frame.bytes;
  return 2 + varintSize(frame.stream) + varintSize(length) + length;
}
