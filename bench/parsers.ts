// Reads what wrk, ab and iperf3 print. Pure functions over text: nothing here runs a program.
// Used by loads.ts.

/** What one run of wrk says. */
export interface WrkResult {
  requestsPerSecond: number;
  /** Latencies in milliseconds. */
  p50: number;
  p99: number;
  /** Socket errors, timeouts, and answers other than 2xx and 3xx. */
  failures: number;
}

/** What one run of ab says. */
export interface AbResult {
  requestsPerSecond: number;
  failures: number;
}

/** What one run of iperf3 says. */
export interface Iperf3Result {
  /** As the receiver counted it: bytes that arrived, not bytes that were sent. */
  bitsPerSecond: number;
}

/** Microseconds in each unit that wrk writes. */
const WRK_UNITS: Readonly<Record<string, number>> = {
  us: 1,
  ms: 1e3,
  s: 1e6,
  m: 60e6,
  h: 3600e6,
};

/**
 * Reads the output of `wrk --latency`.
 *
 * @throws {SyntaxError} naming what was not found.
 */
export function parseWrk(output: string): WrkResult {
  const latency = (percentile: string) => {
    const [number, unit] = find(
      output,
      new RegExp(`^\\s+${percentile}%\\s+([\\d.]+)(us|ms|s|m|h)\\s*$`, "m"),
      {
        program: "wrk",
        wanted: `a latency at ${percentile} %`,
      },
    );
    return Number(number) * (WRK_UNITS[unit ?? ""] ?? NaN) / 1000;
  };
  const [rate] = find(output, /^Requests\/sec:\s+([\d.]+)$/m, {
    program: "wrk",
    wanted: "requests per second",
  });
  const sockets = /^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$/m
    .exec(output)?.slice(1).map(Number) ?? [];
  const statuses = /^\s*Non-2xx or 3xx responses: (\d+)$/m.exec(output)?.[1] ?? "0";
  return {
    requestsPerSecond: Number(rate),
    p50: latency("50"),
    p99: latency("99"),
    failures: sockets.reduce((sum, count) => sum + count, Number(statuses)),
  };
}

/**
 * Reads the output of `ab`.
 *
 * @throws {SyntaxError} naming what was not found.
 */
export function parseAb(output: string): AbResult {
  const [rate] = find(output, /^Requests per second:\s+([\d.]+)/m, {
    program: "ab",
    wanted: "requests per second",
  });
  const [failed] = find(output, /^Failed requests:\s+(\d+)$/m, {
    program: "ab",
    wanted: "the count of failed requests",
  });
  const statuses = /^Non-2xx responses:\s+(\d+)$/m.exec(output)?.[1] ?? "0";
  return { requestsPerSecond: Number(rate), failures: Number(failed) + Number(statuses) };
}

/**
 * Reads the output of `iperf3 -c … -J`, in either direction.
 *
 * @throws {SyntaxError} with iperf3's own reason, or naming what was not found.
 */
export function parseIperf3(output: string): Iperf3Result {
  const report: unknown = JSON.parse(output);
  const reason = member(report, "error");
  if (typeof reason === "string") throw new SyntaxError(`iperf3 reports: ${reason}`);
  const rate = member(member(member(report, "end"), "sum_received"), "bits_per_second");
  if (typeof rate !== "number") {
    throw new SyntaxError("Cannot read iperf3's output: no end.sum_received.bits_per_second in it");
  }
  return { bitsPerSecond: rate };
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, name)?.value;
}

function find(
  output: string,
  pattern: RegExp,
  { program, wanted }: { program: string; wanted: string },
): string[] {
  const match = pattern.exec(output);
  if (match === null) {
    throw new SyntaxError(
      `Cannot read ${program}'s output: ${wanted} is not in ${JSON.stringify(output.slice(-400))}`,
    );
  }
  return match.slice(1);
}
