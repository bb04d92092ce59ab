// Figures of a chaos run: medians, and tables of counts. Pure.

/** The median; 0 of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

/** Numbers in the order in which they were measured, by what they belong to. */
export class Samples {
  readonly #values = new Map<string, number[]>();

  add(key: string, value: number): void {
    const values = this.#values.get(key);
    if (values) values.push(value);
    else this.#values.set(key, [value]);
  }

  /** By key, in the order of their first values. */
  entries(): [key: string, values: readonly number[]][] {
    return [...this.#values];
  }

  /** All of them. */
  all(): number[] {
    return [...this.#values.values()].flat();
  }
}

/** How often something was seen, by row and column. */
export class Counts {
  readonly #counts = new Map<string, Map<string, number>>();

  add(row: string, column: string, count = 1): void {
    const columns = this.#counts.get(row) ?? new Map<string, number>();
    columns.set(column, (columns.get(column) ?? 0) + count);
    this.#counts.set(row, columns);
  }

  get rows(): string[] {
    return [...this.#counts.keys()];
  }

  get(row: string, column: string): number {
    return this.#counts.get(row)?.get(column) ?? 0;
  }

  /** Of a row, or of a column over all rows. */
  sum({ row, column }: { row?: string; column?: string }): number {
    let sum = 0;
    for (const [name, columns] of this.#counts) {
      if (row !== undefined && name !== row) continue;
      for (const [each, count] of columns) {
        if (column === undefined || each === column) sum += count;
      }
    }
    return sum;
  }
}

/** A table in Markdown; the first column is text, the others are numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length))
  );
  const line = (cells: readonly string[]) =>
    `| ${
      widths.map((width, column) => {
        const cell = cells[column] ?? "";
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      }).join(" | ")
    } |`;
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`
  );
  return [line(head), line(rule), ...rows.map(line)].join("\n");
}
