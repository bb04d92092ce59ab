// File descriptors: how many the process may have open, and which part of them each kind of stranger may take, so that
// none takes the last ones from the others or from what exists. The runtime lets nobody ask for the limit without the
// right to everything (`/proc` needs it), so files are opened until the system refuses: no more of them than somebody
// wants to know of. A leaf: for whoever accepts or dials connections.

import { closeSync, openSync } from "node:fs";

/**
 * Who takes descriptors: connections at the gRPC port, with links that we open (`peers`); connections at the REST API
 * (`api`); visitors, destinations, and listeners of services (`connections`).
 */
export type DescriptorUse = "peers" | "api" | "connections";

/** Of how many descriptors there are, as far as that is known. */
export interface DescriptorCount {
  count: number;
  /** Whether there are no more. */
  all: boolean;
}

/** Finds out whether there are as many descriptors as wanted, those in use included. */
export type CountDescriptors = (wanted: number) => DescriptorCount;

/**
 * What nobody takes: an idle connector has about 30 open (of the runtime, of stderr, its listeners), and it opens
 * certificates, its state file, and sockets to ask for names.
 */
const RESERVE = { min: 40, max: 128, part: 1 / 8 };
/** The most that peers take: twice the links that a connector holds. */
const MAX_PEERS = { count: 2000, part: 1 / 4 };
/** The most that the REST API takes: far more than the programs and people that use one connector. */
const MAX_API = { count: 256, part: 1 / 8 };
/** So many are tried at least, which the system is quick to give; and then twice as many each time. */
const FIRST_COUNT = 256;
/** How many are counted ahead of need, enough for all peers, a little at a time, and how long lies between, in milliseconds. */
const AHEAD_COUNT = 8192;
const AHEAD_MS = 100;
/** No more are counted: enough for the largest `--max-connections`, 1,000,000. */
const MAX_COUNT = 2 ** 20;
/** How many there are when they cannot be counted: the least that systems give to programs. */
const ASSUMED_COUNT = 1024;
/** Any file that is always there, and can be opened without an effect. */
const ANY_FILE = "/dev/null";

/** The descriptors of a process, and everybody's part of them. */
export class Descriptors {
  readonly #count: CountDescriptors;
  #known: DescriptorCount = { count: 0, all: false };
  #countMore: (() => void) | undefined;

  constructor({ count = countDescriptors }: { count?: CountDescriptors } = {}) {
    this.#count = count;
  }

  /**
   * How many descriptors one use may have at once, all in all: `wanted`, or fewer. Cheap when asked again. The first time
   * for more than ever before stops the process for a moment, some 100 ms for thousands, because the system makes room for
   * that many.
   */
  share(use: DescriptorUse, wanted: number): number {
    // More than its most a use never gets, however many are counted.
    const useful = Math.min(wanted, shareOf(use, MAX_COUNT));
    let share = shareOf(use, this.#known.count);
    if (share < useful && !this.#known.all) {
      let count = Math.max(FIRST_COUNT, 2 * this.#known.count);
      while (shareOf(use, count) < useful) count *= 2;
      this.#known = this.#count(Math.min(count, MAX_COUNT));
      share = shareOf(use, this.#known.count);
    }
    // Tunnelled connections ask for twice as many each time, and most connectors never have that many.
    if (use !== "connections" && 2 * useful > share) this.#countMore?.();
    return Math.min(share, useful);
  }

  /**
   * From now on counts ahead: once peers or the REST API want half of what is known to be theirs, a little more every
   * while, so that nobody waits for it when they want the rest. Not before: to count 8,192 leaves 8 MB behind in the
   * process. Disposing stops it.
   */
  countAhead(): Disposable {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const isEnough = () => this.#known.all || this.#known.count >= AHEAD_COUNT;
    const step = () => {
      timer = undefined;
      if (!isEnough()) this.#known = this.#count(2 * this.#known.count);
      schedule();
    };
    const schedule = () => {
      if (!isEnough()) timer ??= setTimeout(step, AHEAD_MS);
    };
    this.#countMore = schedule;
    return {
      [Symbol.dispose]: () => {
        this.#countMore = undefined;
        clearTimeout(timer);
      },
    };
  }
}

/** Those of this process. */
export const descriptors = new Descriptors();

/** The part of one use, of so many. */
function shareOf(use: DescriptorUse, count: number): number {
  const { min, max, part } = RESERVE;
  const free = Math.max(0, count - Math.min(max, Math.max(min, Math.floor(count * part))));
  const peers = Math.min(MAX_PEERS.count, Math.floor(free * MAX_PEERS.part));
  const api = Math.min(MAX_API.count, Math.floor(free * MAX_API.part));
  return { peers, api, connections: free - peers - api }[use];
}

/** Opens files until there are as many as wanted or no more can be had, and closes them. */
export function countDescriptors(wanted: number): DescriptorCount {
  // Windows has no limit that matters.
  if (Deno.build.os === "windows") return { count: Infinity, all: true };
  const opened: number[] = [];
  let count = 0;
  try {
    // The system gives the lowest number that is free: all below it are in use.
    while (count < wanted) {
      const descriptor = openSync(ANY_FILE, "r");
      opened.push(descriptor);
      count = descriptor + 1;
    }
    return { count, all: false };
  } catch (error) {
    // A system without that file, or one that keeps it from us.
    if (!isExhausted(error)) return { count: ASSUMED_COUNT, all: true };
    return { count, all: true };
  } finally {
    for (const descriptor of opened) closeSync(descriptor);
  }
}

function isExhausted(error: unknown): boolean {
  // The process has no more, or the whole system.
  return error instanceof Error && "code" in error && /^E[MN]FILE$/.test(String(error.code));
}
