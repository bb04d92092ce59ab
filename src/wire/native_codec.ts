// Batches of native frames as messages, and back. Data frames are written and read by hand, in one pass and
// without a copy on reading; the rest goes through the generated code, which the hand-written agrees with
// byte for byte.

import {
  decodeSmallBody,
  encodeSmallFrame,
  FINISH_TAG,
  GO_AWAY_TAG,
  OPEN_TAG,
  OPENED_TAG,
  PING_TAG,
} from "./native_bodies.ts";
import {
  breach,
  type DataFrame,
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

/** The most bytes that `writeSmallFrame` writes. */
export const MAX_SMALL_FRAME_BYTES = 2 * MAX_TEXT_BYTES + 128;

/**
 * Writes a frame that is not data as it stands in a batch, and returns the offset behind it: by hand what comes with
 * every connection.
 */
export function writeSmallFrame(
  target: Uint8Array,
  offset: number,
  frame: Exclude<NativeFrame, DataFrame>,
): number {
  if (frame.kind === "opened" && !frame.dialled || frame.kind === "finish") {
    target[offset++] = FRAMES_TAG;
    target[offset++] = 3 + varintSize(frame.stream);
    target[offset++] = STREAM_TAG;
    offset = writeVarint(target, offset, frame.stream);
    target[offset++] = frame.kind === "opened" ? OPENED_TAG : FINISH_TAG;
    target[offset++] = 0;
    return offset;
  }
  const isShortOpen = frame.kind === "open" && frame.passages === undefined &&
    frame.serviceId.length + frame.visitor.length <= MAX_SHORT_TEXTS;
  return (isShortOpen ? writeShortOpen(target, offset, frame) : undefined) ??
    writeFrame(target, offset, encodeSmallFrame(frame));
}

/** With so many characters of ASCII in both texts together, every length before and in an open is one byte. */
const MAX_SHORT_TEXTS = 110;

/** Undefined for what is not written so: an empty text, or one that is not ASCII. */
function writeShortOpen(
  target: Uint8Array,
  start: number,
  { stream, serviceId, visitor }: NativeFrame & { kind: "open" },
): number | undefined {
  const bodyLength = 4 + serviceId.length + visitor.length;
  let offset = start;
  target[offset++] = FRAMES_TAG;
  target[offset++] = 3 + varintSize(stream) + bodyLength;
  target[offset++] = STREAM_TAG;
  offset = writeVarint(target, offset, stream);
  target[offset++] = OPEN_TAG;
  target[offset++] = bodyLength;
  for (const [tag, text] of [[SERVICE_ID_TAG, serviceId], [VISITOR_TAG, visitor]] as const) {
    if (text === "") return undefined;
    target[offset++] = tag;
    target[offset++] = text.length;
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code > 0x7f) return undefined;
      target[offset++] = code;
    }
  }
  return offset;
}

/** How many bytes a frame takes in a batch. */
export function sizeInBatch(frame: QueuedFrame): number {
  const size = frame instanceof Uint8Array ? frame.length : dataFrameSize(frame);
  return 1 + varintSize(size) + size;
}

/** Writes a frame as it stands in a batch, and returns the offset behind it. */
export function writeFrame(target: Uint8Array, offset: number, frame: QueuedFrame): number {
  target[offset++] = FRAMES_TAG;
  if (frame instanceof Uint8Array) {
    offset = writeVarint(target, offset, frame.length);
    target.set(frame, offset);
    return offset + frame.length;
  }
  offset = writeVarint(target, offset, dataFrameSize(frame));
  target[offset++] = STREAM_TAG;
  offset = writeVarint(target, offset, frame.stream);
  target[offset++] = DATA_TAG;
  offset = writeVarint(target, offset, frame.bytes.length);
  target.set(frame.bytes, offset);
  return offset + frame.bytes.length;
}

/** Makes the message of a batch: of frames that are `written` already, and others. All are copied. */
export function encodeBatch(
  frames: readonly QueuedFrame[],
  written: Uint8Array = EMPTY,
): Uint8Array {
  let size = written.length;
  for (const frame of frames) size += sizeInBatch(frame);
  const message = new Uint8Array(BATCH_TAG.length + varintSize(size) + size);
  message.set(BATCH_TAG);
  let offset = writeVarint(message, BATCH_TAG.length, size);
  message.set(written, offset);
  offset += written.length;
  for (const frame of frames) offset = writeFrame(message, offset, frame);
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
    reader.end = reader.lengthDelimited();
    onFrame(decodeFrame(reader));
    reader.end = end;
  }
}

/** Reads a frame up to the end of what may be read. */
function decodeFrame(reader: Reader): NativeFrame {
  const { bytes, end } = reader;
  let stream: number | undefined;
  let bodyTag: number | undefined;
  let bodyStart = 0;
  let bodyEnd = 0;
  while (reader.offset < end) {
    const tag = reader.varint();
    if (tag === STREAM_TAG) {
      if (stream !== undefined) throw breach("a frame with two streams");
      stream = reader.varint();
    } else if (tag >= OPEN_TAG && tag <= GO_AWAY_TAG && (tag & 7) === 2) {
      if (bodyTag !== undefined) throw breach("a frame with two bodies");
      bodyTag = tag;
      bodyEnd = reader.lengthDelimited();
      bodyStart = reader.offset;
      reader.offset = bodyEnd;
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
  const length = bodyEnd - bodyStart;
  if (bodyTag === DATA_TAG) {
    if (length === 0) throw breach("an empty data frame");
    return { kind: "data", stream: id, bytes: bytes.subarray(bodyStart, bodyEnd) };
  }
  // Every other body is a few numbers and two texts at most.
  if (length > MAX_SMALL_BODY_BYTES) throw breach(`a frame body of ${length} bytes`);
  if (bodyTag === OPENED_TAG && length === 0) return { kind: "opened", stream: id };
  if (bodyTag === FINISH_TAG) return { kind: "finish", stream: id };
  return decodeSmallBody(bodyTag, id, bytes.subarray(bodyStart, bodyEnd));
}

const EMPTY = new Uint8Array(0);
const MAX_SMALL_BODY_BYTES = 2 * MAX_TEXT_BYTES + 64;
/** The tags of `Open.service_id` and `Open.visitor` (fields 1 and 2, length-delimited). */
const SERVICE_ID_TAG = 0x0a;
const VISITOR_TAG = 0x12;

function dataFrameSize(frame: DataFrame): number {
  const { length } = frame.bytes;
  return 2 + varintSize(frame.stream) + varintSize(length) + length;
}
