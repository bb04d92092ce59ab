// Numbers and times for people. Pure.

const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes, in decimal units as networks count: `1.5 MB`. */
export function bytesText(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  // What would be rounded to 1000 is one of the next unit.
  while (value >= 999.5 && unit < SIZES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 9.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${SIZES[unit]}`;
}

/** Bytes a second. */
export function rateText(bytesPerSecond: number): string {
  return `${bytesText(bytesPerSecond)}/s`;
}

/** A whole number, in groups of three digits. */
export function countText(count: number): string {
  return count.toLocaleString("en");
}

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** A length of time in its two largest units: `2 h 5 min`. Negative ones are none. */
export function durationText(ms: number): string {
  let seconds = Math.max(0, Math.round(ms / 1000));
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const parts: string[] = [];
  for (const [name, size] of UNITS.slice(first, first + 2)) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(" ");
}

/** How long ago a moment was. */
export function agoText(moment: string, now: number): string {
  return `${durationText(now - Date.parse(moment))} ago`;
}

/** How many of something, with the right noun. */
export function plural(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? "" : "s"}`;
}
