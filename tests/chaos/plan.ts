// What happens in a chaos run, as plain values: which fault comes next, and what a visitor does. Pure: the same seed
// makes the same plan. faults.ts and visit.ts carry it out.

import { deriveSeed, Rng } from "./random.ts";

/** What can happen to a pair of connectors. */
export const FAULT_KINDS = [
  "cut", // every connection of the path ends
  "flap", // the same again and again
  "halve", // it ends for the dialler only
  "swallow", // the path takes everything and passes nothing on
  "throttle", // few bytes a second
  "delay", // each byte takes long
  "refuse", // the path is cut and takes no connections
  "kill dialler", // SIGKILL, and a start on the same ports
  "kill acceptor",
  "kill both",
  "drain dialler", // SIGTERM, and a start on the same ports
  "drain acceptor",
  "expose anew", // a service is removed and exposed again under a new id
  "expose anew, silent", // the same while the path swallows
] as const;
export type FaultKind = typeof FAULT_KINDS[number];

/** Of these, the ones of the path alone: connections outlive them. */
export const LINK_FAULT_KINDS = [
  "cut",
  "flap",
  "halve",
  "swallow",
  "throttle",
  "delay",
  "refuse",
] as const satisfies readonly FaultKind[];

/** One fault, and the pause before it. */
export interface Fault {
  kind: FaultKind;
  /** Between the recovery from the last one and this one, in milliseconds. */
  pauseMs: number;
  /** How long it lasts, in milliseconds; for a process, until it is started again. */
  lastsMs: number;
  /** Of a throttled path, in bytes a second and direction. */
  bytesPerSecond: number;
  /** Of a delayed path, in milliseconds. */
  delayMs: number;
  /** So long each byte takes while anything else happens, in milliseconds: more is under way then. Often 0. */
  meanwhileDelayMs: number;
  /** Between two cuts of a path that flaps, in milliseconds, and how many there are. */
  flaps: number[];
  /** Which service, counted from 0 and round again, and at which connector it is removed. */
  service: number;
  removedAt: "dialler" | "acceptor";
}

/** The longest that a fault lasts by default, in milliseconds. */
export const LONGEST_FAULT_MS = 20_000;

/** A link that has lived so long, in milliseconds, is opened again at once when it is lost. */
const SETTLED_MS = 11_000;

/**
 * The faults of one pair, without end: every kind once, in any order, then every kind again. `linksOnly`: those of the path
 * alone, most of them short, one soon after another.
 */
export function* faults(
  rng: Rng,
  { longestMs = LONGEST_FAULT_MS, linksOnly = false }: {
    longestMs?: number;
    linksOnly?: boolean;
  } = {},
): Generator<Fault, never> {
  const pauseMs = () => {
    if (linksOnly) return rng.int(20, 600);
    return rng.chance(0.5)
      ? Math.min(SETTLED_MS, longestMs)
      : rng.int(500, Math.min(4000, longestMs));
  };
  const lastsMs = () =>
    linksOnly && rng.chance(0.9)
      ? rng.logInt(10, Math.min(600, longestMs))
      : rng.logInt(50, longestMs);
  for (;;) {
    for (const kind of rng.shuffle(linksOnly ? LINK_FAULT_KINDS : FAULT_KINDS)) {
      yield {
        kind,
        pauseMs: pauseMs(),
        lastsMs: lastsMs(),
        bytesPerSecond: rng.logInt(256 * 1024, 8 * 1024 * 1024),
        delayMs: rng.logInt(5, 500),
        meanwhileDelayMs: rng.chance(0.4) ? rng.logInt(2, 300) : 0,
        flaps: Array.from({ length: rng.int(2, 8) }, () => rng.logInt(1, 1500)),
        service: rng.int(0, 1000),
        removedAt: rng.pick(["dialler", "acceptor"]),
      };
    }
  }
}

/** What a visitor can do. Upstreams of "server first" speak before they are spoken to. */
export const VISIT_KINDS = [
  "both ways", // sends and reads at the same time, and finishes
  "half-close", // sends everything, finishes, and then reads
  "server first", // reads everything, then sends
  "visitor resets", // in the middle
  "upstream resets", // in the middle
  "leaves", // sends some, goes silent, and closes
  "mute", // connects, says nothing, and finishes
  "probe", // a short "both ways" after a fault
] as const;
export type VisitKind = typeof VISIT_KINDS[number];

/** What one visitor does. */
export interface VisitPlan {
  id: number;
  kind: VisitKind;
  /** Of what is sent up, and how much, in bytes. */
  up: Stream;
  /** Of what is sent down; a digest follows it, unless the server comes first. */
  down: Stream;
  /** Whoever resets does so after so many bytes up. */
  resetAfter: number;
  /** How long it is silent, in milliseconds. */
  silentMs: number;
  /** Between two chunks, at most, in milliseconds: some visitors are slow. */
  paceMs: number;
}

/** Bytes that can be verified anywhere: see bytes.ts. */
export interface Stream {
  seed: number;
  length: number;
}

/** The largest transfer, in bytes. */
const MAX_LENGTH = 4 * 1024 * 1024;
/** The largest transfer of a slow visitor, in bytes: it should end within a minute. */
const MAX_SLOW_LENGTH = 512 * 1024;
/** Half of all streams are at least so long, in bytes: they take a while, and fill windows. */
const LONG = 64 * 1024;
/** Ids from here on are those of probes. */
export const FIRST_PROBE_ID = 2 ** 31;
/** Parts of a seed: what is derived with them differs. */
const VISIT = 1;
const GREETING = 2;

/** What the visitor with this id does, at a service whose server does or does not come first. */
export function planVisit(
  seed: number,
  { id, serverFirst }: { id: number; serverFirst: boolean },
): VisitPlan {
  const rng = new Rng(deriveSeed(seed, VISIT, id));
  const kind = kindOf(rng, { id, serverFirst });
  const slow = kind !== "probe" && rng.chance(0.3);
  const longest = kind === "probe" ? 4096 : slow ? MAX_SLOW_LENGTH : MAX_LENGTH;
  const up = streamOf(rng, longest);
  return {
    id,
    kind,
    up,
    down: streamOf(rng, longest),
    resetAfter: rng.int(0, up.length),
    silentMs: rng.logInt(10, 5000),
    paceMs: slow ? rng.int(1, 40) : 0,
  };
}

/** What a server that comes first says to its so-many-th visitor. */
export function planGreeting(seed: number, id: number): Stream {
  return streamOf(new Rng(deriveSeed(seed, GREETING, id)), MAX_SLOW_LENGTH);
}

function kindOf(rng: Rng, { id, serverFirst }: { id: number; serverFirst: boolean }): VisitKind {
  if (serverFirst) return "server first";
  if (id >= FIRST_PROBE_ID) return "probe";
  return rng.pick([
    ...["both ways", "both ways", "both ways", "half-close", "half-close"] as const,
    ...["visitor resets", "upstream resets", "leaves", "mute"] as const,
  ]);
}

function streamOf(rng: Rng, longest: number): Stream {
  const shortest = rng.chance(0.5) ? 1 : Math.min(LONG, longest);
  return {
    seed: rng.int(0, 2 ** 31),
    length: rng.chance(0.05) ? 0 : rng.logInt(shortest, longest),
  };
}
