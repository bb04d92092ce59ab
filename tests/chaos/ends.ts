// How one end of a transfer saw it, and whether that is right. Pure. The property that a chaos run is for: what ended
// in order is whole. Only the system's own end of a process that was killed may look like an orderly one.

import type { StreamCheck } from "./bytes.ts";

/** What one end of a connection saw. */
export type End =
  /** Nobody took the connection. */
  | { kind: "refused" }
  /** It ended with a reset, or with another error of the socket. */
  | { kind: "interrupted" }
  /** This end left or reset it, as planned. */
  | { kind: "left" }
  /** It ended in order, and everything was right. */
  | { kind: "whole" }
  /** It ended in order, and bytes were missing. */
  | { kind: "truncated"; received: number; expected: number }
  /** Bytes were wrong, or too many. */
  | { kind: "wrong"; at: number; bytes?: string }
  /** Nothing moved for too long. */
  | { kind: "stalled" };

/** What is counted. */
export const OUTCOMES = [
  "whole",
  "interrupted",
  "refused",
  "left",
  "cut off by a kill",
  "WRONG",
] as const;
export type Outcome = typeof OUTCOMES[number];

/** What the bytes say once no more can come; `inOrder` is whether a FIN said so. */
export function endOf(
  { received, expected, wrongAt, wrongBytes }: StreamCheck,
  { inOrder }: { inOrder: boolean },
): End {
  if (wrongAt !== undefined) return { kind: "wrong", at: wrongAt, bytes: wrongBytes };
  if (received > expected) return { kind: "wrong", at: expected };
  if (!inOrder) return { kind: "interrupted" };
  return received === expected ? { kind: "whole" } : { kind: "truncated", received, expected };
}

/** Judges an end; `killed` is whether the connector at this very end was killed meanwhile. */
export function judge(end: End, { killed }: { killed: boolean }): Outcome {
  switch (end.kind) {
    case "truncated":
      return killed ? "cut off by a kill" : "WRONG";
    case "wrong":
    case "stalled":
      return "WRONG";
    default:
      return end.kind;
  }
}

/** An end in words. */
export function describeEnd(end: End): string {
  switch (end.kind) {
    case "truncated":
      return `ended in order after ${end.received} of ${end.expected} bytes`;
    case "wrong":
      return `wrong bytes from about byte ${end.at} on: ${end.bytes ?? "?"}...`;
    case "stalled":
      return "stalled";
    default:
      return end.kind;
  }
}
