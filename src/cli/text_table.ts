// Tables for people, on a terminal or in a pipe: whatever is in a cell, nothing steers the terminal. Pure.

import { plainText } from "../plain_text.ts";

/** The most characters of a cell. */
export const MAX_CELL_LENGTH = 60;

/** Cells of at most so many characters in columns, two spaces apart; none at the end of a line. */
export function textTable(
  rows: readonly (readonly string[])[],
  { most = MAX_CELL_LENGTH }: { most?: number } = {},
): string {
  const plain = rows.map((row) => row.map((cell) => plainText(cell, most)));
  const widths =
    plain[0]?.map((_, column) =>
      plain.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0)
    ) ?? [];
  return plain.map((row) =>
    `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()}\n`
  ).join("");
}
