// When a pair was disturbed, and how: what visitors may meet depends on it. Without a fault nobody is interrupted; and a
// port refuses only when who listens is away itself, or its peer for so long that the port is given up. Pure.

import type { Outcome } from "./ends.ts";
import type { Fault, FaultKind, VisitKind } from "./plan.ts";

/** A peer that is away for longer may find its ports closed, in milliseconds: half of the time that they are kept. */
const LONG_MS = 5000;
/** What a fault does to a connection may show so long after it, in milliseconds. */
const SLACK_MS = 2000;

/** A time at which something was wrong; `to` is undefined while it is. */
interface Period {
  from: number;
  to: number | undefined;
  kind: FaultKind;
  long: boolean;
}

/** The faults of one pair, the last ones first to be asked about. Times are those of `performance.now()`. */
export class Disturbances {
  /** One at a time. */
  readonly #periods: Period[] = [];

  /** A fault begins. */
  begin({ kind, lastsMs }: Pick<Fault, "kind" | "lastsMs">, now: number): void {
    this.#periods.push({ from: now, to: undefined, kind, long: lastsMs > LONG_MS });
  }

  /** Everything works again. */
  end(now: number): void {
    const period = this.#periods.at(-1);
    if (period) period.to ??= now;
    // What takes longer may be excused, if it comes to that.
    if (this.#periods.length > 100) this.#periods.shift();
  }

  /** Whether there was a fault at that time or later. */
  since(time: number): boolean {
    return this.#periodsSince(time).length > 0;
  }

  /** Whether the port of a service may have refused since then; `ingress` is who listens. */
  mayRefuseSince(time: number, ingress: "dialler" | "acceptor"): boolean {
    return this.#periodsSince(time).some(({ kind, long }) =>
      (long && ingress === "acceptor") || kind === "flap" || kind === "kill both" ||
      kind.endsWith(ingress) || kind.startsWith("expose anew")
    );
  }

  #periodsSince(time: number): Period[] {
    return this.#periods.filter(({ to }) => to === undefined || to >= time - SLACK_MS);
  }
}

/** Kinds of visits that end in order when nothing is in their way. */
const ORDERLY: readonly VisitKind[] = ["both ways", "half-close", "server first", "mute"];

/** What a visit met that it must not, in words; undefined when all is well. */
export function complaint(
  { kind, outcome }: { kind: VisitKind; outcome: Outcome },
  { disturbed, mayRefuse }: { disturbed: boolean; mayRefuse: boolean },
): string | undefined {
  if (outcome === "refused" && !mayRefuse) return "refused, though its port was kept";
  if (outcome === "interrupted" && !disturbed && ORDERLY.includes(kind)) {
    return "interrupted, though nothing was in its way";
  }
  return undefined;
}
