// Reads Prometheus's text format, as far as tests need it.

/** The value of each series, by its name and labels as they were written. */
export function seriesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => {
    const [, name, value] = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`no series: ${line}`);
    return [name, value === "+Inf" ? Infinity : Number(value)];
  }));
}
