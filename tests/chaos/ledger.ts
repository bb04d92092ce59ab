// What a chaos run has counted so far: how transfers ended at either end, bytes, faults, recoveries, memory, and
// everything that was wrong. report.ts turns it into text.

import { describeEnd, type End, judge, type Outcome } from "./ends.ts";
import type { FaultKind, VisitKind } from "./plan.ts";
import { Counts, Samples } from "./statistics.ts";

/** Problems that are kept in words; all are counted. */
const MAX_PROBLEMS = 100;

/** How an end of a transfer is recorded. */
export interface Seen {
  /** Of whoever says nothing an upstream hears no kind. */
  kind: VisitKind | "unheard";
  /** The visitor's number; undefined when it is not known. */
  id: number | undefined;
  /** The service, and the pair that it belongs to. */
  service: string;
  end: End;
  /** Whether the connector at this end was killed meanwhile. */
  killed: boolean;
}

/** The book of one run. */
export class Ledger {
  /** Visits by kind and outcome. */
  readonly visits = new Counts();
  /** Connections of upstreams by kind and outcome. */
  readonly upstreams = new Counts();
  /** Verified bytes, `up` and `down`, by the kind of visit. */
  readonly bytes = new Counts();
  /** Times until everything worked again, in milliseconds, by kind of fault. */
  readonly recoveries = new Samples();
  /** Resident memory in bytes, by process. */
  readonly memory = new Samples();
  /** Lines about what was wrong. */
  readonly problems: string[] = [];
  readonly #started = performance.now();
  readonly #onLine: (line: string) => void;
  #problemCount = 0;
  #closed = false;

  /** `onLine` is told what happens, as it happens. */
  constructor(onLine: (line: string) => void = () => {}) {
    this.#onLine = onLine;
  }

  /** Seconds since the start. */
  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** How many things were wrong. */
  get problemCount(): number {
    return this.#problemCount;
  }

  /** A visitor's end. Returns what was made of it. */
  visited(seen: Seen): Outcome {
    return this.#see("visitor", this.visits, seen);
  }

  /** An upstream's end. */
  served(seen: Seen): void {
    this.#see("upstream", this.upstreams, seen);
  }

  /** Everything works again after a fault. */
  recovered(pair: string, kind: FaultKind, ms: number): void {
    this.recoveries.add(kind, ms);
    this.say(`${pair}: ${kind}: works again after ${(ms / 1000).toFixed(2)} s`);
  }

  /** Something was wrong. */
  problem(what: string): void {
    if (this.#closed) return;
    this.#problemCount += 1;
    const line = `at ${this.seconds.toFixed(1)} s: ${what}`;
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(line);
    this.#onLine(`PROBLEM ${line}`);
  }

  /** What goes wrong from now on is of no interest: the run was interrupted. */
  close(): void {
    this.#closed = true;
  }

  /** Something to be shown to who watches. */
  say(what: string): void {
    this.#onLine(`${this.seconds.toFixed(1).padStart(7)} s  ${what}`);
  }

  #see(side: string, counts: Counts, { kind, id, service, end, killed }: Seen): Outcome {
    const outcome = judge(end, { killed });
    counts.add(kind, outcome);
    if (outcome === "WRONG") {
      this.problem(`${side} of visit ${id ?? "?"} (${kind}) of ${service}: ${describeEnd(end)}`);
    }
    return outcome;
  }
}
