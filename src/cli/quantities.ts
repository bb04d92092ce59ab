// Numbers with units as users write them in options: sizes in bytes, durations in milliseconds.

const SIZE_UNITS: Record<string, number> = {
  "": 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Reads `65536`, `64KiB`, `16MiB` or `1GiB` as bytes; undefined when it is none of these. */
export function parseSize(text: string): number | undefined {
  return parse(text, SIZE_UNITS);
}

/** Reads `500ms`, `90s`, `5m` or `1h` as milliseconds; undefined when it is none of these. */
export function parseDuration(text: string): number | undefined {
  return parse(text, DURATION_UNITS);
}

/** Writes bytes in the largest unit that takes a whole number. */
export function formatSize(bytes: number): string {
  return format(bytes, SIZE_UNITS);
}

/** Writes milliseconds in the largest unit that takes a whole number. */
export function formatDuration(ms: number): string {
  return format(ms, DURATION_UNITS);
}

function parse(text: string, units: Record<string, number>): number | undefined {
  const [, digits = "", unit = ""] = /^(\d{1,12})([A-Za-z]*)$/.exec(text) ?? [];
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  return digits === "" || factor === undefined ? undefined : Number(digits) * factor;
}

function format(value: number, units: Record<string, number>): string {
  const fitting = Object.entries(units).filter(([, factor]) => value % factor === 0);
  // Nothing is nothing in every unit.
  const [unit, factor] = (value === 0 ? fitting[0] : fitting.at(-1)) ?? ["", 1];
  return `${value / factor}${unit}`;
}
