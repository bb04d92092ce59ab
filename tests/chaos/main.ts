// `deno task chaos`: reads the options, runs the chaos, prints the report. Ctrl-C ends every process that it started.

import { Command, InvalidArgumentError } from "commander";
import { formatReport } from "./report.ts";
import { runChaos } from "./run.ts";

/** Exit code when something was wrong. */
const EXIT_PROBLEMS = 1;
const EXIT_USAGE = 2;
/** The exit code that shells expect of a program ended by SIGINT. */
const EXIT_INTERRUPTED = 130;
/** A day: a mistyped number should not run for years. */
const MAX_MINUTES = 24 * 60;

interface Flags {
  minutes: number;
  seed: number;
  visitors: number;
  linksOnly: boolean;
}

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const { minutes, seed, visitors, linksOnly } = readFlags();
  const repeat = `deno task chaos --minutes ${minutes} --seed ${seed} --visitors ${visitors}` +
    (linksOnly ? " --links-only" : "");
  console.log(`${repeat}\n`);
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  const { ledger, facts } = await runChaos({
    minutes,
    seed,
    visitors,
    linksOnly,
    onLine: (line) => console.log(line),
    signal: interrupt.signal,
  });
  if (interrupt.signal.aborted) {
    console.log("\nInterrupted: what follows is what was counted so far");
  }
  console.log(`\n${formatReport(ledger, facts)}`);
  if (ledger.problemCount > 0) console.log(`\nTo repeat it: ${repeat}`);
  if (interrupt.signal.aborted) return EXIT_INTERRUPTED;
  return ledger.problemCount === 0 ? 0 : EXIT_PROBLEMS;
}

function readFlags(): Flags {
  const program = new Command("chaos")
    .description(
      "Lets visitors move bytes through connectors while everything fails, and verifies every byte.",
    )
    .option("--minutes <n>", "how long there are faults", number({ above: 0, to: MAX_MINUTES }), 5)
    .option(
      "--seed <n>",
      "which faults and visitors (default: a new one)",
      number({ above: -1, to: 2 ** 32 - 1 }),
    )
    .option("--visitors <n>", "visitors at once", number({ above: 0, to: 1000 }), 24)
    .option("--links-only", "only links fail, and no connection may be interrupted for it")
    .exitOverride();
  try {
    const flags = program.parse(Deno.args, { from: "user" }).opts<Partial<Flags>>();
    return {
      minutes: 5,
      visitors: 24,
      linksOnly: false,
      seed: Math.floor(Math.random() * 1e6),
      ...flags,
    };
  } catch (error) {
    // Commander has printed what was wrong, or the help.
    const asked = error instanceof Error && "exitCode" in error && error.exitCode === 0;
    Deno.exit(asked ? 0 : EXIT_USAGE);
  }
}

function number({ above, to }: { above: number; to: number }): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value > above && value <= to) return value;
    throw new InvalidArgumentError(`It must be a number above ${above} and at most ${to}.`);
  };
}
