// Finds destinations of the form job.group.task:label with Nomad, for each connection: the allocations in which the task
// runs, the address of its port in each, one of them at random. What was found is kept for a few seconds, so that many
// connections cost few requests.
//
// It registers nothing: Nomad's API can list and remove services, and has no way to add one (docs/nomad.md).

import { type Address, formatAddress, type ResolveDestination } from "../../model/address.ts";
import { ConnectorError } from "../../model/errors.ts";
import type { Host, Integration, SchedulerVariables } from "../integration.ts";
import { isToken } from "../token.ts";
import { addressIn, readTask, runningOnes, type Task, Unreadable } from "./allocations.ts";
import { NomadClient } from "./api_client.ts";

/** Where Nomad is if nothing else is said, as its own programs have it. */
const DEFAULT_ADDRESS = "http://127.0.0.1:4646";
/** How long what was found is used, in milliseconds. */
const FRESH_MS = 5000;
/** How long that nothing was found, or Nomad did not answer, is told without asking again, in milliseconds. */
const FAILED_MS = 1000;
/** How long what was found is used while Nomad does not answer, in milliseconds. */
const STALE_MS = 60_000;
/** The most destinations, and allocations, of which something is kept; the oldest are forgotten first. */
const MAX_KEPT = 1000;
/** The most allocations of a task that are asked about: of more, so many are taken at random each time. */
const MAX_ALLOCATIONS = 64;
/** The most of them at once. */
const CONCURRENCY = 8;

/** Times for tests, in milliseconds. */
export interface NomadTimes {
  freshMs?: number;
  failedMs?: number;
  staleMs?: number;
}

/** What was found for a destination. */
interface Found {
  addresses: readonly Address[];
  at: number;
}

/** What is known of a destination. */
interface Entry {
  found: Found | undefined;
  failed: { error: ConnectorError; at: number } | undefined;
  looking: Promise<readonly Address[]> | undefined;
}

/** Finds destinations with Nomad. */
export class NomadIntegration implements Integration {
  readonly #client: NomadClient;
  readonly #server: string;
  readonly #times: Required<NomadTimes>;
  readonly #entries = new Map<string, Entry>();
  /** Addresses of ports by allocation and label: they never change. */
  readonly #ports = new Map<string, Address | undefined>();
  readonly #ended = new AbortController();
  #looking = new Set<Promise<unknown>>();

  private constructor(
    client: NomadClient,
    { server, times }: { server: string; times: NomadTimes },
  ) {
    this.#client = client;
    this.#server = server;
    this.#times = { freshMs: FRESH_MS, failedMs: FAILED_MS, staleMs: STALE_MS, ...times };
  }

  /**
   * Nothing is asked of Nomad yet.
   *
   * @throws {ConnectorError} when a variable cannot be used.
   */
  static open(
    { variables, times = {} }: { variables: SchedulerVariables; times?: NomadTimes },
  ): NomadIntegration {
    const { NOMAD_ADDR, NOMAD_TOKEN, NOMAD_NAMESPACE, NOMAD_CACERT } = variables;
    const server = readServer(NOMAD_ADDR || DEFAULT_ADDRESS);
    // A file's last line break is often part of a variable.
    const token = NOMAD_TOKEN?.trim() || undefined;
    if (token !== undefined && !isToken(token)) {
      throw new ConnectorError("invalid_argument", "NOMAD_TOKEN has characters that no token has");
    }
    const client = new NomadClient({
      server,
      token,
      namespace: NOMAD_NAMESPACE || undefined,
      caFile: NOMAD_CACERT || undefined,
    });
    return new NomadIntegration(client, { server, times });
  }

  start({ logger }: Host): void {
    logger.info("finding destinations with Nomad", { nomad: this.#server });
  }

  resolverOf(destination: Address): ResolveDestination | undefined {
    const { host, portLabel } = destination;
    const task = portLabel === undefined ? undefined : readTask(host);
    if (portLabel === undefined || task === undefined) return undefined;
    return async (_destination, { signal }) => {
      const addresses = await this.#find(formatAddress(destination), { task, portLabel, signal });
      const address = addresses[Math.floor(Math.random() * addresses.length)];
      if (address === undefined) throw new TypeError("what is found is never empty");
      return address;
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.allSettled(this.#looking);
    this.#client[Symbol.dispose]();
  }

  async #find(
    key: string,
    { task, portLabel, signal }: { task: Task; portLabel: string; signal: AbortSignal },
  ): Promise<readonly Address[]> {
    const entry = this.#entryOf(key);
    const now = performance.now();
    const { found, failed } = entry;
    if (found && now - found.at < this.#times.freshMs) return found.addresses;
    if (failed && now - failed.at < this.#times.failedMs) return this.#orStale(entry, failed.error);
    if (entry.looking === undefined) {
      const looking = this.#look(entry, task, portLabel).finally(() => {
        entry.looking = undefined;
        this.#looking.delete(looking);
      });
      entry.looking = looking;
      this.#looking.add(looking);
      // Whoever waits is told.
      looking.catch(() => {});
    }
    // Others wait for the same: one that leaves must not end it.
    const left = Promise.withResolvers<never>();
    const leave = () =>
      left.reject(new ConnectorError("deadline_exceeded", "Nomad has not answered in time"));
    signal.addEventListener("abort", leave);
    try {
      return await Promise.race([entry.looking, left.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  /** Asks Nomad, and keeps the answer. @throws {ConnectorError} */
  async #look(entry: Entry, task: Task, portLabel: string): Promise<readonly Address[]> {
    try {
      const addresses = await this.#ask(task, portLabel);
      entry.found = { addresses, at: performance.now() };
      entry.failed = undefined;
      return addresses;
    } catch (thrown) {
      const where = `${task.job}.${task.group}.${task.task}:${portLabel}`;
      const error = thrown instanceof Unreadable
        ? new ConnectorError(
          "unavailable",
          `Cannot find ${where}: cannot read Nomad's answer, ${thrown.message}`,
        )
        : ConnectorError.from(thrown, `Cannot find ${where}`);
      entry.failed = { error, at: performance.now() };
      return this.#orStale(entry, error);
    }
  }

  /** What was found before, if Nomad is away; what it has said counts at once. */
  #orStale({ found }: Entry, error: ConnectorError): readonly Address[] {
    const away = ["unavailable", "deadline_exceeded", "resource_exhausted"].includes(error.code);
    if (found && away && performance.now() - found.at < this.#times.staleMs) return found.addresses;
    throw error;
  }

  /** @throws {ConnectorError} `not_found` when the task runs nowhere, or has no such port. */
  async #ask(task: Task, label: string): Promise<Address[]> {
    const { signal } = this.#ended;
    const job = encodeURIComponent(task.job);
    const list = await this.#client.get(`/v1/job/${job}/allocations`, { signal });
    if (list === undefined) {
      throw new ConnectorError("not_found", `Nomad knows no job "${task.job}"`);
    }
    const ids = someOf(runningOnes(list, task), MAX_ALLOCATIONS);
    if (ids.length === 0) {
      throw new ConnectorError("not_found", "no running and healthy allocation has that task");
    }
    const addresses: Address[] = [];
    const failures: unknown[] = [];
    for (let at = 0; at < ids.length; at += CONCURRENCY) {
      const some = ids.slice(at, at + CONCURRENCY);
      const asked = some.map((id) => this.#portOf(id, { task, label, signal }));
      for (const result of await Promise.allSettled(asked)) {
        if (result.status === "rejected") failures.push(result.reason);
        else if (result.value !== undefined) addresses.push(result.value);
      }
    }
    // One that cannot be read takes nothing from the others.
    if (addresses.length > 0) return addresses;
    if (failures.length > 0) throw failures[0];
    throw new ConnectorError("not_found", `the task has no port "${label}"`);
  }

  async #portOf(
    id: string,
    { task, label, signal }: { task: Task; label: string; signal: AbortSignal },
  ): Promise<Address | undefined> {
    const key = `${id} ${task.task} ${label}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const allocation = await this.#client.get(`/v1/allocation/${encodeURIComponent(id)}`, {
      signal,
    });
    const address = allocation === undefined ? undefined : addressIn(allocation, task, label);
    if (address !== undefined) keep(this.#ports, key, address);
    return address;
  }

  #entryOf(key: string): Entry {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const entry: Entry = { found: undefined, failed: undefined, looking: undefined };
    keep(this.#entries, key, entry);
    return entry;
  }
}

/** So many of several, at random if there are more. */
function someOf<Value>(all: readonly Value[], most: number): Value[] {
  const rest = [...all];
  while (rest.length > most) {
    const last = rest.pop();
    const at = Math.floor(Math.random() * (rest.length + 1));
    // Each stays with the same chance.
    if (last !== undefined && at < rest.length) rest[at] = last;
  }
  return rest;
}

/** Keeps something; what was kept first is forgotten once there is too much. */
function keep<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MAX_KEPT && oldest !== undefined) map.delete(oldest);
}

/** @throws {ConnectorError} when it is no URL of HTTP. */
function readServer(text: string): string {
  if (/^https?:\/\/[^/?#\s]+\/?$/.test(text) && URL.canParse(text)) return text.replace(/\/$/, "");
  throw new ConnectorError(
    "invalid_argument",
    `NOMAD_ADDR cannot be "${text.slice(0, 100)}", want http://host:port or https://host:port`,
  );
}
