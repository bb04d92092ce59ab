// The numbers and the access log of two connectors that carry connections: where they are served, to whom, and that they
// say what has happened.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { Metrics } from "../../src/api/metrics.ts";
import { createMetricsApp } from "../../src/api/metrics_app.ts";
import { AccessLines } from "../support/access_lines.ts";
import { seriesOf } from "../support/metrics.ts";
import {
  echo,
  exposeThrough,
  freePort,
  roundTrip,
  serveTcp,
  startConnector,
  startPair,
  type TestConnector,
  turnsAway,
  until,
} from "../support/world.ts";

function metricsOf({ connector }: TestConnector): Metrics {
  return new Metrics({ connector, build: { version: "1", commit: "" } });
}

async function read(metrics: Metrics): Promise<Map<string, number>> {
  return seriesOf(await (await metrics.response()).text());
}

Deno.test("what was carried, refused and dialled is in the numbers of both sides", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  using local = metricsOf(pair.local);
  using remote = metricsOf(pair.remote);
  const { port } = await exposeThrough(pair, { type: "local", destination: server.port });
  const gone = await exposeThrough(pair, { type: "local", destination: freePort() });
  await roundTrip(port, { length: 1000 });
  await turnsAway(gone.port);
  const egress = pair.local.connector.counters.egress;
  await until(() => egress.total === 2 && egress.open === 0, "both have ended");
  await until(() => egress.durations.count === 1, "the one that was carried is counted");
  const found = await read(local);
  const peer = pair.remote.address;
  strictEqual(found.get(`connector_links{direction="outbound",peer="${peer}",state="up"}`), 1);
  strictEqual(found.get(`connector_services{origin="own",status="complete"}`), 2);
  strictEqual(found.get(`connector_connections_total{side="egress"}`), 2);
  strictEqual(found.get(`connector_connections_failed_total{side="egress"}`), 1);
  const refused = `connector_connections_refused_total{side="egress",reason="unreachable"}`;
  strictEqual(found.get(refused), 1);
  const transferred = "connector_transferred_bytes_total";
  strictEqual(found.get(`${transferred}{side="egress",direction="in"}`), 1000);
  strictEqual(found.get(`${transferred}{side="egress",direction="out"}`), 1000);
  strictEqual(found.get(`connector_connection_duration_seconds_count{side="egress"}`), 1);
  strictEqual(found.get(`connector_dial_duration_seconds_count{outcome="connected"}`), 1);
  strictEqual(found.get(`connector_dial_duration_seconds_count{outcome="failed"}`), 1);
  ok((found.get(`connector_dial_duration_seconds_sum{outcome="connected"}`) ?? 0) > 0);
  const there = await read(remote);
  strictEqual(there.get(`connector_links{direction="inbound",peer="anonymous",state="up"}`), 1);
  strictEqual(there.get(`connector_services{origin="peer",status="complete"}`), 2);
  strictEqual(there.get(`connector_connections_total{side="ingress"}`), 2);
});

Deno.test("services are counted by where they stand with the scheduler", async () => {
  await using pair = await startPair();
  using metrics = metricsOf(pair.remote);
  const registered = `connector_registrations{state="registered"}`;
  await exposeThrough(pair, { type: "local", destination: freePort() });
  strictEqual((await read(metrics)).get(registered), 0);
  for (const { id } of pair.remote.connector.list()) {
    const registration = { scheduler: "kubernetes", name: "web", state: "registered" } as const;
    pair.remote.connector.register(id, registration);
  }
  strictEqual((await read(metrics)).get(registered), 1);
});

Deno.test("the round trip of a native link is measured once a ping was answered", async () => {
  await using pair = await startPair();
  await exposeThrough(pair, { type: "local", destination: freePort() });
  await until(
    () => pair.local.connector.peers().some(({ roundTripMs = 0 }) => roundTripMs > 0),
    "it is measured",
  );
});

Deno.test("the port for metrics has nothing else, and web pages do not get them", async () => {
  await using pair = await startPair();
  using metrics = metricsOf(pair.local);
  const { fetch } = createMetricsApp({ metrics, allowedHosts: ["prom.example"] });
  const client = {
    address: "127.0.0.1",
    localAddress: "127.0.0.1",
    localPort: 9099,
  };
  const ask = (path: string, { method = "GET", ...headers }: Record<string, string> = {}) =>
    fetch(new Request(`http://localhost:9099${path}`, { method, headers }), client);
  const answer = await ask("/metrics");
  strictEqual(answer.status, 200);
  strictEqual(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  strictEqual(answer.headers.get("x-content-type-options"), "nosniff");
  strictEqual((await ask("/list")).status, 404);
  strictEqual((await ask("/expose", { method: "POST" })).status, 404);
  const deleted = await ask("/metrics", { method: "DELETE" });
  deepStrictEqual([deleted.status, deleted.headers.get("allow")], [405, "GET, HEAD"]);
  strictEqual(await (await ask("/metrics", { method: "HEAD" })).text(), "");
  strictEqual((await ask("/metrics", { origin: "http://evil.example" })).status, 403);
  const rebound = new Request("http://evil.example/metrics", { headers: { host: "evil.example" } });
  strictEqual((await fetch(rebound, client)).status, 403);
});

Deno.test("whoever holds connections to the port for metrics takes no more than 16, and shuts out nobody", async () => {
  const metricsBind = { host: "127.0.0.1", port: 0 };
  await using near = await startConnector({ api: { metricsBind } });
  const { metricsAddress: { port } = metricsBind } = near.running;
  using held = new DisposableStack();
  let cut = 0;
  for (let count = 0; count < 20; count += 1) {
    const conn = await Deno.connect({ port });
    held.defer(() => conn.close());
    conn.read(new Uint8Array(1)).catch(() => null).then(() => cut += 1);
  }
  await until(() => cut === 4, "those beyond are cut");
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`, {
    headers: { connection: "close" },
  });
  match(await answer.text(), /^connector_build_info/m);
});

Deno.test("the access log has a line for each connection, carried or not, with who and why", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  using access = new AccessLines(pair.local);
  const { lines } = access;
  const { port, id } = await exposeThrough(pair, { type: "local", destination: server.port });
  const nowhere = freePort();
  const gone = await exposeThrough(pair, { type: "local", destination: nowhere });
  await roundTrip(port, { length: 1000 });
  await turnsAway(gone.port);
  await until(() => lines.length === 2, "both have a line");
  const fields = (outcome: string) => lines.find((each) => each.outcome === outcome) ?? {};
  const { durationMs, visitor, ...done } = fields("done");
  ok(typeof durationMs === "number" && durationMs >= 0);
  match(String(visitor), /^127\.0\.0\.1:\d+$/);
  deepStrictEqual(done, {
    service: "test",
    id,
    side: "egress",
    peer: pair.remote.address,
    principal: "anonymous",
    destination: `127.0.0.1:${server.port}`,
    bytesIn: 1000,
    bytesOut: 1000,
    outcome: "done",
    reason: "both sides finished",
  });
  const refused = fields("refused");
  deepStrictEqual([refused.code, refused.bytesIn, refused.id], ["unreachable", 0, gone.id]);
  match(String(refused.reason), /refused/);
});

Deno.test("a peer that is away is down, and once it is back that was a reconnect", async () => {
  await using pair = await startPair();
  await exposeThrough(pair, { type: "local", destination: freePort() });
  const report = () =>
    pair.local.connector.peers().find(({ direction }) => direction === "outbound");
  deepStrictEqual([report()?.up, report()?.reconnects], [1, 0]);
  const { address } = pair.remote;
  await pair.remote[Symbol.asyncDispose]();
  using metrics = metricsOf(pair.local);
  const down = `connector_links{direction="outbound",peer="${address}",state="down"}`;
  await until(async () => (await read(metrics)).get(down) === 1, "the link is down");
  await using _again = await startConnector({ bind: address });
  await until(async () => (await read(metrics)).get(down) === 0, "the link is back");
  strictEqual((await read(metrics)).get(`connector_link_reconnects_total{peer="${address}"}`), 1);
});

Deno.test("bytes that wait for a destination that reads nothing are counted, until its connection ends", async () => {
  const reads = Promise.withResolvers<void>();
  await using server = serveTcp(() => reads.promise);
  await using pair = await startPair();
  const { port } = await exposeThrough(pair, { type: "local", destination: server.port });
  const held = () =>
    pair.local.connector.peers().reduce((sum, { heldBytes }) => sum + heldBytes, 0);
  const chunk = new Uint8Array(256 * 1024);
  const visitor = await Deno.connect({ port });
  let open = true;
  const writing = (async () => {
    while (open) await visitor.write(chunk);
  })().catch(() => {});
  await until(() => held() > 0, "bytes wait");
  open = false;
  visitor.close();
  await writing;
  reads.resolve();
  await until(() => held() === 0, "nothing waits any more");
});
