// The OpenAPI document: it has every path and method of the API, each answer of the list is as it says, and its schemas let
// through what the API takes.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { getLogger } from "@logtape/logtape";
import { service } from "../../src/api/answers.ts";
import { createApp } from "../../src/api/app.ts";
import { openApi } from "../../src/api/openapi.ts";
import { exposeBody } from "../../src/api/request_bodies.ts";
import { serviceToJson } from "../../src/api/schemas.ts";
import { isAddress } from "../../src/model/address.ts";
import type { ServiceReport } from "../../src/model/service.ts";
import { IDLE, reportNumber } from "../support/rest_server.ts";

const FULL: ServiceReport = {
  ...reportNumber(1),
  sourceAddr: "127.0.0.1",
  message: "why",
  lastError: { message: "what", at: new Date() },
  retryAt: new Date(),
  takenUpAt: new Date(),
  claimKey: "k",
  registration: { scheduler: "kubernetes", name: "web", state: "refused", message: "why" },
  connections: {
    ...reportNumber(1).connections,
    lastClose: "both sides finished",
  },
  peer: {
    address: "server1:9090",
    identity: { subject: "CN=x", spiffe: "spiffe://x/y", dnsNames: ["x"], ipAddresses: [] },
  },
};

interface Document {
  openapi: string;
  info: { version: string };
  paths: Record<string, Record<string, { operationId: string }>>;
  components: { schemas: Record<string, { required: string[]; properties: object }> };
}

async function served(): Promise<Document> {
  const app = createApp({ control: IDLE, logger: getLogger(["test"]), version: "1.2.3" });
  const answer = await app.fetch(new Request("http://localhost/openapi.json"));
  strictEqual(answer.headers.get("content-type"), "application/json");
  return await answer.json();
}

Deno.test("GET /openapi.json describes every call of the API, in OpenAPI 3.1", async () => {
  const { openapi, info, paths } = await served();
  ok(openapi.startsWith("3.1."));
  strictEqual(info.version, "1.2.3");
  const calls = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`)
  );
  deepStrictEqual(calls.sort(), [
    "DELETE /expose/{id}",
    "GET /config",
    "GET /expose/{id}",
    "GET /health",
    "GET /list",
    "GET /metrics",
    "GET /openapi.json",
    "GET /ready",
    "POST /expose",
  ]);
  ok("/certificate" in (openApi({ version: "", issues: true }).paths as object));
});

Deno.test("the document has the fields of a body, and what each must be", async () => {
  const { components: { schemas } } = await served();
  deepStrictEqual(schemas.ServiceRequest?.required, [
    "name",
    "source_port",
    "remote_connector_addr",
    "destination_addr",
    "type",
  ]);
  deepStrictEqual(Object.keys(schemas.ServiceRequest?.properties ?? {}), [
    ...["name", "source_port", "source_addr"],
    ...["remote_connector_addr", "destination_addr", "type"],
  ]);
});

for (
  const [what, report] of [["a service", reportNumber(2)], ["one with everything", FULL]] as const
) {
  Deno.test(`${what} of the list is as the document says, and nothing more`, () => {
    const json = JSON.parse(JSON.stringify(serviceToJson(report)));
    deepStrictEqual(service.strict().parse(json), json);
  });
}

Deno.test("every address that the API takes fits the document's pattern", () => {
  const { destination_addr: destination, remote_connector_addr: peer } = exposeBody.shape;
  const label = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,10}$/);
  const host = fc.oneof(
    fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join(".")),
    fc.ipV4(),
    fc.ipV6().map((ip) => `[${ip}]`),
  );
  const port = fc.oneof(fc.nat(70_000).map(String), label);
  fc.assert(fc.property(host, port, fc.constantFrom("", "."), (host, port, dot) => {
    const text = `${host}${host.startsWith("[") ? "" : dot}:${port}`;
    strictEqual(peer.safeParse(text).success, isAddress(text), text);
    strictEqual(destination.safeParse(text).success, isAddress(text, { labels: true }), text);
  }));
});
