// Native frames for tests: any frame at random, and the generated code as the second opinion that the
// hand-written codec is held to.

import fc from "fast-check";
import { type Frame, GoAwayCode, OpenData, ResetCode } from "../../proto/gen/connector.ts";
import type { NativeFrame } from "../../src/wire/native_frame.ts";

const RESET_NUMBERS = {
  connection_reset: ResetCode.CONNECTION_RESET,
  refused: ResetCode.REFUSED,
  no_service: ResetCode.NO_SERVICE,
  limit: ResetCode.LIMIT,
  closing: ResetCode.CLOSING,
  idle: ResetCode.IDLE,
};

const GO_AWAY_NUMBERS = {
  shutdown: GoAwayCode.SHUTDOWN,
  breach: GoAwayCode.BREACH,
  drain: GoAwayCode.DRAIN,
  leave: GoAwayCode.LEAVE,
};

type GoAwayName = keyof typeof GO_AWAY_NUMBERS;

type ResetName = keyof typeof RESET_NUMBERS;

/** `fc.record` of plain objects: strict equality heeds the prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

function kind<K extends string>(name: K): fc.Arbitrary<K> {
  return fc.constant(name);
}

const stream = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 2 ** 31 - 1 }),
);
const nonce = fc.integer({ min: 0, max: 2 ** 32 - 1 });
/** Well under the limits: reasons are cut at a quarter of them. */
const text = fc.string({ unit: "grapheme", maxLength: 40 });

const resetCode = fc.constantFrom<ResetName>(
  "connection_reset",
  "refused",
  "no_service",
  "limit",
  "closing",
  "idle",
);

/** Any frame that may be sent. */
export const anyFrame: fc.Arbitrary<NativeFrame> = fc.oneof(
  record({ kind: kind("open"), stream, serviceId: text, visitor: text }),
  record({
    kind: kind("open"),
    stream,
    serviceId: text,
    visitor: text,
    passages: fc.integer({ min: 1, max: 1000 }),
  }),
  record({ kind: kind("opened"), stream }),
  record({
    kind: kind("opened"),
    stream,
    dialled: record({ local: fc.string({ minLength: 1, maxLength: 40 }), passages: fc.nat(1000) }),
  }),
  record({ kind: kind("data"), stream, bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }) }),
  record({ kind: kind("finish"), stream }),
  record({ kind: kind("reset"), stream, code: resetCode, reason: text }),
  record({ kind: kind("grant"), stream, offset: fc.maxSafeNat() }),
  record({ kind: kind("ping"), nonce }),
  record({ kind: kind("pong"), nonce }),
  record({
    kind: kind("goAway"),
    code: fc.constantFrom(...Object.keys(GO_AWAY_NUMBERS) as GoAwayName[]),
    reason: text,
  }),
);

/** A batch as the generated code writes it. */
export function encodeNaively(frames: readonly NativeFrame[]): Uint8Array {
  return encodeMessages(frames.map(toMessage));
}

/** A batch of any messages, right or wrong, as the generated code writes it. */
export function encodeMessages(frames: readonly Frame[]): Uint8Array {
  const message: OpenData["message"] = { $case: "batch", value: { frames: [...frames] } };
  return OpenData.encode({ serviceId: "", connectionId: "", message }).finish();
}

/** The frames of a batch as the generated code reads them; none when it is something else. */
export function decodeNaively(message: Uint8Array): Frame[] {
  const decoded = OpenData.decode(message).message;
  return decoded?.$case === "batch" ? decoded.value.frames : [];
}

/** A frame as the generated code has it. */
export function toMessage(frame: NativeFrame): Frame {
  const session = { stream: 0 };
  switch (frame.kind) {
    case "open": {
      const { stream, serviceId, visitor, passages = 0 } = frame;
      return { stream, body: { $case: "open", value: { serviceId, visitor, passages } } };
    }
    case "opened": {
      const value = frame.dialled ?? { local: "", passages: 0 };
      return { stream: frame.stream, body: { $case: "opened", value } };
    }
    case "data":
      return { stream: frame.stream, body: { $case: "data", value: frame.bytes } };
    case "finish":
      return { stream: frame.stream, body: { $case: "finish", value: {} } };
    case "reset": {
      const code = RESET_NUMBERS[frame.code];
      return {
        stream: frame.stream,
        body: { $case: "reset", value: { code, reason: frame.reason } },
      };
    }
    case "grant":
      return { stream: frame.stream, body: { $case: "grant", value: { offset: frame.offset } } };
    case "ping":
      return { ...session, body: { $case: "ping", value: { nonce: frame.nonce } } };
    case "pong":
      return { ...session, body: { $case: "pong", value: { nonce: frame.nonce } } };
    case "goAway": {
      const code = GO_AWAY_NUMBERS[frame.code];
      return { ...session, body: { $case: "goAway", value: { code, reason: frame.reason } } };
    }
  }
}
