// The names, labels and values of all metrics, written by prom-client's registry from collectors of our own: everything is
// read when it is asked for, and nothing is kept here. metrics.ts loads it with the first scrape.
//
// Names and labels are a promise: dashboards and alerts break when they change. Each label is one of a few fixed words, or a
// peer, of which no more than MAX_PEERS are told apart.

import Registry from "prom-client/lib/registry.js";
import type { Histogram } from "../histogram.ts";
import { ANONYMOUS } from "../model/principal.ts";
import type { PeerReport } from "../model/peer_report.ts";
import type { Side } from "../model/service.ts";
import { oneLine } from "./quote.ts";
import type { Connector } from "../tunnel/connector.ts";
import type { WatchedState } from "../watched_files.ts";

/** Peers of each direction that have series of their own; all others share one. */
const MAX_PEERS = 100;
/** What the others are called: no address and no principal is. */
const OTHER_PEERS = "(others)";

/** What numbers are read from. */
export interface MetricSources {
  connector: Pick<
    Connector,
    "counters" | "dials" | "visitorsWaiting" | "policyRefusals" | "peers" | "serviceCounts"
  >;
  /** What runs. */
  build: Readonly<Record<"version" | "commit", string>>;
  /** When each certificate of the connector's own path ends. Default: it has none. */
  certificates?: () => readonly { certificate: string; notAfter: Date }[];
  /** What became of files that may change. Default: there are none. */
  files?: () => readonly WatchedState[];
}

const START_S = (performance.timeOrigin) / 1000;

type Labels = Readonly<Record<string, string>>;

/** A series and its value; `metricName` where that is not the family's. */
interface Value {
  labels: Labels;
  value: number;
  metricName?: string;
}

/** As prom-client's registry takes it. */
interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  values: Value[];
}

/** All numbers, in Prometheus's text format, version 0.0.4. */
export async function metricsText(
  sources: MetricSources,
  { delay }: { delay: Histogram },
): Promise<string> {
  const registry = new Registry();
  for (const family of familiesOf(sources, delay)) {
    registry.registerMetric({ ...family, get: () => Promise.resolve(family) });
  }
  return await registry.metrics();
}

function familiesOf(sources: MetricSources, delay: Histogram): Family[] {
  const { connector, build, certificates = () => [], files = () => [] } = sources;
  const memory = Deno.memoryUsage();
  return [
    gauge("connector_build_info", "The program that runs; always 1.", [
      [{ ...build, runtime: `deno ${Deno.version.deno}` }, 1],
    ]),
    ...linkFamilies(connector.peers()),
    ...serviceFamilies(connector.serviceCounts()),
    ...connectionFamilies(connector),
    gauge(
      "connector_certificate_expiry_timestamp_seconds",
      "When a certificate of this connector's own chain ends.",
      earliestEnds(certificates()),
    ),
    ...fileFamilies(files()),
    histogram(
      "connector_event_loop_delay_seconds",
      "How long the program's only thread kept what was due waiting, looked at 20 times a second.",
      [[{}, delay]],
    ),
    gauge("process_start_time_seconds", "When the process began, since 1970.", [[{}, START_S]]),
    gauge("process_resident_memory_bytes", "Memory of the process.", [[{}, memory.rss]]),
    gauge("connector_memory_bytes", "Memory that JavaScript has taken, by what it is for.", [
      [{ kind: "heap_used" }, memory.heapUsed],
      [{ kind: "heap_total" }, memory.heapTotal],
      [{ kind: "external" }, memory.external],
    ]),
  ];
}

function linkFamilies(peers: readonly PeerReport[]): Family[] {
  const named = nameOf(peers);
  const outbound = named.filter(({ direction }) => direction === "outbound");
  return [
    gauge(
      "connector_links",
      "Links to peers: up, leaving (no new connections), resuming (lost, and connections wait for the next one), or down (a peer that is dialled has none that is up).",
      named.flatMap(({ direction, peer, up, leaving, resuming, down }): [Labels, number][] => [
        [{ direction, peer, state: "up" }, up],
        [{ direction, peer, state: "leaving" }, leaving],
        [{ direction, peer, state: "resuming" }, resuming],
        ...(direction === "outbound"
          ? [[{ direction, peer, state: "down" }, down] as [Labels, number]]
          : []),
      ]),
    ),
    counter(
      "connector_link_reconnects_total",
      "Links to a peer that is dialled that were opened after the first one, also those over which connections went on.",
      outbound.map(({ peer, reconnects }) => [{ peer }, reconnects]),
    ),
    gauge(
      "connector_link_round_trip_seconds",
      "Round trip to a peer without a queue; absent for peers of the reference dialect.",
      named.flatMap(({ direction, peer, roundTripMs }): [Labels, number][] =>
        roundTripMs === undefined ? [] : [[{ direction, peer }, roundTripMs / 1000]]
      ),
    ),
    gauge("connector_connections_resuming", "Connections that wait because their link is lost.", [
      [{}, peers.reduce((sum, { resumingConnections }) => sum + resumingConnections, 0)],
    ]),
    gauge("connector_held_bytes", "Bytes in memory that wait for slow readers, of all links.", [
      [{}, peers.reduce((sum, { heldBytes }) => sum + heldBytes, 0)],
    ]),
  ];
}

/** What is told of a peer, or of several that have one name. */
interface NamedPeer
  extends Omit<PeerReport, "peer" | "heldBytes" | "dialect" | "since" | "resumingConnections"> {
  peer: string;
  /** How many of them are dialled and have no link that is up. */
  down: number;
}

/**
 * Peers by name: as they are dialled, or who they have proven to be. The address of one that has dialled us is not used: its
 * port is another one each time.
 */
function nameOf(peers: readonly PeerReport[]): NamedPeer[] {
  const found = { outbound: new Map<string, NamedPeer>(), inbound: new Map<string, NamedPeer>() };
  for (const { peer: { address, principal }, ...report } of peers) {
    const { direction, up, leaving, resuming, reconnects, roundTripMs } = report;
    const known = found[direction];
    const own = oneLine(
      direction === "outbound" ? address : principal?.displayName ?? ANONYMOUS,
    );
    const peer = known.has(own) || known.size < MAX_PEERS ? own : OTHER_PEERS;
    const down = direction === "outbound" && up === 0 ? 1 : 0;
    const same = known.get(peer);
    if (same === undefined) {
      known.set(peer, { direction, peer, up, leaving, resuming, down, reconnects, roundTripMs });
      continue;
    }
    same.up += up;
    same.leaving += leaving;
    same.resuming += resuming;
    same.down += down;
    same.reconnects += reconnects;
    // The worst of them is what somebody looks for.
    const trips = [same.roundTripMs, roundTripMs].filter((each) => each !== undefined);
    same.roundTripMs = trips.length === 0 ? undefined : Math.max(...trips);
  }
  return [...found.outbound.values(), ...found.inbound.values()];
}

function serviceFamilies(
  counts: ReturnType<MetricSources["connector"]["serviceCounts"]>,
): Family[] {
  const { registrations, ...origins } = counts;
  const values = Object.entries(origins).flatMap(([origin, statuses]) =>
    Object.entries(statuses).map(([status, count]): [Labels, number] => [{ origin, status }, count])
  );
  return [
    gauge(
      "connector_services",
      "Services that were exposed here (own) or by peers (peer), by status.",
      values,
    ),
    gauge(
      "connector_registrations",
      "Services that listen here, by where they stand with the scheduler of --integration.",
      Object.entries(registrations).map(([state, count]) => [{ state }, count]),
    ),
  ];
}

function connectionFamilies(
  { counters, dials, visitorsWaiting, policyRefusals }: MetricSources["connector"],
): Family[] {
  // The sides are these two.
  const sides = Object.entries(counters) as [Side, typeof counters[Side]][];
  const ofSides = (value: (of: typeof counters[Side]) => number) =>
    sides.map(([side, of]): [Labels, number] => [{ side }, value(of)]);
  return [
    gauge("connector_connections_open", "Connections that are open.", ofSides(({ open }) => open)),
    counter(
      "connector_connections_total",
      "Connections so far, those that were refused too.",
      ofSides(({ total }) => total),
    ),
    counter(
      "connector_connections_failed_total",
      "Of those, the ones that did not end in order, refused ones too.",
      ofSides(({ failed }) => failed),
    ),
    counter(
      "connector_connections_refused_total",
      "Of those, the ones that were never carried, by why.",
      sides.flatMap(([side, { refused }]) =>
        Object.entries(refused).map(([reason, count]): [Labels, number] => [
          { side, reason },
          count,
        ])
      ),
    ),
    counter(
      "connector_connections_resumed_total",
      "How often connections went on over another link after theirs was lost.",
      ofSides(({ resumed }) => resumed),
    ),
    counter(
      "connector_connections_not_resumed_total",
      "Connections that failed because their link was lost and not replaced.",
      ofSides(({ notResumed }) => notResumed),
    ),
    counter(
      "connector_transferred_bytes_total",
      "Bytes of connections: in from visitors to destinations, out from destinations to visitors.",
      sides.flatMap(([side, { bytesIn, bytesOut }]): [Labels, number][] => [
        [{ side, direction: "in" }, bytesIn],
        [{ side, direction: "out" }, bytesOut],
      ]),
    ),
    histogram(
      "connector_connection_duration_seconds",
      "How long connections were open that have ended.",
      sides.map(([side, { durations }]) => [{ side }, durations]),
    ),
    histogram(
      "connector_dial_duration_seconds",
      "How long it took to connect to destinations, looking up their names included.",
      Object.entries(dials).map(([outcome, times]) => [{ outcome }, times]),
    ),
    gauge("connector_visitors_waiting", "Visitors that wait for a link to return.", [
      [{}, visitorsWaiting],
    ]),
    counter(
      "connector_policy_refusals_total",
      "What the policy has refused: services, connections, or addresses to dial.",
      Object.entries(policyRefusals).map(([action, count]) => [{ action }, count]),
    ),
  ];
}

/** One of each kind: of several intermediates the first to end. */
function earliestEnds(
  certificates: readonly { certificate: string; notAfter: Date }[],
): [Labels, number][] {
  const ends = new Map<string, number>();
  for (const { certificate, notAfter } of certificates) {
    const end = notAfter.getTime() / 1000;
    ends.set(certificate, Math.min(end, ends.get(certificate) ?? Infinity));
  }
  return [...ends].map(([certificate, end]) => [{ certificate }, end]);
}

function fileFamilies(files: ReturnType<NonNullable<MetricSources["files"]>>): Family[] {
  return [
    gauge(
      "connector_config_last_reload_successful",
      "Whether files are in use as they are on disk (1), or those before them (0).",
      files.map(({ name, current }) => [{ files: name }, current ? 1 : 0]),
    ),
    gauge(
      "connector_config_last_reload_success_timestamp_seconds",
      "When the files in use were read.",
      files.map(({ name, loadedAt }) => [{ files: name }, loadedAt.getTime() / 1000]),
    ),
    counter(
      "connector_config_reloads_total",
      "How often files were read again, by whether they were taken into use.",
      files.flatMap(({ name, reloads }) =>
        Object.entries(reloads).map(([result, count]): [Labels, number] => [
          { files: name, result },
          count,
        ])
      ),
    ),
  ];
}

type Series = readonly (readonly [labels: Labels, value: number])[];

function gauge(name: string, help: string, series: Series): Family {
  return { name, help, type: "gauge", values: valuesOf(series) };
}

function counter(name: string, help: string, series: Series): Family {
  return { name, help, type: "counter", values: valuesOf(series) };
}

function valuesOf(series: Series): Value[] {
  return series.map(([labels, value]) => ({ labels, value }));
}

function histogram(
  name: string,
  help: string,
  series: readonly (readonly [labels: Labels, of: Histogram])[],
): Family {
  const values = series.flatMap(([labels, of]): Value[] => {
    const { count, cumulative } = of;
    const buckets = of.bounds.map((bound, index) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: String(bound) },
      value: cumulative[index] ?? 0,
    }));
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { ...labels, le: "+Inf" }, value: count },
      { metricName: `${name}_sum`, labels, value: of.sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  });
  return { name, help, type: "histogram", values };
}
