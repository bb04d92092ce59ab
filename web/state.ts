// What the page knows of the connector: a value, and how each message of `GET /events` changes it. Pure.

import type { ServiceJson } from "../src/api/answers.ts";
import type {
  AboutJson,
  Change,
  LinkJson,
  LiveMessages,
  Sample,
  Snapshot,
} from "../src/api/live_messages.ts";

/** Samples that are kept, of the connector and of each service: five minutes. */
export const MAX_SAMPLES = 300;
/** Samples further apart, in milliseconds, have a gap between them: nothing is known of what was meanwhile. */
const GAP_MS = 5000;

/** Bytes that a service had carried at a time. */
export interface Carried {
  at: number;
  bytes_in: number;
  bytes_out: number;
}

export interface State {
  about: AboutJson;
  links: readonly LinkJson[];
  /** By id, in the order in which they became known. */
  services: ReadonlyMap<string, ServiceJson>;
  samples: readonly Sample[];
  /** What each service had carried, whenever that had changed. */
  carried: ReadonlyMap<string, readonly Carried[]>;
}

/** The state after a message; undefined before the first snapshot. `now` is in milliseconds since 1970, of the connector. */
export function apply<Name extends keyof LiveMessages>(
  state: State | undefined,
  [name, message]: readonly [Name, LiveMessages[Name]],
): State | undefined {
  // The name says what the message is.
  if (name === "snapshot") return fromSnapshot(message as Snapshot);
  if (state === undefined) return undefined;
  if (name === "change") return changed(state, message as Change);
  if (name === "sample") {
    return { ...state, samples: [...state.samples, message as Sample].slice(-MAX_SAMPLES) };
  }
  return state;
}

/** The connector's own clock, as far as it is known: the page's may be another one. */
export function clockOf(state: State): number {
  return state.samples.at(-1)?.at ?? Date.now();
}

/** What services had carried is not known for the time before: what is missing would look as if carried at once. */
function fromSnapshot({ about, links, services, samples }: Snapshot): State {
  const byId = new Map(services.map((each) => [each.id, each]));
  const state = { about, links, services: byId, samples, carried: new Map() };
  return { ...state, carried: recorded(state, services) };
}

function changed(state: State, change: Change): State {
  const { about = state.about, links = state.links, services: some = [], removed = [] } = change;
  const services = new Map(state.services);
  for (const each of some) services.set(each.id, each);
  for (const id of removed) services.delete(id);
  const carried = new Map(recorded(state, some));
  for (const id of removed) carried.delete(id);
  return { ...state, about, links, services, carried };
}

/** What services have carried, with what is true of some of them now. */
function recorded(state: State, services: readonly ServiceJson[]): State["carried"] {
  const carried = new Map(state.carried);
  const at = clockOf(state);
  for (const { id, connections: { bytes_in, bytes_out } } of services) {
    const before = state.carried.get(id) ?? [];
    const last = before.at(-1);
    if (last?.bytes_in === bytes_in && last.bytes_out === bytes_out) continue;
    carried.set(id, [...before, { at, bytes_in, bytes_out }].slice(-MAX_SAMPLES));
  }
  return carried;
}

/** Rates for a chart: seconds since 1970, and bytes a second each way; null where nothing is known. */
export interface Rates {
  at: number[];
  in: (number | null)[];
  out: (number | null)[];
}

/** The rates between samples, in time. */
export function ratesOf(samples: readonly Carried[]): Rates {
  const rates: Rates = { at: [], in: [], out: [] };
  for (const [index, sample] of samples.entries()) {
    const before = samples[index - 1];
    if (before === undefined || sample.at <= before.at) continue;
    const ms = sample.at - before.at;
    // Counters begin anew with the connector.
    const known = ms <= GAP_MS && sample.bytes_in >= before.bytes_in &&
      sample.bytes_out >= before.bytes_out;
    rates.at.push(sample.at / 1000);
    rates.in.push(known ? (sample.bytes_in - before.bytes_in) / ms * 1000 : null);
    rates.out.push(known ? (sample.bytes_out - before.bytes_out) / ms * 1000 : null);
  }
  return rates;
}

/** The rates of a service at the times of the connector's samples: between two changes it has carried nothing. */
export function ratesOfService(state: State, id: string): Rates {
  const points = state.carried.get(id) ?? [];
  const first = points[0];
  if (first === undefined) return { at: [], in: [], out: [] };
  let next = 0;
  const samples: Carried[] = [];
  for (const { at } of state.samples) {
    // A change is told after the sample of its second.
    while (next < points.length && (points[next]?.at ?? Infinity) <= at) next += 1;
    const point = points[next - 1];
    if (point !== undefined) samples.push({ ...point, at });
  }
  return ratesOf(samples);
}

/** How many services there are of each status. */
export function countStatuses(
  services: Iterable<ServiceJson>,
): Record<ServiceJson["status"], number> {
  const counts = { COMPLETE: 0, PENDING: 0, ERROR: 0 };
  for (const { status } of services) counts[status] += 1;
  return counts;
}
