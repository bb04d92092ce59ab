// What a connector is, as `GET /events` tells it: everything once, then what changes. It looks at the connector once a second,
// and soon after an event, for as long as somebody reads, and tells all readers the same. Events only say that it is time
// to look: none that is lost leaves a reader with something that is not so. dashboard.ts loads it for the first reader.

import { delay } from "../delay.ts";
import { plainJson } from "../plain_text.ts";
import type { EventKind, Subscription } from "../model/events.ts";
import type { PeerReport } from "../model/peer_report.ts";
import type { ConnectionReport } from "../model/service.ts";
import type { Connector } from "../tunnel/connector.ts";
import type { WatchedState } from "../watched_files.ts";
import type { ConfigJson } from "./answers.ts";
import type {
  AboutJson,
  Change,
  ConnectionJson,
  Detail,
  LinkJson,
  Sample,
} from "./live_messages.ts";
import { eventText, LiveReader } from "./live_reader.ts";
import { oneLine } from "./quote.ts";
import { peerToJson, serviceToJson } from "./schemas.ts";
import { Turns } from "./turns.ts";

/** How often numbers are told, in milliseconds. */
const SAMPLE_MS = 1000;
/** Samples that are kept: five minutes. */
const MAX_SAMPLES = 300;
/** The shortest rest between two looks, in milliseconds: several events of one moment are one change. */
const MIN_REST_MS = 200;
/** The rest after a look, as a multiple of the time that it took: with 10,000 services it is seconds. */
const REST_FACTOR = 20;
/** Services, or links, that are put into words in one turn of the event loop: about a millisecond. */
const REPORTS_PER_TURN = 200;
/** How long numbers are kept up when nobody reads any more, in milliseconds: readers come back, and see no gap. */
const LINGER_MS = SAMPLE_MS * MAX_SAMPLES;
/** How long one reader may read, in milliseconds: it asks again then, and shows again who it is. */
const MAX_READING_MS = 3_600_000;
/** Connections of a service that are told of. */
const MAX_CONNECTIONS = 100;
/** Links that are told of. */
const MAX_LINKS = 1000;
/** Events that wait to be noticed: one is as good as many. */
const CAPACITY = 1;
/** Not those of connections, which would have to be made for each: they are looked at once a second anyway. */
const KINDS = ["service", "link"] as const satisfies EventKind[];

/** What is told. */
export interface LiveSources {
  connector: Pick<Connector, "events" | "list" | "peers" | "counters" | "connectionsOf">;
  version: string;
  /** Which options are in force; undefined where nobody has said. */
  config: (() => ConfigJson) | undefined;
  problem: () => string | undefined;
  notes: () => readonly string[];
  certificates: () => readonly { certificate: string; label: string; notAfter: Date }[];
  files: () => readonly WatchedState[];
}

/** How somebody reads. */
export interface ReadOptions {
  signal: AbortSignal;
  /** Whether it may still read; asked before each message. */
  admitted: () => boolean;
  /** The service whose connections are told of, and nothing else. Default: everything else is. */
  serviceId?: string | undefined;
}

/** What is told of one connector. Disposing ends every reader. */
export class LiveState implements Disposable {
  readonly #sources: LiveSources;
  readonly #readers = new Set<LiveReader>();
  readonly #turns = new Turns();
  /** The JSON of each service, by id, as readers know it. */
  readonly #services = new Map<string, string>();
  #links = "[]";
  #about = "{}";
  #samples: string[] = [];
  /** Everything, as one message, until something changes. */
  #snapshot: Uint8Array | undefined;
  /** The look for the first of several readers, after which there is something to tell; undefined when that is over. */
  #catchingUp: Promise<void> | undefined;
  #subscription: Subscription | undefined;
  #sampling: ReturnType<typeof setInterval> | undefined;
  #lookDue: ReturnType<typeof setTimeout> | undefined;
  #isLooking = false;
  #restedAt = 0;
  /** When the last reader left, as of `performance.now()`. */
  #leftAt = 0;
  readonly #disposed = new AbortController();

  constructor(sources: LiveSources) {
    this.#sources = sources;
  }

  /** How many read. */
  get readerCount(): number {
    return this.#readers.size;
  }

  /** Everything, and then what changes, as server-sent events. */
  async *read({ signal, admitted, serviceId }: ReadOptions): AsyncGenerator<Uint8Array> {
    using reader = new LiveReader({
      serviceId,
      admitted,
      everything: () => serviceId === undefined ? this.#everything() : this.#detailOf(serviceId),
    });
    const isAlone = this.#readers.size === 0;
    this.#readers.add(reader);
    const end = () => reader.close();
    signal.addEventListener("abort", end);
    const timer = setTimeout(end, MAX_READING_MS);
    try {
      if (signal.aborted || this.#disposed.signal.aborted) return;
      this.#start();
      // While nobody reads, nobody looks.
      if (isAlone) this.#catchingUp ??= this.#catchUp();
      await this.#catchingUp;
      for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
        yield next;
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      this.#readers.delete(reader);
      this.#leftAt = performance.now();
    }
  }

  [Symbol.dispose](): void {
    this.#disposed.abort();
    for (const reader of this.#readers) reader.close();
    this.#stop();
  }

  #start(): void {
    if (this.#sampling !== undefined) return;
    this.#sampling = setInterval(() => this.#sample(), SAMPLE_MS);
    const options = { kinds: KINDS, capacity: CAPACITY };
    this.#subscription = this.#sources.connector.events.subscribe(
      "dashboard",
      options,
      () => this.#lookSoon(),
    );
    this.#sample();
  }

  #stop(): void {
    clearInterval(this.#sampling);
    clearTimeout(this.#lookDue);
    this.#sampling = undefined;
    this.#lookDue = undefined;
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = undefined;
    this.#services.clear();
    this.#samples = [];
    this.#snapshot = undefined;
  }

  #sample(): void {
    if (this.#readers.size === 0 && performance.now() - this.#leftAt > LINGER_MS) {
      return this.#stop();
    }
    const { ingress, egress } = this.#sources.connector.counters;
    const sample: Sample = {
      at: Date.now(),
      open: ingress.open + egress.open,
      total: ingress.total + egress.total,
      failed: ingress.failed + egress.failed,
      bytes_in: ingress.bytesIn + egress.bytesIn,
      bytes_out: ingress.bytesOut + egress.bytesOut,
    };
    const json = JSON.stringify(sample);
    this.#samples.push(json);
    if (this.#samples.length > MAX_SAMPLES) this.#samples.shift();
    this.#snapshot = undefined;
    if (this.#readers.size === 0) return;
    this.#tell(eventText("sample", json));
    for (const reader of this.#readers) {
      if (reader.serviceId !== undefined) reader.offer(this.#detailOf(reader.serviceId));
    }
    this.#lookSoon();
  }

  /** Looks as soon as the former look has been rested from. */
  #lookSoon(): void {
    if (this.#lookDue !== undefined || this.#isLooking || this.#readers.size === 0) return;
    const restMs = Math.max(0, this.#restedAt - performance.now());
    this.#lookDue = setTimeout(() => {
      this.#lookDue = undefined;
      // Whoever was alone may have begun to look.
      if (!this.#isLooking) void this.#look();
    }, restMs);
  }

  /** However often readers come and go, looking takes no more than its part of the processor. */
  async #catchUp(): Promise<void> {
    const restMs = this.#restedAt - performance.now();
    if (restMs > 0) await delay(restMs, { signal: this.#disposed.signal });
    await this.#look();
    this.#catchingUp = undefined;
  }

  /** Finds what has changed and tells it. In several turns of the event loop, so that it keeps no tunnel waiting. */
  async #look(): Promise<void> {
    this.#isLooking = true;
    let workMs = 0;
    let start = performance.now();
    const rest = async () => {
      workMs += performance.now() - start;
      await this.#turns.take();
      start = performance.now();
    };
    const about = toJson(aboutOf(this.#sources));
    const peers = this.#sources.connector.peers().slice(0, MAX_LINKS);
    const linkParts: string[] = [];
    for (const [index, report] of peers.entries()) {
      if (index > 0 && index % REPORTS_PER_TURN === 0) await rest();
      linkParts.push(toJson(linkToJson(report)));
    }
    const links = `[${linkParts.join(",")}]`;
    const change: Partial<Record<keyof Change, string>> = {
      ...(about !== this.#about && { about }),
      ...(links !== this.#links && { links }),
    };
    this.#about = about;
    this.#links = links;
    const reports = this.#sources.connector.list();
    const gone = new Set(this.#services.keys());
    const changed: string[] = [];
    for (const [index, report] of reports.entries()) {
      if (index > 0 && index % REPORTS_PER_TURN === 0) await rest();
      const json = toJson(serviceToJson(report));
      gone.delete(report.id);
      if (this.#services.get(report.id) === json) continue;
      this.#services.set(report.id, json);
      changed.push(json);
    }
    for (const id of gone) this.#services.delete(id);
    if (changed.length > 0) change.services = `[${changed.join(",")}]`;
    if (gone.size > 0) change.removed = JSON.stringify([...gone]);
    workMs += performance.now() - start;
    this.#restedAt = performance.now() + Math.max(MIN_REST_MS, REST_FACTOR * workMs);
    this.#isLooking = false;
    // It may have been stopped meanwhile.
    if (this.#sampling === undefined) return this.#services.clear();
    const parts = Object.entries(change);
    if (parts.length === 0) return;
    this.#snapshot = undefined;
    this.#tell(
      eventText("change", `{${parts.map(([key, json]) => `"${key}":${json}`).join(",")}}`),
    );
  }

  #everything(): Uint8Array {
    return this.#snapshot ??= encoder.encode(eventText(
      "snapshot",
      `{"about":${this.#about},"links":${this.#links},` +
        `"services":[${[...this.#services.values()].join(",")}],` +
        `"samples":[${this.#samples.join(",")}]}`,
    ));
  }

  #tell(text: string): void {
    const message = encoder.encode(text);
    for (const reader of this.#readers) {
      if (reader.serviceId === undefined) reader.offer(message);
    }
  }

  #detailOf(id: string): Uint8Array {
    const { connections, more } = this.#sources.connector.connectionsOf(id, MAX_CONNECTIONS);
    const detail: Detail = { id, connections: connections.map(connectionToJson), more };
    return encoder.encode(eventText("detail", toJson(detail)));
  }
}

const encoder = new TextEncoder();

function toJson(value: unknown): string {
  return plainJson(JSON.stringify(value));
}

function connectionToJson({ visitor, remote, since }: ConnectionReport): ConnectionJson {
  return {
    visitor: oneLine(visitor),
    ...(remote !== undefined && { remote: oneLine(remote) }),
    since: since.toISOString(),
  };
}

function linkToJson(report: PeerReport): LinkJson {
  const { direction, peer, up, resuming, leaving, dialect, since, reconnects, roundTripMs } =
    report;
  return {
    direction,
    state: up > 0 ? "up" : resuming > 0 ? "resuming" : leaving > 0 ? "leaving" : "down",
    peer: peerToJson(peer),
    ...(dialect !== undefined && { dialect }),
    // A little more or less is no change that each reader is to be told of every second.
    ...(roundTripMs !== undefined && { round_trip_ms: Number(roundTripMs.toPrecision(2)) }),
    ...(since !== undefined && { since: since.toISOString() }),
    reconnects,
    held_bytes: report.heldBytes,
  };
}

function aboutOf(sources: LiveSources): AboutJson {
  const problem = sources.problem();
  return {
    version: sources.version,
    started: new Date(performance.timeOrigin).toISOString(),
    notes: sources.notes().map(oneLine),
    ...(problem !== undefined && { problem: oneLine(problem) }),
    certificates: sources.certificates().map(({ certificate, label, notAfter }) => ({
      certificate,
      label: oneLine(label),
      not_after: notAfter.toISOString(),
    })),
    files: sources.files().map(({ name, loadedAt, current }) => ({
      name,
      loaded_at: loadedAt.toISOString(),
      current,
    })),
    ...(sources.config && { config: sources.config() }),
  };
}
