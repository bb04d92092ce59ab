// Prometheus: promtool reads the metrics, the rules and every query of the dashboard, and a real Prometheus scrapes a
// connector with a token and one on the port for metrics, and answers with what was carried.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import dashboard from "../../install/grafana/dashboard.json" with { type: "json" };
import { Child, runProgram } from "../support/child.ts";
import { exposeService, ROOT, spawnConnector } from "../support/processes.ts";
import { freePort, readAll, serveTcp, until, writeAll } from "../support/world.ts";
import { tempFolder, untilListening } from "./tunnels.ts";

const GRAFANA = path.join(ROOT, "install", "grafana");
/** What Grafana puts into a query. */
const VARIABLES: Readonly<Record<string, string>> = {
  $__rate_interval: "1m",
  $job: ".+",
  $instance: ".+",
};

/** Every query of the dashboard, as Prometheus gets it. */
const QUERIES = dashboard.panels.flatMap(({ targets }) => targets).map(({ expr }) =>
  Object.entries(VARIABLES).reduce((text, [name, value]) => text.replaceAll(name, value), expr)
);

async function promtool(...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await runProgram("promtool", { args });
  strictEqual(code, 0, stdout + stderr);
}

/** The names of all metrics of a text. */
function namesOf(text: string): Set<string> {
  return new Set([...text.matchAll(/^([a-z_]+)[{ ]/gm)].map(([, name = ""]) => name));
}

Deno.test("promtool: the alerting rules are right, and fire when they should", async () => {
  await promtool("check", "rules", path.join(GRAFANA, "alerts.yaml"));
  await promtool("test", "rules", path.join(GRAFANA, "alerts_test.yaml"));
});

Deno.test("promtool: every query of the dashboard is one, and asks for metrics that there are", async () => {
  await using folder = await tempFolder();
  const rules = QUERIES.map((expr, index) => ({ record: `query_${index}`, expr }));
  const file = folder.file("queries.yaml");
  // JSON is YAML.
  await Deno.writeTextFile(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
  await promtool("check", "rules", file);
  await using connector = await spawnConnector();
  const names = namesOf((await connector.rest.request("GET", "/metrics")).body);
  const docs = await Deno.readTextFile(path.join(ROOT, "docs", "metrics.md"));
  const alerts = await Deno.readTextFile(path.join(GRAFANA, "alerts.yaml"));
  for (
    const [asked] of [...QUERIES, alerts].join("\n").matchAll(/\b(connector|process)_[a-z_]+/g)
  ) {
    // Only with peers or certificates.
    const ofPeers = /^connector_(link_|links|config_|certificate_)/.test(asked);
    ok(ofPeers ? docs.includes(`\`${asked}\``) : names.has(asked), asked);
  }
});

Deno.test("Prometheus scrapes connectors, and a query gets the number of bytes that were carried", async () => {
  await using folder = await tempFolder();
  const token = "a-token-of-prometheus-1234567890";
  await Deno.writeTextFile(folder.file("token"), token, { mode: 0o600 });
  const metricsPort = freePort();
  await using upstream = serveTcp(async (conn) => {
    await writeAll(conn, await readAll(conn));
    await conn.closeWrite();
  });
  await using near = await spawnConnector({
    args: [`--api-token-file=${folder.file("token")}`, `--metrics-bind=127.0.0.1:${metricsPort}`],
  });
  await using far = await spawnConnector();
  strictEqual((await near.rest.request("GET", "/metrics")).status, 401);
  const direct = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  const checked = await runProgram("sh", {
    args: ["-c", `printf %s "$TEXT" | promtool check metrics`],
    env: { TEXT: `${await direct.text()}\n` },
  });
  deepStrictEqual([checked.code, checked.stderr], [0, ""]);

  // A service of the other side, so that the token is not in the way of making it.
  const { port } = await exposeService(far, {
    to: near.address,
    type: "local",
    destination: upstream.port,
  });
  const sent = new Uint8Array(123_456);
  using visitor = await Deno.connect({ port });
  const [received] = await Promise.all([
    readAll(visitor),
    writeAll(visitor, sent).then(() => visitor.closeWrite()),
  ]);
  strictEqual(received.length, sent.length);

  const web = freePort();
  await Deno.writeTextFile(
    folder.file("prometheus.yaml"),
    JSON.stringify({
      global: { scrape_interval: "500ms", scrape_timeout: "500ms" },
      rule_files: [path.join(GRAFANA, "alerts.yaml")],
      scrape_configs: [
        {
          job_name: "connector-token",
          authorization: { credentials_file: folder.file("token") },
          static_configs: [{ targets: [`127.0.0.1:${near.httpPort}`] }],
        },
        {
          job_name: "connector-port",
          static_configs: [{ targets: [`127.0.0.1:${metricsPort}`] }],
        },
      ],
    }),
  );
  await using _prometheus = new Child("prometheus", {
    args: [
      `--config.file=${folder.file("prometheus.yaml")}`,
      `--storage.tsdb.path=${folder.file("data")}`,
      `--web.listen-address=127.0.0.1:${web}`,
    ],
  });
  await untilListening(web);
  await until(async () => {
    const ready = await fetch(`http://127.0.0.1:${web}/-/ready`);
    await ready.body?.cancel();
    return ready.ok;
  }, "Prometheus is ready");
  /** The value of each job. */
  const query = async (text: string): Promise<Record<string, number>> => {
    const url = `http://127.0.0.1:${web}/api/v1/query?query=${encodeURIComponent(text)}`;
    const { data } = await (await fetch(url)).json();
    return Object.fromEntries(
      data.result.map((
        { metric, value }: { metric: { job: string }; value: [number, string] },
      ) => [metric.job, Number(value[1])]),
    );
  };
  const carried = `connector_transferred_bytes_total{side="ingress",direction="in"}`;
  await until(async () => Object.keys(await query(carried)).length === 2, "both jobs were scraped");
  deepStrictEqual(await query(carried), { "connector-port": 123_456, "connector-token": 123_456 });
  const links = await query(`sum by (job) (connector_links{direction="inbound",state="up"})`);
  deepStrictEqual(links, { "connector-port": 1, "connector-token": 1 });
  deepStrictEqual(await query("up"), { "connector-port": 1, "connector-token": 1 });
});
