// A chaos run: pairs of connectors in plaintext and mTLS, visitors that move bytes that can be verified, and faults. It
// ends by itself, releases everything, and resolves with what it counted. main.ts and tests/endurance drive it.

import * as path from "node:path";
import { delay } from "../../src/delay.ts";
import { makePki, pemOf, writeTls } from "../support/mtls.ts";
import { tempFolder } from "../support/mtls.ts";
import { type Baseline, remains, takeBaseline } from "./checks.ts";
import { complaint } from "./disturbance.ts";
import { inflict } from "./faults.ts";
import { Ledger } from "./ledger.ts";
import { openDescriptors, residentBytes } from "./measure.ts";
import { ChaosPair } from "./pair.ts";
import { faults, LONGEST_FAULT_MS, planVisit } from "./plan.ts";
import { deriveSeed, Rng } from "./random.ts";
import type { RunFacts } from "./report.ts";
import { visit } from "./visit.ts";

/** How to run. */
export interface RunOptions {
  /** For how long there are faults and new visitors, in minutes. */
  minutes: number;
  seed: number;
  /** Visitors at once. */
  visitors: number;
  /** Default: 20 s. */
  longestFaultMs?: number;
  /** Only the path fails, and nobody may be interrupted or refused for it. */
  linksOnly?: boolean;
  /** Told what happens. */
  onLine?: (line: string) => void;
  /** Ends the run early: nothing is waited for or checked any more. */
  signal?: AbortSignal;
}

/** What a run came to. */
export interface RunResult {
  ledger: Ledger;
  facts: RunFacts;
}

/** Between two samples of memory, in milliseconds; a short run has ten. */
const SAMPLE_MS = 10_000;
/** The longest pause of a visitor between two visits, in milliseconds. */
const MAX_REST_MS = 400;
/** Parts of the seed: what is derived with them differs. */
const FAULTS = 10;
const VISITORS = 11;

/** Runs to the end, or until the signal is aborted. */
export async function runChaos(options: RunOptions): Promise<RunResult> {
  const { minutes, seed, visitors, signal = new AbortController().signal } = options;
  const { linksOnly = false } = options;
  const ledger = new Ledger(options.onLine);
  signal.addEventListener("abort", () => ledger.close(), { once: true });
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await tempFolder());
  const pairs = await startPairs({ seed, ledger, folder: folder.path, stack, linksOnly });
  const baseline = await takeBaseline(pairs);
  ledger.say("every service works; the chaos begins");

  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), minutes * 60_000);
  const ended = AbortSignal.any([signal, over.signal]);
  const sampleMs = Math.min(SAMPLE_MS, minutes * 6000);
  const sampling = sampleMemory(pairs, { ledger, signal: ended, everyMs: sampleMs });
  const visiting = sendVisitors(pairs, {
    seed,
    ledger,
    count: visitors,
    linksOnly,
    ended,
    signal,
  });
  const failing = pairs.map((pair, index) =>
    sendFaults(pair, {
      rng: new Rng(deriveSeed(seed, FAULTS, index)),
      longestMs: options.longestFaultMs ?? LONGEST_FAULT_MS,
      linksOnly,
      ledger,
      ended,
      signal,
      giveUp: () => over.abort(),
    })
  );
  await Promise.all([sampling, visiting, ...failing]);
  clearTimeout(timer);
  const after = signal.aborted ? baseline : await settle(pairs, { ledger, baseline, signal });
  await stack.disposeAsync();
  const descriptors = [...baseline].map(([name, before]) =>
    [name, before, after.get(name) ?? 0] satisfies RunFacts["descriptors"][number]
  );
  return { ledger, facts: { seed, minutes, descriptors } };
}

async function startPairs(
  { seed, ledger, folder, stack, linksOnly }: {
    seed: number;
    ledger: Ledger;
    folder: string;
    stack: AsyncDisposableStack;
    linksOnly: boolean;
  },
): Promise<ChaosPair[]> {
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(path.join(folder, "tls"), pemOf(root, leaf));
  const tls = { flags, root: root.certificate };
  // Who comes while there is no link waits for as long as open connections do.
  const common = { seed, ledger, folder, flags: linksOnly ? ["--takeover-grace=60s"] : [] };
  const started = await Promise.allSettled([
    ChaosPair.start({ ...common, name: "plain" }),
    ChaosPair.start({ ...common, name: "mTLS", tls }),
  ]);
  const pairs = started.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
  for (const pair of pairs) stack.use(pair);
  for (const each of started) if (each.status === "rejected") throw each.reason;
  return pairs;
}

/** Visitors one after another, so many at once. */
async function sendVisitors(
  pairs: readonly ChaosPair[],
  { seed, ledger, count, linksOnly, ended, signal }: {
    seed: number;
    ledger: Ledger;
    count: number;
    linksOnly: boolean;
    ended: AbortSignal;
    signal: AbortSignal;
  },
): Promise<void> {
  const services = pairs.flatMap((pair) => pair.services.map((service) => ({ pair, service })));
  let next = 0;
  await Promise.all(Array.from({ length: count }, async (_, index) => {
    const rng = new Rng(deriveSeed(seed, VISITORS, index));
    while (!ended.aborted) {
      const { pair, service } = rng.pick(services);
      const { serverFirst, port, name } = service;
      const ingress = service.type === "local" ? "acceptor" : "dialler";
      const plan = planVisit(seed, { id: next++, serverFirst });
      const began = performance.now();
      const { end, down } = await visit(plan, { port, seed, signal });
      const { kind, id } = plan;
      if (!signal.aborted) {
        const killed = pair[ingress].killedSince(began);
        const outcome = ledger.visited({ kind, id, service: name, end, killed });
        ledger.bytes.add(kind, "down", down);
        const wrong = complaint({ kind, outcome }, {
          disturbed: !linksOnly && pair.disturbances.since(began),
          mayRefuse: !linksOnly && pair.disturbances.mayRefuseSince(began, ingress),
        });
        if (wrong) ledger.problem(`visit ${id} (${kind}) of ${name}: ${wrong}`);
      }
      await delay(rng.int(0, MAX_REST_MS), { signal: ended });
    }
  }));
}

/** Faults of a pair one after another, each followed by its recovery. */
async function sendFaults(
  pair: ChaosPair,
  { rng, longestMs, linksOnly, ledger, ended, signal, giveUp }: {
    rng: Rng;
    longestMs: number;
    linksOnly: boolean;
    ledger: Ledger;
    ended: AbortSignal;
    signal: AbortSignal;
    giveUp: () => void;
  },
): Promise<void> {
  for (const fault of faults(rng, { longestMs, linksOnly })) {
    await delay(fault.pauseMs, { signal: ended });
    if (ended.aborted) return;
    const { kind, lastsMs, meanwhileDelayMs } = fault;
    try {
      const slow = meanwhileDelayMs > 0 ? `, ${meanwhileDelayMs} ms slow` : "";
      ledger.say(`${pair.name}: ${kind} (${(lastsMs / 1000).toFixed(1)} s${slow})`);
      pair.disturbances.begin(fault, performance.now());
      const healthyAt = await inflict(fault, pair, ended);
      await pair.works(signal);
      pair.disturbances.end(performance.now());
      if (!signal.aborted) ledger.recovered(pair.name, kind, performance.now() - healthyAt);
    } catch (error) {
      const tails = pair.connectors.map((each) => `${each.name} logged last:\n${each.logTail()}`);
      ledger.problem(`after ${kind}: ${error}\n${tails.join("\n")}`);
      return giveUp();
    }
  }
}

async function sampleMemory(
  pairs: readonly ChaosPair[],
  { ledger, signal, everyMs }: { ledger: Ledger; signal: AbortSignal; everyMs: number },
): Promise<void> {
  while (!signal.aborted) {
    for (const { name, pid } of pairs.flatMap(({ connectors }) => connectors)) {
      const bytes = pid === undefined ? undefined : await residentBytes(pid);
      if (bytes !== undefined) ledger.memory.add(name, bytes);
    }
    await delay(everyMs, { signal });
  }
}

/** Waits until nothing is left of the chaos, and notes what is. Resolves with the descriptors then. */
async function settle(
  pairs: readonly ChaosPair[],
  { ledger, baseline, signal }: { ledger: Ledger; baseline: Baseline; signal: AbortSignal },
): Promise<Baseline> {
  ledger.say("the chaos is over; what is left of it?");
  if (ledger.problemCount === 0) await Promise.all(pairs.map((pair) => pair.works(signal)));
  for (const each of await remains(pairs, baseline)) ledger.problem(`at the end: ${each}`);
  const after = new Map<string, number>();
  for (const { name, pid } of pairs.flatMap(({ connectors }) => connectors)) {
    if (pid !== undefined) after.set(name, await openDescriptors(pid) ?? 0);
  }
  return after;
}
