// The rows that are measured over every path: what each runs, and the figures that it yields.
// Used by main.ts; the upstreams they need are started by upstreams.ts.

import type { Tool, Tools } from "./machine.ts";
import { parseAb, parseIperf3, parseWrk } from "./parsers.ts";
import type { ProcessGroup } from "./processes.ts";
import type { Sample } from "./results.ts";

/** Which upstream a row visits. iperf3's is started anew for each run, on a port that stays. */
export type Upstream = "iperf3" | "http";

/** The rows that load a path. */
export type LoadName = "upload" | "download" | "keepalive-1" | "keepalive-64" | "connections";

/** Where and how long to measure. */
export interface LoadTarget {
  processes: ProcessGroup;
  tools: Tools;
  /** The port to visit. */
  port: number;
  /** Where the upstream itself listens. */
  upstreamPort: number;
  seconds: number;
}

/** What a run yielded. */
export interface LoadResult {
  samples: Sample[];
  /** What was carried meanwhile: processor time is told for so much of it. */
  carried: { figure: string; unit: "s/GB" | "ms/1,000"; amount: number };
}

/** A row. */
export interface Load {
  name: LoadName;
  tool: Tool;
  upstream: Upstream;
  /** @throws {Error} when the program fails, or requests fail: a figure with failures is none. */
  measure(target: LoadTarget): Promise<LoadResult>;
}

/**
 * What a load cost: the processor time of a path, in seconds, for so much as it carried. The programs at its ends are
 * not part of it.
 */
export function processorTime({ carried }: LoadResult, seconds: number): Sample {
  const { figure, unit, amount } = carried;
  const time = unit === "s/GB" ? seconds : seconds * 1000;
  return { figure: `processor time, ${figure}`, unit, value: time / amount };
}

/** Beyond its own seconds, in milliseconds: connecting, and iperf3's exchange of results. */
const GRACE_MS = 15_000;
/** Visitors at once in the row of new connections. */
const AB_CONCURRENCY = 16;
/** More requests than any run makes: the time is the limit. */
const AB_REQUESTS = 10_000_000;

/** Every row, in the order of the table. */
export const LOADS: readonly Load[] = [
  {
    name: "upload",
    tool: "iperf3",
    upstream: "iperf3",
    measure: (target) => measureThroughput(target, { figure: "one stream, visitor to upstream" }),
  },
  {
    name: "download",
    tool: "iperf3",
    upstream: "iperf3",
    measure: (target) =>
      measureThroughput(target, { figure: "one stream, upstream to visitor", reverse: true }),
  },
  {
    name: "keepalive-1",
    tool: "wrk",
    upstream: "http",
    measure: (target) => measureRequests(target, 1),
  },
  {
    name: "keepalive-64",
    tool: "wrk",
    upstream: "http",
    measure: (target) => measureRequests(target, 64),
  },
  { name: "connections", tool: "ab", upstream: "http", measure: measureConnections },
];

/** One stream of bytes for some seconds; in Gbit/s, as its receiver counted it. */
export async function measureThroughput(
  { processes, tools, port, upstreamPort, seconds }: LoadTarget,
  { figure, reverse = false }: { figure: string; reverse?: boolean },
): Promise<LoadResult> {
  const iperf3 = pathOf(tools, "iperf3");
  // A server for one test only (-1): a run that failed cannot leave it busy for the next one.
  await using _server = await processes.start([
    ...[iperf3, "-s", "-1", "--forceflush"],
    ...["-B", "127.0.0.1", "-p", String(upstreamPort)],
  ], { ready: /^Server listening/, endsByItself: true });
  const output = await processes.run([
    ...[iperf3, "-c", "127.0.0.1", "-p", String(port)],
    ...["-t", String(seconds), "-i", "0", "-J"],
    ...(reverse ? ["-R"] : []),
  ], { timeoutMs: seconds * 1000 + GRACE_MS });
  const gigabits = parseIperf3(output).bitsPerSecond / 1e9;
  return {
    samples: [{ figure, unit: "Gbit/s", value: gigabits }],
    carried: { figure, unit: "s/GB", amount: gigabits / 8 * seconds },
  };
}

async function measureRequests(
  { processes, tools, port, seconds }: LoadTarget,
  connections: number,
): Promise<LoadResult> {
  const output = await processes.run([
    ...[pathOf(tools, "wrk"), "--latency", "-t1", `-c${connections}`, `-d${seconds}`],
    `http://127.0.0.1:${port}/`,
  ], { timeoutMs: seconds * 1000 + GRACE_MS });
  const { requestsPerSecond, p50, p99, failures } = parseWrk(output);
  refuseFailures(failures, "requests");
  const label = `keep-alive, ${connections} ${connections === 1 ? "connection" : "connections"}`;
  return {
    samples: [
      { figure: label, unit: "requests/s", value: requestsPerSecond },
      { figure: `${label}, p50`, unit: "ms", value: p50 },
      { figure: `${label}, p99`, unit: "ms", value: p99 },
    ],
    carried: { figure: label, unit: "ms/1,000", amount: requestsPerSecond * seconds / 1000 },
  };
}

async function measureConnections(
  { processes, tools, port, seconds }: LoadTarget,
): Promise<LoadResult> {
  const output = await processes.run([
    ...[pathOf(tools, "ab"), "-q", "-r"],
    // -t sets -n too, so -n must follow it.
    ...["-t", String(seconds), "-n", String(AB_REQUESTS), "-c", String(AB_CONCURRENCY)],
    `http://127.0.0.1:${port}/`,
  ], { timeoutMs: seconds * 1000 + GRACE_MS });
  const { requestsPerSecond, failures } = parseAb(output);
  refuseFailures(failures, "connections");
  const figure = "new connections";
  return {
    samples: [{ figure, unit: "connections/s", value: requestsPerSecond }],
    carried: { figure, unit: "ms/1,000", amount: requestsPerSecond * seconds / 1000 },
  };
}

function refuseFailures(failures: number, what: string): void {
  if (failures > 0) throw new Error(`${failures} ${what} failed`);
}

function pathOf(tools: Tools, tool: Tool): string {
  const path = tools.get(tool);
  if (path === undefined) throw new TypeError(`${tool} was not looked for before it was used`);
  return path;
}
