// Counts the connections of each side since the connector began, whether their services still exist
// or not.

import { Histogram } from "../histogram.ts";
import { REFUSAL_CODES, type RefusalCode } from "../model/events.ts";
import type { Side } from "../model/service.ts";

/** Numbers that only grow, but for `open`. */
export interface ConnectionCounters {
  /** Open now. */
  open: number;
  /** Ever, those that were refused too. */
  total: number;
  /** Of those, the ones that did not end in order, refused ones too. */
  failed: number;
  /** Of those, the ones that were never carried, by why. */
  refused: Record<RefusalCode, number>;
  /** How often one has gone on over another link after its own was lost. */
  resumed: number;
  /** Of those that failed, the ones whose link was lost, and no other has followed. */
  notResumed: number;
  /** Bytes from visitors to destinations. */
  bytesIn: number;
  /** Bytes from destinations to visitors. */
  bytesOut: number;
  /** How long connections were open that were carried, in seconds. */
  durations: Histogram;
}

/** How long dialling took, in seconds, by what became of it. */
export type DialTimes = Record<DialOutcome, Histogram>;
export type DialOutcome = "connected" | "failed";

/**
 * The longest connection of each bucket, in seconds: an HTTP request takes some milliseconds, a shell is open for hours.
 */
const DURATION_BOUNDS_S = [0.01, 0.1, 1, 10, 60, 600, 3600, 21_600, 86_400];
/** The longest dial of each bucket, in seconds: the last one is what a dial may take. */
const DIAL_BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Those of either side. */
export type CountersOfSides = Record<Side, ConnectionCounters>;

/** Counters at zero. */
export function newCounters(): CountersOfSides {
  return { ingress: newSide(), egress: newSide() };
}

/** The same of dials. */
export function newDialTimes(): DialTimes {
  return { connected: new Histogram(DIAL_BOUNDS_S), failed: new Histogram(DIAL_BOUNDS_S) };
}

/** How many of all connections were carried, on both sides together, and what passed: for people. */
export function summaryOf(counters: CountersOfSides): Record<string, number> {
  const sum = (of: (side: ConnectionCounters) => number) =>
    of(counters.ingress) + of(counters.egress);
  const refused = ({ refused }: ConnectionCounters) =>
    Object.values(refused).reduce((all, count) => all + count, 0);
  return {
    connections: sum((side) => side.total - refused(side)),
    refused: sum(refused),
    resumed: sum(({ resumed }) => resumed),
    notResumed: sum(({ notResumed }) => notResumed),
    bytesIn: sum(({ bytesIn }) => bytesIn),
    bytesOut: sum(({ bytesOut }) => bytesOut),
  };
}

function newSide(): ConnectionCounters {
  // One zero for each code.
  const refused = Object.fromEntries(REFUSAL_CODES.map((code) => [code, 0])) as ConnectionCounters[
    "refused"
  ];
  return {
    open: 0,
    total: 0,
    failed: 0,
    refused,
    resumed: 0,
    notResumed: 0,
    bytesIn: 0,
    bytesOut: 0,
    durations: new Histogram(DURATION_BOUNDS_S),
  };
}
