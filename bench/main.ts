// `deno task bench`: reads the options, runs the bench, prints the table. Ctrl-C ends every process
// that it started.

import { Command, InvalidArgumentError, Option } from "commander";

import { type BenchReport, type RowName, runBench } from "./bench.ts";
import type { ServiceType } from "./connector_pair.ts";
import { LOADS } from "./loads.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { ProcessGroup } from "./processes.ts";
import { formatTable } from "./results.ts";

interface Flags {
  seconds: number;
  rounds: number;
  only?: RowName[];
  type: ServiceType;
  mtls: boolean;
  ssh: boolean;
  pathDelay?: number | true;
  idleVisitors?: number | true;
  stuck: boolean;
  slowPath: boolean;
  connector: boolean;
  denoSockets: boolean;
  executable?: string;
  json?: string;
}

const DEFAULT_ROWS: readonly RowName[] = [...LOADS.map(({ name }) => name), "start-up", "memory"];
const ROWS: readonly RowName[] = [
  ...DEFAULT_ROWS,
  "handshake",
  "path-delay",
  "idle-visitors",
  "stuck",
  "slow-path",
];
/** Added to each direction: a round trip of 50 ms is a path across an ocean. */
const DEFAULT_DELAY_MS = 25;
/** As many as a session takes by default. */
const DEFAULT_IDLE_VISITORS = 10_000;
/** The exit code that shells expect of a program ended by SIGINT. */
const EXIT_INTERRUPTED = 130;
const EXIT_USAGE = 2;

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const flags = readFlags();
  const root = new URL("..", import.meta.url).pathname;
  const command = flags.executable === undefined
    ? [Deno.execPath(), "run", "-P", "main.ts"]
    : [await Deno.realPath(flags.executable)];

  await using processes = new ProcessGroup();
  const interrupt = () => void processes[Symbol.asyncDispose]();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupt);

  const machine = await describeMachine();
  const { delayMs, idleVisitors, ...rows } = chooseRows(flags);
  let report: BenchReport;
  try {
    report = await runBench(processes, {
      ...flags,
      ...rows,
      mtls: flags.mtls || rows.rows.has("handshake"),
      delayMs,
      idleVisitors,
      launch: { command, cwd: root },
      onProgress: (line) => console.error(`  ${line}`),
    });
  } catch (error) {
    if (!processes.closed) throw error;
    console.error("Interrupted; every process of the bench was ended");
    return EXIT_INTERRUPTED;
  }
  print(report, { machine, flags });
  if (flags.json !== undefined) {
    const record = { machine, flags, ...report };
    await Deno.writeTextFile(flags.json, `${JSON.stringify(record, null, 2)}\n`);
  }
  return report.failures.length > 0 ? 1 : 0;
}

function readFlags(): Flags {
  const program = new Command("deno task bench")
    .description(
      "Measures two connectors on loopback beside a relay of two plain hops, in the same run.\n" +
        "Exits 1 when a run failed; a goal that was missed is only marked.",
    )
    .option("--seconds <number>", "length of each run", readCount, 5)
    .option("--rounds <number>", "runs of each row, of which the median counts", readCount, 1)
    .option("--only <rows>", `only these, of ${ROWS.join(", ")}`, readRows)
    .addOption(
      new Option("--type <type>", "service type").choices(["local", "remote"]).default("local"),
    )
    .option("--mtls", "connectors with mTLS too", false)
    .option("--ssh", "ssh -R too, with an own sshd", false)
    .option(
      "--path-delay [ms]",
      `one stream over a path with delay (${DEFAULT_DELAY_MS} each way)`,
      readCount,
    )
    .option("--idle-visitors [number]", `visitors at once (${DEFAULT_IDLE_VISITORS})`, readCount)
    .option("--stuck", "echo times beside a reader that is stuck", false)
    .option("--slow-path", "echo times beside downloads that fill a slow path", false)
    .option("--no-connector", "only the direct path and the relay")
    .option("--no-deno-sockets", "without the column of connectors with --sockets=deno")
    .option("--executable <path>", "measure a compiled connector instead of this source")
    .option("--json <file>", "write everything measured there too")
    .addHelpText(
      "after",
      `
Examples:
  deno task bench
  deno task bench --only upload,download --mtls --ssh --rounds 3
  deno task bench --only stuck --seconds 10`,
    )
    .exitOverride(({ exitCode }) => Deno.exit(exitCode === 0 ? 0 : EXIT_USAGE))
    .allowExcessArguments(false);
  return program.parse(Deno.args, { from: "user" }).opts<Flags>();
}

/** A flag that names a row adds it to those of `--only`, or to the usual ones. */
function chooseRows(
  { only, mtls, pathDelay, idleVisitors, stuck, slowPath }: Flags,
): { rows: ReadonlySet<RowName>; delayMs: number; idleVisitors: number } {
  const rows = new Set<RowName>(only ?? DEFAULT_ROWS);
  if (mtls && only === undefined) rows.add("handshake");
  if (pathDelay !== undefined) rows.add("path-delay");
  if (idleVisitors !== undefined) rows.add("idle-visitors");
  if (stuck) rows.add("stuck");
  if (slowPath) rows.add("slow-path");
  return {
    rows,
    delayMs: typeof pathDelay === "number" ? pathDelay : DEFAULT_DELAY_MS,
    idleVisitors: typeof idleVisitors === "number" ? idleVisitors : DEFAULT_IDLE_VISITORS,
  };
}

function readCount(text: string): number {
  const count = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (count === 0) throw new InvalidArgumentError("Want a whole number from 1 to 999999.");
  return count;
}

function readRows(text: string): RowName[] {
  return text.split(",").map((name) => {
    const row = ROWS.find((known) => known === name);
    if (row === undefined) {
      throw new InvalidArgumentError(`"${name}" is no row; there are ${ROWS.join(", ")}.`);
    }
    return row;
  });
}

function print(
  { figures, leftOut, failures }: BenchReport,
  { machine, flags }: { machine: Machine; flags: Flags },
): void {
  const { cores, cpu, kernel, deno, date, loadBefore } = machine;
  const runs = flags.rounds === 1 ? "one run" : `median of ${flags.rounds} runs`;
  const connector = flags.executable ?? "from source";
  console.log(`\n${cores} cores (${cpu}), ${kernel}, Deno ${deno}, ${date}`);
  console.log(`load average before: ${loadBefore.toFixed(2)}`);
  console.log(
    `${runs} of ${flags.seconds} s, type ${flags.type}, connector ${connector}; loopback`,
  );
  console.log("ratio: to the two-hop relay of this run\n");
  console.log(figures.length === 0 ? "Nothing was measured" : formatTable(figures));
  for (const line of leftOut) console.log(`\nNote: ${line}`);
  for (const failure of failures) console.log(`\nFailed: ${failure}`);
}
