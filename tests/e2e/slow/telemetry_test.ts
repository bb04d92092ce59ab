// OpenTelemetry: the runtime exports what it sees of the REST API to a collector, if its variables say so. The collector is
// the test's own.

import { ok, strictEqual } from "node:assert/strict";
import { spawnConnector } from "../../support/processes.ts";
import { until } from "../../support/world.ts";

const ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

interface Span {
  traceId: string;
  parentSpanId: string;
  name: string;
  attributes: { key: string; value: { stringValue?: string } }[];
}

interface Spans {
  resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
}

/** A self-extracting executable unsets the variables. */
if (!Deno.env.get("CONNECTOR_EXECUTABLE")) {
  Deno.test(
    "with OTEL_DENO, requests are exported as spans of the caller's trace, and runtime metrics",
    exportsToCollector,
  );
}

async function exportsToCollector(): Promise<void> {
  const bodies: { path: string; body: string }[] = [];
  await using collector = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      bodies.push({ path: new URL(request.url).pathname, body: await request.text() });
      return new Response("{}", { headers: { "content-type": "application/json" } });
    },
  );
  {
    await using connector = await spawnConnector({
      env: {
        OTEL_DENO: "true",
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.addr.port}`,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_SERVICE_NAME: "connector-under-test",
        OTEL_BSP_SCHEDULE_DELAY: "100",
        OTEL_METRIC_EXPORT_INTERVAL: "200",
      },
      args: ["--log-level=debug"],
    });
    const { status } = await connector.rest.request("GET", "/list", {
      headers: { traceparent: `00-${ID}-${PARENT}-01` },
    });
    strictEqual(status, 200);
    await until(
      () => bodies.some(({ path, body }) => path === "/v1/traces" && body.includes(ID)),
      "its span was exported",
    );
    await until(
      () => bodies.some(({ path, body }) => path === "/v1/metrics" && body.includes("v8js.")),
      "metrics were exported",
    );
    ok(connector.logs().includes(`traceId=${ID}`));
  }
  const spans = bodies.filter(({ path }) => path === "/v1/traces")
    // What a collector is sent, in OTLP's own JSON.
    .flatMap(({ body }) => (JSON.parse(body) as Spans).resourceSpans)
    .flatMap(({ scopeSpans }) => scopeSpans).flatMap(({ spans }) => spans);
  const span = spans.find(({ traceId }) => traceId === ID);
  strictEqual(span?.parentSpanId, PARENT);
  strictEqual(span?.attributes.find(({ key }) => key === "url.path")?.value.stringValue, "/list");
  ok(bodies.some(({ body }) => body.includes("connector-under-test")));
}
