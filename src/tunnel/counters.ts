// Counts the connections of each side since the connector began, whether their services still exist
// or not.

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
  /** Bytes from visitors to destinations. */
  bytesIn: number;
  /** Bytes from destinations to visitors. */
  bytesOut: number;
}

/** Those of either side. */
export type CountersOfSides = Record<Side, ConnectionCounters>;

/** Counters at zero. */
export function newCounters(): CountersOfSides {
  return { ingress: newSide(), egress: newSide() };
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
    bytesIn: sum(({ bytesIn }) => bytesIn),
    bytesOut: sum(({ bytesOut }) => bytesOut),
  };
}

function newSide(): ConnectionCounters {
  // One zero for each code.
  const refused = Object.fromEntries(REFUSAL_CODES.map((code) => [code, 0])) as ConnectionCounters[
    "refused"
  ];
  return { open: 0, total: 0, failed: 0, refused, bytesIn: 0, bytesOut: 0 };
}
