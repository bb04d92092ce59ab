// The figures that Connector holds itself to, and whether one is met. Pure data, used by results.ts.
// A goal is missed on a busy machine too: judge by a quiet one.

import type { PathName } from "./paths.ts";

/** What a figure should reach. */
export interface Goal {
  /** The figure itself, or its ratio to the relay's. */
  of: "value" | "ratio";
  at: "least" | "most";
  bound: number;
}

/** By figure, then by path. */
export const GOALS: Readonly<Record<string, Partial<Record<PathName, Goal>>>> = {
  "one stream, visitor to upstream": { connector: ratio(0.3), mTLS: ratio(0.2) },
  "one stream, upstream to visitor": { connector: ratio(0.3), mTLS: ratio(0.2) },
  "keep-alive, 1 connection, p50": { connector: { of: "ratio", at: "most", bound: 1.7 } },
  "keep-alive, 64 connections": { connector: ratio(0.95), mTLS: ratio(0.85) },
  "new connections": { connector: ratio(1.1) },
  "start to healthy": bothAtMost(500),
  "idle memory": {
    connector: { of: "value", at: "most", bound: 75 },
    mTLS: { of: "value", at: "most", bound: 80 },
  },
  "share of no delay (up to 1 Gbit/s), visitor to upstream": bothAtLeast(0.6),
  "share of no delay (up to 1 Gbit/s), upstream to visitor": bothAtLeast(0.6),
  "memory per idle visitor, listening side": bothAtMost(20),
  "memory per idle visitor, dialling side": bothAtMost(20),
  "echo beside a stuck reader, median": bothAtMost(2),
  "echo beside a stuck reader, worst": bothAtMost(20),
};

/** Whether what was measured reaches the goal. */
export function isMet({ at, bound }: Goal, measured: number): boolean {
  return at === "least" ? measured >= bound : measured <= bound;
}

function ratio(bound: number): Goal {
  return { of: "ratio", at: "least", bound };
}

function bothAtMost(bound: number): Partial<Record<PathName, Goal>> {
  const goal: Goal = { of: "value", at: "most", bound };
  return { connector: goal, mTLS: goal };
}

function bothAtLeast(bound: number): Partial<Record<PathName, Goal>> {
  const goal: Goal = { of: "value", at: "least", bound };
  return { connector: goal, mTLS: goal };
}
