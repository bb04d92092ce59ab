// `connector forward`: what it takes from its command line, and the line that it shows.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import type { ForwardOptions } from "../../src/cli/forward.ts";
import {
  failureTexts,
  stateText,
  statusLine,
  totalsText,
  wayText,
} from "../../src/cli/forward_texts.ts";
import { runCli } from "../../src/cli/program.ts";
import type { ServiceReport } from "../../src/model/service.ts";
import { reportNumber } from "../support/rest_server.ts";

async function forward(args: string[], env: Record<string, string> = {}) {
  const given: ForwardOptions[] = [];
  const outcome = { code: -1, stderr: "", given };
  outcome.code = await runCli(["forward", ...args], {
    stderr: (text) => outcome.stderr += text,
    env,
    forward: (options) => {
      given.push(options);
      return Promise.resolve(0);
    },
  });
  return outcome;
}

Deno.test("a forwarding is a service of a connector that nobody dials, and that has no API", async () => {
  const { code, stderr, given: [options] } = await forward([
    ...["local", "12000:localhost:8080", "--to", "server:9090"],
  ], { CONNECTOR_HTTP_BIND: ":1", CONNECTOR_GRPC_BIND: ":2", CONNECTOR_STATE_FILE: "f" });
  deepStrictEqual([code, stderr], [0, ""]);
  deepStrictEqual(options?.request, {
    name: "localhost:8080",
    sourcePort: 12_000,
    remoteConnectorAddr: "server:9090",
    destinationAddr: "localhost:8080",
    type: "local",
  });
  const { grpcBind, httpBind, apiSocket, metricsBind, stateFile, tls, serviceBind } =
    options?.connector ?? {};
  deepStrictEqual({ grpcBind, httpBind, apiSocket, metricsBind, stateFile, tls, serviceBind }, {
    grpcBind: undefined,
    httpBind: undefined,
    apiSocket: undefined,
    metricsBind: undefined,
    stateFile: undefined,
    tls: undefined,
    serviceBind: ["127.0.0.1"],
  });
});

Deno.test("a forwarding may be over mTLS, by flags and variables as those of run", async () => {
  const { given: [options] } = await forward([
    ...["remote", "192.0.2.1:1:h:2", "--to", "s:1", "--name", "db", "--root-cert-path=root"],
  ], { CONNECTOR_SERVER_CERT_PATH: "leaf", CONNECTOR_SERVER_KEY_PATH: "key" });
  deepStrictEqual(options?.connector.tls, {
    rootCertPath: "root",
    serverCertPath: "leaf",
    serverKeyPath: "key",
  });
  deepStrictEqual([options?.request.name, options?.request.sourceAddr], ["db", "192.0.2.1"]);
  const half = await forward(["local", "1:h:2", "--to", "s:1", "--root-cert-path=root"]);
  strictEqual(half.code, 2);
  match(half.stderr, /TLS needs/);
});

const NOW = new Date();
const SERVICE = {
  ...reportNumber(12_000),
  connections: { ...reportNumber(1).connections, open: 2, total: 3, bytesIn: 5000, bytesOut: 7 },
};
const RATES = {
  before: { at: 1000, bytesIn: 1000, bytesOut: 7 },
  now: { at: 3000, bytesIn: 5000, bytesOut: 7 },
};
const WAITING = {
  ...SERVICE,
  type: "remote",
  status: "pending",
  message: "no link\u001b[2J",
  retryAt: new Date(NOW.getTime() + 2500),
  sourceAddr: "127.0.0.1",
} as const;

Deno.test("it is said where a forwarding leads, and how it stands", () => {
  strictEqual(wayText(SERVICE), "port 12000 of server1:9090 -> localhost:8080");
  strictEqual(wayText(WAITING), "127.0.0.1 port 12000 -> localhost:8080 at server1:9090");
  strictEqual(stateText(SERVICE), "up");
  // A line for each change has no countdown.
  strictEqual(stateText(WAITING), "no link\\u{1b}[2J");
  strictEqual(totalsText(SERVICE), "up | 2 open, 3 in all | in 4.9 KiB | out 7 B");
});

Deno.test("the line of a terminal has the link, connections, bytes and rates, also with 80 columns", () => {
  const line = (columns: number, service: ServiceReport = SERVICE) =>
    statusLine(service, { rates: RATES, now: NOW, columns });
  strictEqual(line(80), "up | 2 open, 3 in all | in 4.9 KiB (2.0 KiB/s) | out 7 B (0 B/s)");
  strictEqual(line(40), "up | 2 open | in 2.0 KiB/s | out 0 B/s");
  strictEqual(line(20), "up | 2 open | in 2.");
  strictEqual(
    line(80, WAITING),
    "no link\\u{1b}[2J (again in 3 s) | 2 open",
  );
  const first = statusLine(SERVICE, { rates: undefined, now: NOW, columns: 80 });
  strictEqual(first, "up | 2 open, 3 in all | in 4.9 KiB | out 7 B");
});

Deno.test("a reason of wide characters does not wrap, and none is cut in two", () => {
  const service = { ...WAITING, message: "\u{1f680}".repeat(30) };
  const line = statusLine(service, { rates: undefined, now: NOW, columns: 40 });
  strictEqual(line, "\u{1f680}".repeat(19));
});

Deno.test("why a connection failed is told, once in a row, and never in another's words", () => {
  const failureOf = failureTexts();
  const look = (total: number, failed: number, lastClose: string) =>
    failureOf({
      ...SERVICE,
      connections: { ...SERVICE.connections, open: 0, total, failed, lastClose },
    });
  strictEqual(look(1, 0, "both sides finished"), undefined);
  strictEqual(look(2, 1, "refused\u001b"), "a connection failed: refused\\u{1b}");
  strictEqual(look(2, 1, "refused\u001b"), undefined);
  strictEqual(look(3, 2, "refused\u001b"), undefined, "told already");
  strictEqual(look(5, 3, "both sides finished"), undefined, "one ended in order after it");
  strictEqual(look(6, 4, "reset"), "a connection failed: reset");
});
