// The numbers of a connector as Prometheus reads them: which there are before anything has happened, and that neither peers
// nor what they say make labels grow.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { EventLoopDelay } from "../../src/api/event_loop_delay.ts";
import { Metrics } from "../../src/api/metrics.ts";
import { type MetricSources, metricsText } from "../../src/api/metrics_text.ts";
import { Histogram } from "../../src/histogram.ts";
import { REFUSAL_CODES } from "../../src/model/events.ts";
import type { PeerReport } from "../../src/model/peer_report.ts";
import { newCounters, newDialTimes } from "../../src/tunnel/counters.ts";
import { seriesOf } from "../support/metrics.ts";
import { until } from "../support/world.ts";

const NOTHING = { pending: 0, complete: 0, error: 0 };

/** The sources of a connector that has just begun, with these peers. */
function sources(
  { peers = [], ...others }: { peers?: PeerReport[] } & Partial<MetricSources> = {},
): MetricSources {
  return {
    connector: {
      counters: newCounters(),
      dials: newDialTimes(),
      visitorsWaiting: 0,
      policyRefusals: { expose: 0, connect: 0, dial: 0 },
      serviceCounts: () => ({
        own: { ...NOTHING },
        peer: { ...NOTHING },
        registrations: { registered: 0, pending: 0, refused: 0, moved: 0 },
      }),
      peers: () => peers,
    },
    build: { version: "1.2.3", commit: "abc" },
    ...others,
  };
}

async function series(given: MetricSources): Promise<Map<string, number>> {
  return seriesOf(await metricsText(given, { delay: new Histogram([0.1, 1]) }));
}

function peer(number: number, of: Partial<PeerReport> = {}): PeerReport {
  return {
    direction: "outbound",
    peer: { address: `server${number}:9090` },
    up: 1,
    leaving: 0,
    resuming: 0,
    resumingConnections: 0,
    dialect: "native",
    since: new Date(0),
    reconnects: 0,
    roundTripMs: 5,
    heldBytes: 10,
    ...of,
  };
}

Deno.test("every number that has fixed labels is there from the start, and zero", async () => {
  const found = await series(sources());
  for (const side of ["ingress", "egress"]) {
    strictEqual(found.get(`connector_connections_open{side="${side}"}`), 0);
    strictEqual(found.get(`connector_connections_total{side="${side}"}`), 0);
    strictEqual(found.get(`connector_connections_failed_total{side="${side}"}`), 0);
    strictEqual(found.get(`connector_connections_resumed_total{side="${side}"}`), 0);
    strictEqual(found.get(`connector_connections_not_resumed_total{side="${side}"}`), 0);
    for (const reason of REFUSAL_CODES) {
      const name = `connector_connections_refused_total{side="${side}",reason="${reason}"}`;
      strictEqual(found.get(name), 0, name);
    }
    for (const direction of ["in", "out"]) {
      const name = `connector_transferred_bytes_total{side="${side}",direction="${direction}"}`;
      strictEqual(found.get(name), 0, name);
    }
    strictEqual(found.get(`connector_connection_duration_seconds_count{side="${side}"}`), 0);
  }
  for (const outcome of ["connected", "failed"]) {
    strictEqual(found.get(`connector_dial_duration_seconds_count{outcome="${outcome}"}`), 0);
  }
  for (const origin of ["own", "peer"]) {
    for (const status of ["pending", "complete", "error"]) {
      strictEqual(found.get(`connector_services{origin="${origin}",status="${status}"}`), 0);
    }
  }
  for (const state of ["registered", "pending", "refused", "moved"]) {
    strictEqual(found.get(`connector_registrations{state="${state}"}`), 0);
  }
  for (const action of ["expose", "connect", "dial"]) {
    strictEqual(found.get(`connector_policy_refusals_total{action="${action}"}`), 0);
  }
  strictEqual(found.get("connector_visitors_waiting"), 0);
  strictEqual(found.get("connector_held_bytes"), 0);
  strictEqual(found.get("connector_connections_resuming"), 0);
  strictEqual(found.get("connector_event_loop_delay_seconds_count"), 0);
  ok((found.get("process_resident_memory_bytes") ?? 0) > 1e6);
  const start = found.get("process_start_time_seconds") ?? 0;
  ok(start > Date.now() / 1000 - 86_400 && start <= Date.now() / 1000, String(start));
  const build = [...found.keys()].find((name) => name.startsWith("connector_build_info"));
  match(build ?? "", /\{version="1\.2\.3",commit="abc",runtime="deno [\d.]+"\}/);
});

Deno.test("a peer that is dialled is told by its address, one that has dialled us by who it is", async () => {
  const found = await series(sources({
    peers: [
      peer(1, { up: 0, roundTripMs: undefined, reconnects: 3 }),
      peer(2, { direction: "inbound", peer: { address: "10.0.0.1:50001" } }),
      peer(3, { direction: "inbound", peer: { address: "10.0.0.1:50002" }, roundTripMs: 70 }),
    ],
  }));
  strictEqual(found.get(`connector_links{direction="outbound",peer="server1:9090",state="up"}`), 0);
  strictEqual(
    found.get(`connector_links{direction="outbound",peer="server1:9090",state="down"}`),
    1,
  );
  strictEqual(found.get(`connector_links{direction="inbound",peer="anonymous",state="up"}`), 2);
  strictEqual(
    found.get(`connector_link_round_trip_seconds{direction="inbound",peer="anonymous"}`),
    0.07,
  );
  strictEqual(found.get(`connector_link_reconnects_total{peer="server1:9090"}`), 3);
  strictEqual(found.get("connector_held_bytes"), 30);
  ok(![...found.keys()].some((name) => name.includes("5000")), "no port of a peer is a label");
  ok(!found.has(`connector_link_round_trip_seconds{direction="outbound",peer="server1:9090"}`));
});

Deno.test("a link that is lost and waited for is neither up nor leaving, and its connections are counted", async () => {
  const lost = { up: 0, resuming: 1, resumingConnections: 20, roundTripMs: undefined };
  const found = await series(sources({
    peers: [
      peer(1, lost),
      peer(2, { ...lost, direction: "inbound" }),
      peer(3, { direction: "inbound", up: 1, resuming: 1, resumingConnections: 3 }),
    ],
  }));
  const links = (direction: string, peer: string) =>
    ["up", "leaving", "resuming", "down"].map((state) =>
      found.get(`connector_links{direction="${direction}",peer="${peer}",state="${state}"}`)
    );
  deepStrictEqual(links("outbound", "server1:9090"), [0, 0, 1, 1]);
  deepStrictEqual(links("inbound", "anonymous"), [1, 0, 2, undefined]);
  strictEqual(found.get("connector_connections_resuming"), 43);
});

Deno.test("however many peers there are, labels are bounded, and none is left out", async () => {
  const peers = Array.from({ length: 1000 }, (_, number) => peer(number, { reconnects: 1 }));
  const found = await series(sources({ peers }));
  const links = [...found].filter(([name]) => /^connector_links.*state="up"/.test(name));
  strictEqual(links.length, 101);
  strictEqual(links.reduce((sum, [, value]) => sum + value, 0), 1000);
  strictEqual(found.get(`connector_link_reconnects_total{peer="(others)"}`), 900);
});

Deno.test("what a peer is called cannot end its line", async () => {
  const hostile = `x"} 1\nfake_metric 1\r\u202e\\`;
  const text = await metricsText(sources({ peers: [peer(1, { peer: { address: hostile } })] }), {
    delay: new Histogram([]),
  });
  ok(!/^fake_metric/m.test(text), text);
  ok(!text.includes("\u202e"));
});

Deno.test("of several intermediates the first to end counts, and files say whether they are in use", async () => {
  const at = (seconds: number) => new Date(seconds * 1000);
  const found = await series(sources({
    certificates: () => [
      { certificate: "leaf", notAfter: at(1000) },
      { certificate: "intermediate", notAfter: at(3000) },
      { certificate: "intermediate", notAfter: at(2000) },
    ],
    files: () => [
      {
        name: "certificates",
        current: false,
        loadedAt: at(50),
        reloads: { used: 2, refused: 1 },
      },
    ],
  }));
  const expiry = "connector_certificate_expiry_timestamp_seconds";
  strictEqual(found.get(`${expiry}{certificate="leaf"}`), 1000);
  strictEqual(found.get(`${expiry}{certificate="intermediate"}`), 2000);
  const files = `{files="certificates"}`;
  strictEqual(found.get(`connector_config_last_reload_successful${files}`), 0);
  strictEqual(found.get(`connector_config_last_reload_success_timestamp_seconds${files}`), 50);
  const reloads = "connector_config_reloads_total";
  strictEqual(found.get(`${reloads}{files="certificates",result="used"}`), 2);
  strictEqual(found.get(`${reloads}{files="certificates",result="refused"}`), 1);
});

Deno.test("a histogram counts a value in the first bucket whose bound is not below it", () => {
  const histogram = new Histogram([1, 2.5]);
  for (const value of [0, 1, 1.1, 2.5, 2.6, 1000]) histogram.observe(value);
  deepStrictEqual(histogram.cumulative, [2, 4]);
  strictEqual(histogram.count, 6);
  strictEqual(histogram.sum, 1007.2);
});

Deno.test("a thread that was kept busy shows in the delay of the event loop", async () => {
  using delay = new EventLoopDelay();
  delay.start();
  await until(() => delay.histogram.count > 0, "it has looked");
  const { sum } = delay.histogram;
  const end = performance.now() + 300;
  while (performance.now() < end);
  await until(() => delay.histogram.sum - sum >= 0.2, "it has seen the block");
  const below = delay.histogram.cumulative[delay.histogram.bounds.indexOf(0.1)] ?? NaN;
  // Those who would have come during the block had to wait, too.
  ok(delay.histogram.count - below >= 2, `${delay.histogram.count} looks, ${below} short`);
});

Deno.test("everybody who asks at the same time gets one answer, made after that", async () => {
  let made = 0;
  const given = sources();
  using metrics = new Metrics({
    ...given,
    connector: { ...given.connector, peers: () => (made += 1, []) },
  });
  const texts = await Promise.all(
    Array.from({ length: 50 }, async () => await (await metrics.response()).text()),
  );
  ok(made <= 2, `${made} were made`);
  ok(texts.every((text) => text.endsWith("\n")));
});

Deno.test("docs/metrics.md has a row for each metric, with its type and labels, and none besides", async () => {
  const text = await metricsText(
    sources({
      peers: [peer(1)],
      certificates: () => [{ certificate: "leaf", notAfter: new Date() }],
      files: () => [
        {
          name: "certificates",
          current: true,
          loadedAt: new Date(),
          reloads: { used: 0, refused: 0 },
        },
      ],
    }),
    { delay: new Histogram([1]) },
  );
  const families = [...text.matchAll(/^# TYPE (\S+) (\S+)\n(.*)$/gm)].map(
    ([, name = "", type = "", first = ""]) => {
      const labels = [...first.matchAll(/[{,](\w+)="/g)].map(([, label]) => label);
      return [name, type, labels.filter((label) => label !== "le").join(", ")].join(" | ");
    },
  );
  const docs = await Deno.readTextFile(new URL("../../docs/metrics.md", import.meta.url));
  const rows = [...docs.matchAll(/^\| `((?:connector|process)_\w+)` +\| (\w+) +\| ([^|]*?) *\|/gm)];
  deepStrictEqual(rows.map(([, ...cells]) => cells.join(" | ")).sort(), families.sort());
});
