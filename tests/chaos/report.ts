// A chaos run as text: what it counted, and what was wrong. Pure.

import { OUTCOMES } from "./ends.ts";
import type { Ledger } from "./ledger.ts";
import { FAULT_KINDS, VISIT_KINDS } from "./plan.ts";
import { type Counts, median, table } from "./statistics.ts";

/** What is reported of a run besides its book. */
export interface RunFacts {
  seed: number;
  minutes: number;
  /** Open descriptors at the start and at the end, by process. */
  descriptors: readonly [name: string, before: number, after: number][];
}

const MIB = 1024 * 1024;
/** In which order tables have their rows. */
const ROWS: readonly string[] = [...FAULT_KINDS, ...VISIT_KINDS, "unheard"];

/** The whole report. */
export function formatReport(ledger: Ledger, { seed, minutes, descriptors }: RunFacts): string {
  return [
    `Chaos run of ${minutes} min, seed ${seed}: ` +
    (ledger.problemCount === 0 ? "nothing was wrong" : `${ledger.problemCount} PROBLEMS`),
    "Visits, as visitors saw them:",
    outcomes(ledger.visits),
    "The same, as upstreams saw them:",
    outcomes(ledger.upstreams),
    "Bytes that arrived and were verified, in MiB:",
    bytes(ledger),
    "Faults, and seconds until everything worked again:",
    recoveries(ledger),
    "Resident memory, in MiB:",
    memory(ledger),
    "Open file descriptors:",
    table(
      ["process", "start", "end"],
      descriptors.map(([name, before, after]) => [name, `${before}`, `${after}`]),
    ),
    ...(ledger.problems.length === 0
      ? []
      : [`What was wrong:\n${ledger.problems.map((each) => `- ${each}`).join("\n")}`]),
  ].join("\n\n");
}

function outcomes(counts: Counts): string {
  const row = (name: string, filter: { row?: string }) => [
    name,
    ...OUTCOMES.map((column) => String(counts.sum({ ...filter, column }))),
    String(counts.sum(filter)),
  ];
  return table(
    ["kind", ...OUTCOMES, "all"],
    [...inOrder(counts.rows).map((name) => row(name, { row: name })), row("all", {})],
  );
}

function inOrder(rows: readonly string[]): string[] {
  return rows.toSorted((a, b) => ROWS.indexOf(a) - ROWS.indexOf(b));
}

function bytes({ bytes }: Ledger): string {
  const mib = (count: number) => (count / MIB).toFixed(1);
  return table(["kind", "up", "down"], [
    ...inOrder(bytes.rows)
      .map((row) => [row, mib(bytes.get(row, "up")), mib(bytes.get(row, "down"))]),
    ["all", mib(bytes.sum({ column: "up" })), mib(bytes.sum({ column: "down" }))],
  ]);
}

function recoveries({ recoveries }: Ledger): string {
  const row = (name: string, values: readonly number[]) => [
    name,
    String(values.length),
    (median(values) / 1000).toFixed(2),
    (Math.max(0, ...values) / 1000).toFixed(2),
  ];
  return table(["fault", "count", "median", "worst"], [
    ...recoveries.entries()
      .toSorted(([a], [b]) => ROWS.indexOf(a) - ROWS.indexOf(b))
      .map(([kind, values]) => row(kind, values)),
    row("all", recoveries.all()),
  ]);
}

function memory({ memory }: Ledger): string {
  const mib = (count: number) => (count / MIB).toFixed(0);
  return table(
    ["process", "samples", "first", "median", "last", "max"],
    memory.entries().map(([name, values]) => [
      name,
      String(values.length),
      mib(values[0] ?? 0),
      mib(median(values)),
      mib(values.at(-1) ?? 0),
      mib(Math.max(0, ...values)),
    ]),
  );
}
