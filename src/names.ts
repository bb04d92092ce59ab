// Looks up host names for the whole process: destinations, links and addresses to bind. The system answers
// (getaddrinfo), as users expect: hosts files, search domains, VPNs, mDNS. It does so on the runtime's 32 blocking
// threads, which file operations share, and a silent name server blocks a thread for 10 s or more, even after the
// visitor has left. So few names are looked up at once, and names that hang get few of these places. For names that
// wait, DNS queries, which need no thread, find out whether the name server answers.

import { lookup } from "node:dns";
import { isIpv4, isIpv6 } from "./model/address.ts";
import { ConnectorError, reasonOf } from "./model/errors.ts";
import { canonicalIp } from "./model/ip.ts";

/**
 * How long a name server may take, in milliseconds: more than the 5 s after which most systems ask again, or another one, and
 * less, with the wait for a place, than the 10 s that a visitor's destination has.
 */
const ANSWER_MS = 7000;
/** How long a name may wait for a place, in milliseconds. */
const PLACE_MS = 2500;
/** How long an answer is kept, in milliseconds: a thousand visitors a second ask once, and a change shows at once. */
const KEPT_MS = 1000;
/** The same for one that came when nobody waited any more: longer than the 10 s until a link is tried again. */
const LATE_KEPT_MS = 15_000;
/** A failure that took so long, in milliseconds, is that of a silent name server. */
const SILENT_MS = 2000;
/** Addresses of one name that are used: the fourth second is over when the last is tried. RFC 8305 section 5. */
const MAX_ADDRESSES = 16;

/** The blocking threads of the runtime, which files share: its own numbers. */
const THREADS = Deno.build.os === "windows" ? 4 * navigator.hardwareConcurrency : 32;

/**
 * Names that may be looked up at once, as parts of the threads, by how the last look-up of a name went: `atOnce` without further
 * ado, and up to `max` one after each pause, so that many names that begin to hang do not take all places before that is known of
 * them. A quarter is left to files.
 */
const PLACES = {
  /** It had an answer, or its name server answers right now. Nobody else gets the last places. */
  proven: { rank: 2, atOnce: 1 / 2, max: 3 / 4 },
  /** It had none, or was never looked up. */
  unproven: { rank: 1, atOnce: 3 / 8, max: 5 / 8 },
  /** Its name server was silent. */
  doubtful: { rank: 0, atOnce: 1 / 4, max: 1 / 4 },
} as const;
/**
 * What one asker, other than this connector, may have of the most places: a name server of its own may answer for as many names as
 * it likes, until they are looked up.
 */
const ASKER_PART = 3 / 4;
/** That pause, in milliseconds: the places last for 16 s, and a name that waits for one has it in time. */
const PAUSE_MS = 2000;
/** Names that wait for a place. One more, and the oldest waits no longer. */
const MAX_QUEUED = 1000;
/** Of these, names whose name server is being asked whether it answers; each takes two sockets. */
const MAX_PROBES = 16;
/** How long it has for that, in milliseconds: a hundred names have their turn before they have waited too long for a place. */
const PROBE_MS = 250;
/** Names that are remembered, those that wait included: 2 MB if each has as many addresses as are used. */
const MAX_KNOWN = 3000;

/** What RFC 6761 section 6.3 has software answer by itself; IPv6 first, as RFC 6724 sorts them. */
const LOOPBACK: readonly string[] = ["::1", "127.0.0.1"];

/** Who asks on this connector's own behalf. */
const OWN = "";

/** Finds the IP addresses of a name, as the system sorts them. */
export type Resolve = (
  name: string,
  found: (error: Error | null, addresses: { address: string; family: number }[]) => void,
) => void;

/** Whether a name server answers for a name at all, whatever the answer. Never rejects. */
export type Probe = (name: string, signal: AbortSignal) => Promise<boolean>;

/** Is told the addresses of a name, in the order to try them and at least one; or why there are none. */
export type Found = (answer: readonly string[] | ConnectorError) => void;

/** How to ask for a name. */
export interface FindOptions {
  /** An answer that is kept will not do, unless it came too late for whoever has asked. Default: it will. */
  fresh?: boolean;
  /** On whose behalf: those take turns. Default: this connector's own. */
  asker?: string;
}

/** What is known of a name. */
interface Known {
  readonly name: string;
  /** Who waits. */
  readonly waiting: Set<Found>;
  /** On whose behalf it queues, or queued last: whoever has fewest of them counts. */
  readonly askers: Set<string>;
  phase: "idle" | "queued" | "running";
  /** When that began, as of `performance.now()`. */
  since: number;
  /** Whether its name server was asked whether it answers, since it has begun to wait. */
  probed: boolean;
  /** Tells those who wait that they wait no longer. Only while somebody waits. */
  timer: ReturnType<typeof setTimeout> | undefined;
  answer: readonly string[] | ConnectorError | undefined;
  /** Until then the answer holds, as of `performance.now()`. */
  until: number;
  /** Whether the answer came when nobody waited for it any more. */
  late: boolean;
  /** How its last look-up went. */
  standing: keyof typeof PLACES;
}

/** Looks names up: each once at a time, whoever waits for it. */
export class Names {
  readonly #resolve: Resolve;
  readonly #probe: Probe | undefined;
  readonly #threads: number;
  /** Idle ones in the order in which they were looked up. */
  readonly #known = new Map<string, Known>();
  /** Names that wait for a place, the newest last. */
  readonly #queue = new Set<Known>();
  readonly #running = new Set<Known>();
  /** Of those that wait, whose name server is being asked, each with what ends that. */
  readonly #probes = new Map<
    Known,
    { probe: AbortController; timer: ReturnType<typeof setTimeout> }
  >();
  /** When the last of those began that begin only after a pause. */
  #paused = -Infinity;
  #pause: ReturnType<typeof setTimeout> | undefined;

  /** `resolve` asks the system, in one of `threads`; it must call back, however late. Without `probe`, none are asked. */
  constructor(
    { resolve, probe, threads = THREADS }: { resolve: Resolve; probe?: Probe; threads?: number },
  ) {
    this.#resolve = resolve;
    this.#probe = probe;
    this.#threads = threads;
  }

  /** How many names are being looked up, and how many wait for that. */
  get load(): { running: number; queued: number } {
    return { running: this.#running.size, queued: this.#queue.size };
  }

  /**
   * Finds the addresses of a host. An IP address is its own; `localhost` and names below it are this machine's. `found` is
   * called once, at once where the answer is known, unless the function that is returned was called before.
   */
  find(host: string, found: Found, { fresh = false, asker = OWN }: FindOptions = {}): () => void {
    const own = addressesWithoutAsking(host);
    if (own !== undefined) {
      found(own);
      return () => {};
    }
    const known = this.#of(host.toLowerCase());
    const now = performance.now();
    if (known.phase === "idle") {
      if (known.answer !== undefined && now < known.until && (!fresh || known.late)) {
        found(known.answer);
        return () => {};
      }
      this.#enqueue(known, asker);
    } else if (known.phase === "queued") {
      known.askers.add(asker);
    } else if (now >= known.since + ANSWER_MS) {
      found(silence(known.name, now - known.since));
      return () => {};
    }
    // The same function may wait twice.
    const waiter: Found = (answer) => found(answer);
    known.waiting.add(waiter);
    if (known.timer === undefined) this.#arm(known);
    this.#start();
    if (known.phase === "queued") this.#askAhead();
    return () => {
      if (known.waiting.delete(waiter) && known.waiting.size === 0) this.#abandon(known);
    };
  }

  /**
   * The addresses of a host, in the order to try them and at least one.
   *
   * @throws {ConnectorError} `unavailable`, `deadline_exceeded` or `resource_exhausted`, naming the host; `cancelled`.
   */
  addressesOf(
    host: string,
    { signal, ...options }: FindOptions & { signal?: AbortSignal } = {},
  ): Promise<readonly string[]> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new ConnectorError("cancelled", "cancelled"));
      let leave = () => {};
      const onAbort = () => {
        leave();
        reject(new ConnectorError("cancelled", "cancelled"));
      };
      // Before the question: the answer may come at once, and nobody would take it away again.
      signal?.addEventListener("abort", onAbort, { once: true });
      leave = this.find(host, (answer) => {
        signal?.removeEventListener("abort", onAbort);
        if (answer instanceof ConnectorError) reject(answer);
        else resolve(answer);
      }, options);
    });
  }

  #of(name: string): Known {
    const known = this.#known.get(name);
    if (known) return known;
    const made: Known = {
      name,
      waiting: new Set(),
      askers: new Set(),
      phase: "idle",
      since: 0,
      probed: false,
      timer: undefined,
      answer: undefined,
      until: 0,
      late: false,
      standing: "unproven",
    };
    this.#known.set(name, made);
    return made;
  }

  #enqueue(known: Known, asker: string): void {
    known.phase = "queued";
    known.askers.clear();
    known.askers.add(asker);
    known.probed = false;
    known.since = performance.now();
    this.#queue.add(known);
    if (this.#queue.size > MAX_QUEUED) this.#refuse(this.#mostDispensable());
  }

  /** The oldest of whoever has most that wait. */
  #mostDispensable(): Known {
    const counts = countByAsker(this.#queue);
    let [most] = this.#queue;
    for (const each of this.#queue) {
      if (most === undefined || fewest(each, counts) > fewest(most, counts)) most = each;
    }
    if (most === undefined) throw new TypeError("somebody waits");
    return most;
  }

  /**
   * Finds out of names that wait whose name server answers: they need not wait with those that hang. First those of whoever has
   * fewest under way here, then the newest.
   */
  #askAhead(): void {
    if (this.#probe === undefined) return;
    while (this.#probes.size < MAX_PROBES) {
      const counts = countByAsker(this.#probes.keys());
      let next: Known | undefined;
      for (const each of this.#queue) {
        if (each.probed || each.standing === "proven") continue;
        if (next === undefined || fewest(each, counts) <= fewest(next, counts)) next = each;
      }
      if (next === undefined) return;
      void this.#askFor(next, this.#probe);
    }
  }

  async #askFor(known: Known, ask: Probe): Promise<void> {
    const probe = new AbortController();
    const timer = setTimeout(() => {
      this.#endProbe(known);
      this.#askAhead();
    }, PROBE_MS);
    known.probed = true;
    this.#probes.set(known, { probe, timer });
    const answers = await ask(known.name, probe.signal);
    if (this.#probes.get(known)?.probe !== probe) return;
    this.#endProbe(known);
    if (answers) known.standing = "proven";
    this.#start();
    this.#askAhead();
  }

  #endProbe(known: Known): void {
    const { probe, timer } = this.#probes.get(known) ?? {};
    clearTimeout(timer);
    probe?.abort();
    this.#probes.delete(known);
  }

  /** Begins what may begin. */
  #start(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) this.#run(next);
    clearTimeout(this.#pause);
    this.#pause = undefined;
    const counts = countByAsker(this.#running);
    for (const known of this.#queue) {
      if (!this.#mayBeginLate(known, counts)) continue;
      const waitMs = Math.max(0, this.#paused + PAUSE_MS - performance.now());
      this.#pause = setTimeout(() => this.#start(), waitMs);
      return;
    }
  }

  /**
   * Whose turn it is: of those that may begin the best, then those of whoever has fewest under way, then the newest, for whoever
   * waits for that one will wait longest.
   */
  #next(): Known | undefined {
    if (this.#queue.size === 0) return undefined;
    const counts = countByAsker(this.#running);
    const turn = (known: Known) => PLACES[known.standing].rank * 100 - fewest(known, counts);
    let next: Known | undefined;
    for (const each of this.#queue) {
      if (!this.#mayBegin(each, counts)) continue;
      if (next === undefined || turn(each) >= turn(next)) next = each;
    }
    return next;
  }

  #mayBegin(known: Known, counts: ReadonlyMap<string, number>): boolean {
    return this.#mayBeginLate(known, counts) &&
      (this.#running.size < this.#placesOf(known.standing).atOnce ||
        performance.now() >= this.#paused + PAUSE_MS);
  }

  /** Whether it may begin, now or after a pause, if no other does. */
  #mayBeginLate(known: Known, counts: ReadonlyMap<string, number>): boolean {
    const most = this.#placesOf("proven").max;
    return this.#running.size < this.#placesOf(known.standing).max &&
      (known.askers.has(OWN) || fewest(known, counts) < Math.ceil(most * ASKER_PART));
  }

  /** However few threads there are, nobody goes without. */
  #placesOf(standing: Known["standing"]): { atOnce: number; max: number } {
    const { atOnce, max } = PLACES[standing];
    const places = (part: number) => Math.max(1, Math.floor(part * this.#threads));
    return { atOnce: places(atOnce), max: places(max) };
  }

  #run(known: Known): void {
    if (this.#running.size >= this.#placesOf(known.standing).atOnce) {
      this.#paused = performance.now();
    }
    this.#queue.delete(known);
    this.#endProbe(known);
    this.#running.add(known);
    known.phase = "running";
    known.since = performance.now();
    this.#arm(known);
    try {
      this.#resolve(known.name, (error, found) => this.#ended(known, { error, found }));
    } catch (error) {
      // The process may not, or the name is none.
      this.#ended(known, {
        error: error instanceof Error ? error : new Error(String(error)),
        found: [],
      });
    }
  }

  #ended(
    known: Known,
    { error, found }: { error: Error | null; found: { address: string; family: number }[] },
  ): void {
    const now = performance.now();
    const tookMs = now - known.since;
    this.#running.delete(known);
    known.phase = "idle";
    known.answer = error
      ? failure(known.name, { error, tookMs })
      : found.length > 0
      ? alternateFamilies(found)
      : noAddress(known.name);
    const useful = !(known.answer instanceof ConnectorError);
    known.late = useful && tookMs > ANSWER_MS;
    known.until = now + (known.late ? LATE_KEPT_MS : KEPT_MS);
    known.standing = useful ? "proven" : tookMs >= SILENT_MS ? "doubtful" : "unproven";
    // Behind those that were looked up before.
    this.#known.delete(known.name);
    this.#known.set(known.name, known);
    this.#tell(known, known.answer);
    this.#forgetOldest();
    this.#start();
  }

  #tell(known: Known, answer: readonly string[] | ConnectorError): void {
    clearTimeout(known.timer);
    known.timer = undefined;
    const waiting = [...known.waiting];
    known.waiting.clear();
    for (const found of waiting) found(answer);
  }

  /** Sees to it that nobody waits for too long. */
  #arm(known: Known): void {
    clearTimeout(known.timer);
    const limitMs = known.phase === "running" ? ANSWER_MS : PLACE_MS;
    known.timer = setTimeout(() => {
      if (known.phase === "queued") return this.#refuse(known);
      known.standing = "doubtful";
      this.#tell(known, silence(known.name, ANSWER_MS));
    }, Math.max(0, known.since + limitMs - performance.now()));
  }

  /** It gets no place. */
  #refuse(known: Known): void {
    this.#leaveQueue(known);
    // What was wrong with it the last time says more.
    const { answer } = known;
    const reason = answer instanceof ConnectorError && known.standing === "doubtful"
      ? answer
      : new ConnectorError("resource_exhausted", "too many names are being looked up");
    this.#tell(known, reason);
  }

  /** Nobody waits any more. One that is looked up keeps its place: the system cannot be stopped. */
  #abandon(known: Known): void {
    clearTimeout(known.timer);
    known.timer = undefined;
    if (known.phase === "queued") this.#leaveQueue(known);
  }

  #leaveQueue(known: Known): void {
    known.phase = "idle";
    this.#queue.delete(known);
    this.#endProbe(known);
    if (known.answer === undefined) this.#known.delete(known.name);
    if (this.#queue.size > 0) return;
    clearTimeout(this.#pause);
    this.#pause = undefined;
  }

  #forgetOldest(): void {
    if (this.#known.size <= MAX_KNOWN) return;
    for (const [name, { phase }] of this.#known) {
      if (phase !== "idle") continue;
      this.#known.delete(name);
      return;
    }
  }
}

const resolveBySystem: Resolve = (name, found) =>
  lookup(name, { all: true, verbatim: true }, found);

/** Over both families, for the system waits for both. */
const probeByDns: Probe = async (name, signal) => {
  const answers = async (type: "A" | "AAAA") => {
    try {
      await Deno.resolveDns(name, type, { signal });
      return true;
    } catch (error) {
      // There is no such name, or it has no address: that was an answer.
      return error instanceof Deno.errors.NotFound;
    }
  };
  const [a, aaaa] = await Promise.all([answers("A"), answers("AAAA")]);
  return a && aaaa;
};

/** The names of this process. */
export const names = new Names({ resolve: resolveBySystem, probe: probeByDns });

function countByAsker(all: Iterable<Known>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { askers } of all) {
    for (const asker of askers) counts.set(asker, (counts.get(asker) ?? 0) + 1);
  }
  return counts;
}

/** How many names somebody has who asks for this one: whoever has fewest. */
function fewest({ askers }: Known, counts: ReadonlyMap<string, number>): number {
  let least = Infinity;
  for (const asker of askers) least = Math.min(least, counts.get(asker) ?? 0);
  return least;
}

/** The addresses of what is an address, or this machine by name. RFC 6761 section 6.3. */
function addressesWithoutAsking(host: string): readonly string[] | undefined {
  if (isIpv4(host)) return [host];
  if (isIpv6(host)) return [canonicalIp(host)];
  return /(^|\.)localhost\.?$/i.test(host) ? LOOPBACK : undefined;
}

/** The addresses of a name in the order to try them: as the system sorts them, families in turn. RFC 8305 section 4. */
function alternateFamilies(found: { address: string; family: number }[]): string[] {
  const first = found.filter(({ family }) => family === found[0]?.family);
  const other = found.filter(({ family }) => family !== found[0]?.family);
  const order: string[] = [];
  for (let at = 0; order.length < Math.min(found.length, MAX_ADDRESSES); at += 1) {
    for (const each of [first[at], other[at]]) if (each !== undefined) order.push(each.address);
  }
  return order.slice(0, MAX_ADDRESSES);
}

/** What the system says of a name that exists and has no address: EAI_NODATA, which the code does not tell. */
const NO_DATA = -3007;

function failure(
  name: string,
  { error, tookMs }: { error: Error; tookMs: number },
): ConnectorError {
  const { code, errno } = error as Error & { code?: string; errno?: number };
  if (code === "ENOTFOUND") {
    return errno === NO_DATA
      ? noAddress(name, error)
      : new ConnectorError("unavailable", `no such name: "${name}"`, { cause: error });
  }
  if (code !== "EAI_AGAIN") {
    const reason = `the name "${name}" could not be looked up: ${reasonOf(error)}`;
    return new ConnectorError("unavailable", reason, { cause: error });
  }
  if (tookMs >= SILENT_MS) return silence(name, tookMs);
  return new ConnectorError("unavailable", `the name server could not answer for "${name}"`, {
    cause: error,
  });
}

function silence(name: string, tookMs: number): ConnectorError {
  const seconds = Math.round(tookMs / 1000);
  const reason = `the name server did not answer for "${name}" in ${seconds} s`;
  return new ConnectorError("deadline_exceeded", reason);
}

function noAddress(name: string, cause?: Error): ConnectorError {
  return new ConnectorError("unavailable", `"${name}" has no address`, { cause });
}
