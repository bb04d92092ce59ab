// Gathers samples into figures, compares them with the relay's and with the goals, and lays them out
// as a table. Pure: it measures nothing and prints nothing. Used by every measurement and main.ts.

import { type Goal, GOALS, isMet } from "./goals.ts";
import type { PathName } from "./paths.ts";

/** What a value counts. */
export type Unit =
  | "Gbit/s"
  | "requests/s"
  | "connections/s"
  | "ms"
  | "s/GB"
  | "ms/1,000"
  | "MB"
  | "KiB"
  | "MiB"
  | "visitors"
  | "share";

/** One figure of one run. */
export interface Sample {
  figure: string;
  unit: Unit;
  value: number;
}

/** One line of the table: the median of the runs over each path, and how it stands. */
export interface Figure {
  figure: string;
  unit: Unit;
  values: Partial<Record<PathName, number>>;
  /** Against the relay of the same run; absent where the relay has no such figure. */
  ratios: Partial<Record<PathName, number>>;
  goals: Partial<Record<PathName, Goal & { met: boolean }>>;
}

/** The order of the columns. */
const PATHS: readonly PathName[] = [
  "direct",
  "relay",
  "connector",
  "Deno sockets",
  "mTLS",
  "ssh -R",
];
/** These are the ground that the ratios stand on, and have none themselves. */
const GROUND: ReadonlySet<PathName> = new Set(["direct", "relay"]);
const ABSENT = "-";

/** The samples of one bench. */
export class Results {
  readonly #samples = new Map<string, { unit: Unit; runs: Map<PathName, number[]> }>();

  /** Adds what one run over one path yielded. */
  add(path: PathName, samples: readonly Sample[]): void {
    for (const { figure, unit, value } of samples) {
      const known = this.#samples.get(figure) ?? { unit, runs: new Map<PathName, number[]>() };
      this.#samples.set(figure, known);
      known.runs.set(path, [...known.runs.get(path) ?? [], value]);
    }
  }

  /** Every figure, in the order in which they were first added. */
  figures(): Figure[] {
    return [...this.#samples].map(([figure, { unit, runs }]) => {
      const values: Figure["values"] = {};
      for (const [path, values_] of runs) values[path] = median(values_);
      const ratios: Figure["ratios"] = {};
      const goals: Figure["goals"] = {};
      for (const path of PATHS) {
        const value = values[path];
        if (value === undefined || GROUND.has(path)) continue;
        const ratio = values.relay === undefined ? undefined : value / values.relay;
        if (ratio !== undefined) ratios[path] = ratio;
        const goal = GOALS[figure]?.[path];
        const measured = goal?.of === "ratio" ? ratio : value;
        if (goal !== undefined && measured !== undefined) {
          goals[path] = { ...goal, met: isMet(goal, measured) };
        }
      }
      return { figure, unit, values, ratios, goals };
    });
  }
}

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return (quantile(values, 0.5, Math.floor) + quantile(values, 0.5, Math.ceil)) / 2;
}

function quantile(
  values: readonly number[],
  share: number,
  round: (position: number) => number,
): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[round((sorted.length - 1) * share)] ?? NaN;
}

/** Lays out the figures, one a line, for a terminal. */
export function formatTable(figures: readonly Figure[]): string {
  const paths = PATHS.filter((path) => figures.some(({ values }) => values[path] !== undefined));
  const withRatios = paths.filter((path) => !GROUND.has(path));
  const hasGoals = (path: PathName) => figures.some(({ goals }) => goals[path] !== undefined);
  const header = ["", ...paths.filter((path) => GROUND.has(path))];
  for (const path of withRatios) {
    header.push(path, "ratio", ...(hasGoals(path) ? ["wanted"] : []));
  }
  const lines = figures.map(({ figure, unit, values, ratios, goals }) => {
    const line = [`${figure} (${unit})`];
    for (const path of paths) {
      line.push(formatNumber(values[path]));
      if (GROUND.has(path)) continue;
      line.push(ratios[path]?.toFixed(2) ?? ABSENT);
      if (hasGoals(path)) line.push(formatGoal(goals[path]));
    }
    return line;
  });
  return alignColumns([header, ...lines]);
}

function formatGoal(goal: (Goal & { met: boolean }) | undefined): string {
  if (goal === undefined) return "";
  const sign = goal.at === "least" ? "≥" : "≤";
  return `${goal.of} ${sign} ${goal.bound} ${goal.met ? "met" : "MISSED"}`;
}

/** Three significant digits where that is less than the whole number. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined) return ABSENT;
  if (value === 0) return "0";
  const decimals = Math.min(3, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toFixed(decimals);
}

function alignColumns(lines: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const line of lines) {
    line.forEach((cell, column) => widths[column] = Math.max(widths[column] ?? 0, cell.length));
  }
  return lines.map((line) =>
    line.map((cell, column) => {
      const width = widths[column] ?? 0;
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    }).join("  ").trimEnd()
  ).join("\n");
}
