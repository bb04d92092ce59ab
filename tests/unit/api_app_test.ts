// The REST API in process: every answer of every call against a small `Control` in memory, and that no body
// whatever makes it fail.

import { type Logger } from "@logtape/logtape";
import assert from "node:assert/strict";
import fc from "fast-check";
import { type AppOptions, createApp } from "../../src/api/app.ts";
import type { LeafRequest } from "../../src/certs/issue/leaf_issuer.ts";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import { ConnectorError, type ErrorCode } from "../../src/model/errors.ts";
import type { PeerInfo } from "../../src/model/peer_identity.ts";
import { Principal } from "../../src/model/principal.ts";
import type {
  Control,
  ExposeOptions,
  ServiceReport,
  ServiceRequest,
} from "../../src/model/service.ts";
import { NO_CONNECTIONS } from "../support/no_connections.ts";
import { certificateId } from "../support/principals.ts";
import { until } from "../support/world.ts";

const BASE = "http://localhost:9091";
const MAX_BODY_BYTES = 1024 * 1024;
const SINCE = new Date("2026-01-02T03:04:05.678Z");

const GOOD = {
  name: "web",
  source_port: 8080,
  remote_connector_addr: "server1:9090",
  destination_addr: "localhost:3000",
  type: "local",
};

/** Behaves as the interface says, without a network. */
class MemoryControl implements Control {
  readonly services = new Map<string, ServiceReport>();
  /** How the last service was asked for. */
  asked: ExposeOptions | undefined;

  // deno-lint-ignore require-await -- the contract of Control is asynchronous
  async expose(request: ServiceRequest, options?: ExposeOptions): Promise<string> {
    this.asked = options;
    for (const { sourcePort, name } of this.services.values()) {
      if (sourcePort === request.sourcePort) {
        throw new ConnectorError(
          "already_exists",
          `Cannot expose service "${request.name}": the port is in use by service "${name}"`,
        );
      }
    }
    const id = crypto.randomUUID();
    this.services.set(id, {
      ...request,
      id,
      origin: "api",
      status: "pending",
      since: SINCE,
      connections: NO_CONNECTIONS,
      listening: false,
    });
    return id;
  }

  // deno-lint-ignore require-await -- as above
  async destroy(id: string): Promise<void> {
    if (!this.services.delete(id)) {
      throw new ConnectorError("not_found", `There is no service with the id "${id}"`);
    }
  }

  get(id: string): ServiceReport {
    const service = this.services.get(id);
    if (service) return service;
    throw new ConnectorError("not_found", `There is no service with the id "${id}"`);
  }

  list(): ServiceReport[] {
    return [...this.services.values()];
  }
}

/** A logger that keeps what it is told. */
class LogLines {
  readonly lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];

  /** As much of LogTape's interface as the API uses. */
  get logger(): Logger {
    const keep = (level: string) => (message: string, fields: Record<string, unknown>) => {
      this.lines.push({ level, message, fields });
    };
    const part = { debug: keep("debug"), info: keep("info"), error: keep("error") };
    // The API calls only these three, each with a message and fields.
    return part as unknown as Logger;
  }
}

function setUp(options: Partial<AppOptions> = {}) {
  const control = new MemoryControl();
  const log = new LogLines();
  const app = createApp({ control, logger: log.logger, ...options });
  return {
    control,
    log,
    async call(method: string, path: string, body?: BodyInit) {
      const response = await app.fetch(
        new Request(`${BASE}${path}`, { method, ...(body !== undefined && { body }) }),
      );
      assert.equal(response.headers.get("x-content-type-options"), "nosniff");
      assert.equal(response.headers.get("cache-control"), "no-store");
      for (const header of response.headers.keys()) {
        assert.ok(!header.startsWith("access-control-"), header);
      }
      return { status: response.status, headers: response.headers, body: await response.text() };
    },
  };
}

type Call = ReturnType<typeof setUp>["call"];

async function expose(call: Call, body: unknown) {
  return await call("POST", "/expose", JSON.stringify(body));
}

Deno.test("GET /health answers OK", async () => {
  const { status, body } = await setUp().call("GET", "/health");
  assert.deepEqual([status, body], [200, "OK"]);
});

Deno.test("POST /expose answers the bare id as text", async () => {
  const { control, call } = setUp();
  const { status, headers, body } = await expose(call, GOOD);
  assert.equal(status, 200);
  assert.equal(body.length, 36);
  assert.deepEqual([...control.services.keys()], [body]);
  assert.match(headers.get("content-type") ?? "", /^text\/plain/);
});

Deno.test("POST /expose takes any content type, further keys and a byte order mark", async () => {
  const { control, call } = setUp();
  const answer = await call(
    "POST",
    "/expose",
    new Blob(["\ufeff", JSON.stringify({ ...GOOD, colour: "red" })], {
      type: "application/x-www-form-urlencoded",
    }),
  );
  assert.equal(answer.status, 200, answer.body);
  const [service] = control.list();
  assert.deepEqual(service, {
    id: answer.body,
    name: "web",
    sourcePort: 8080,
    remoteConnectorAddr: "server1:9090",
    destinationAddr: "localhost:3000",
    type: "local",
    origin: "api",
    status: "pending",
    since: SINCE,
    connections: NO_CONNECTIONS,
    listening: false,
  });
});

Deno.test("GET /ready names a hundred services, and says how many more there are", async () => {
  const { control, call } = setUp();
  for (let port = 1; port <= 103; port += 1) {
    await call("POST", "/expose", JSON.stringify({ ...GOOD, source_port: port }));
  }
  assert.equal(control.services.size, 103);
  const { status, body } = await call("GET", "/ready");
  assert.equal(status, 503);
  const lines = body.trimEnd().split("\n");
  assert.equal(lines.length, 101);
  assert.match(lines[99] ?? "", /web: pending/);
  assert.equal(lines[100], "and 3 more");
});

Deno.test("GET /ready names what keeps every link from being opened, though no service is unready", async () => {
  let problem: string | undefined = 'server certificate "x"\nexpired';
  const control = new MemoryControl();
  const app = createApp({
    control,
    logger: new LogLines().logger,
    problem: () => problem,
  });
  const ask = async () => {
    const response = await app.fetch(new Request(`${BASE}/ready`));
    return [response.status, await response.text()];
  };
  const [status, text] = await ask();
  assert.equal(status, 503);
  assert.equal(text, 'server certificate "x"\\u{a}expired\n');
  problem = undefined;
  assert.deepEqual(await ask(), [200, "OK"]);
});

for (const path of ["/list", "/ready"]) {
  Deno.test(`GET ${path} is made once for all who wait for it, and never before they asked`, async () => {
    const control = new MemoryControl();
    let made = 0;
    const list = control.list.bind(control);
    control.list = () => {
      made += 1;
      return list();
    };
    const app = createApp({ control, logger: new LogLines().logger });
    const ask = () => app.fetch(new Request(`${BASE}${path}`));
    const before = Array.from({ length: 500 }, ask);
    await before[0];
    await control.expose({
      name: "late",
      sourcePort: 1,
      remoteConnectorAddr: "a:1",
      destinationAddr: "b:1",
      type: "local",
    });
    assert.match(await (await ask()).text(), /late/);
    const answers = await Promise.all(before);
    assert.ok(made <= 3, `${made} times`);
    if (path === "/ready") return;
    const [first, second] = await Promise.all(answers.map((answer) => answer.bytes()));
    assert.ok(first === second, "the bytes are the same ones");
  });
}

Deno.test("requests that change something and such as are refused are told apart for the log", async () => {
  const lines: string[] = [];
  const keep = (kind: string) => ({
    info: (message: string, fields: Record<string, unknown>) => {
      const { method, status, peer, principal, service = "-", reason = "-" } = fields;
      lines.push([kind, message, method, status, peer, principal, service, reason].join(" "));
      if (service !== "-") assert.match(String(fields.id), /^[0-9a-f-]{36}$/);
    },
  });
  const app = createApp({
    control: new MemoryControl(),
    audit: { done: keep("done"), refused: keep("refused") },
  });
  const client = { address: "::ffff:127.0.0.1", localAddress: "::ffff:127.0.0.1", localPort: 9091 };
  const ask = (method: string, path: string, init?: RequestInit) =>
    app.fetch(
      new Request(`${BASE}${path}`, { method, headers: { host: "localhost" }, ...init }),
      client,
    );
  await ask("GET", "/list");
  await ask("GET", "/list", { headers: { host: "evil.example" } });
  await ask("DELETE", "/expose/none");
  await ask("POST", "/nowhere");
  await ask("POST", "/expose", { body: JSON.stringify(GOOD) });
  assert.deepEqual(lines, [
    "refused api request GET 403 127.0.0.1 anonymous - Cannot answer this machine under the host name " +
    '"evil.example": want localhost, an IP address, or a name given with --http-allowed-host',
    'refused api request DELETE 404 127.0.0.1 anonymous - There is no service with the id "none"',
    "refused api request POST 404 127.0.0.1 anonymous - -",
    "done api request POST 200 127.0.0.1 anonymous web -",
  ]);
});

Deno.test("GET /ready is 200 while every service is complete, else 503 with a line for each that is not", async () => {
  const { control, call } = setUp();
  const ready = await call("GET", "/ready");
  assert.deepEqual([ready.status, ready.body], [200, "OK"]);

  const { body: id } = await expose(call, GOOD);
  const pending = await call("GET", "/ready");
  assert.deepEqual([pending.status, pending.body], [503, `${id} web: pending\n`]);

  const service = control.services.get(id);
  assert.ok(service);
  control.services.set(id, { ...service, status: "error", message: "in\nuse" });
  const failed = await call("GET", "/ready");
  assert.deepEqual([failed.status, failed.body], [503, `${id} web: error, in\\u{a}use\n`]);

  control.services.set(id, { ...service, status: "complete" });
  assert.equal((await call("GET", "/ready")).status, 200);
});

Deno.test("GET /list has the contract's keys first, then ours", async () => {
  const { control, call } = setUp();
  assert.deepEqual((await call("GET", "/list")).body, "[]");
  const { body: id } = await expose(call, { ...GOOD, type: "remote" });
  const service = control.services.get(id);
  assert.ok(service);
  const contract = `"id":"${id}","name":"web","source_port":8080,` +
    `"remote_connector_addr":"server1:9090","destination_addr":"localhost:3000","type":"REMOTE"`;
  const since = `"origin":"api","since":"2026-01-02T03:04:05.678Z",` +
    `"connections":{"open":0,"total":0,"failed":0,"refused":0,"resuming":0,"resumed":0,` +
    `"not_resumed":0,"bytes_in":0,"bytes_out":0}`;

  const { headers, body } = await call("GET", "/list");
  assert.equal(body, `[{${contract},"status":"PENDING",${since}}]`);
  assert.match(headers.get("content-type") ?? "", /^application\/json/);

  control.services.set(id, { ...service, status: "error", message: "no" });
  assert.equal(
    (await call("GET", "/list")).body,
    `[{${contract},"status":"ERROR","message":"no",${since}}]`,
  );

  control.services.set(id, { ...service, status: "complete", peer: { address: "server1:9090" } });
  assert.equal(
    (await call("GET", "/list")).body,
    `[{${contract},"status":"COMPLETE",${since},"peer":{"address":"server1:9090"}}]`,
  );

  const identity = { subject: "CN=x", spiffe: "spiffe://a", dnsNames: ["b"], ipAddresses: ["::1"] };
  control.services.set(id, { ...service, peer: { address: "s:1", identity } });
  assert.deepEqual(JSON.parse((await call("GET", "/list")).body)[0].peer, {
    address: "s:1",
    subject: "CN=x",
    spiffe: "spiffe://a",
    dns_names: ["b"],
    ip_addresses: ["::1"],
  });

  const certificate = { ...certificateId({ name: "n", key: "f1" }), displayName: "spiffe://a" };
  const shownOf = async (peer: PeerInfo) => {
    control.services.set(id, { ...service, peer });
    return JSON.parse((await call("GET", "/list")).body)[0].peer;
  };
  assert.deepEqual(
    await shownOf({ address: "s:1", principal: new Principal({ host: "s", certificate }) }),
    { address: "s:1", principal: "spiffe://a", fingerprint: "f1" },
  );
  assert.deepEqual(await shownOf({ address: "s:1", principal: new Principal({ host: "s" }) }), {
    address: "s:1",
    principal: "anonymous",
  });
});

Deno.test("whatever a peer says of itself, the list is bounded and steers no terminal", async () => {
  const { control, call } = setUp();
  const evil = "\u001b[2J\u202e\u0085\u2028\u0000\ud800".repeat(1000);
  const id = await control.expose({
    name: "a\u200db\u202e",
    sourcePort: 1,
    remoteConnectorAddr: "s:1",
    destinationAddr: "d:1",
    type: "local",
  });
  control.services.set(id, {
    ...control.get(id),
    message: evil,
    lastError: { message: evil, at: SINCE },
    connections: { ...NO_CONNECTIONS, lastClose: evil },
    peer: {
      address: "s:1",
      identity: {
        subject: evil,
        spiffe: evil,
        dnsNames: ["first", ...Array<string>(100).fill("n".repeat(500)), evil],
        ipAddresses: Array<string>(100).fill(evil),
      },
    },
  });
  for (const path of ["/list", `/expose/${id}`]) {
    const { body, headers } = await call("GET", path);
    assert.equal(headers.get("content-type"), "application/json");
    assert.doesNotMatch(body, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    assert.ok(body.length < 60_000, `${body.length}`);
    const [parsed] = [JSON.parse(body)].flat();
    // A name is what it was given as; all else that a peer may have said is harmless also when it is parsed.
    const { name, ...rest } = parsed;
    assert.equal(name, "a\u200db\u202e");
    for (const text of Object.values({ ...rest, ...rest.connections, ...rest.peer }).flat()) {
      if (typeof text === "string") assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }
    assert.equal(rest.peer.dns_names[0], "first");
  }
});

Deno.test("GET /list has the last error and the next try, where there are any", async () => {
  const { control, call } = setUp();
  const { body: id } = await expose(call, GOOD);
  const service = control.services.get(id);
  assert.ok(service);
  control.services.set(id, {
    ...service,
    lastError: { message: "the peer was away", at: SINCE },
    retryAt: new Date(SINCE.getTime() + 1000),
  });
  const [listed] = JSON.parse((await call("GET", "/list")).body);
  assert.deepEqual(
    [listed.last_error, listed.last_error_at, listed.retry_at],
    ["the peer was away", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:06.678Z"],
  );
});

Deno.test("GET /expose/{id} shows one service as the list does", async () => {
  const { call } = setUp();
  await expose(call, { ...GOOD, source_port: 1 });
  const { body: id } = await expose(call, GOOD);
  const one = await call("GET", `/expose/${id}`);
  assert.equal(one.status, 200);
  assert.equal(one.body, JSON.stringify(JSON.parse((await call("GET", "/list")).body)[1]));
  const none = await call("GET", "/expose/nobody");
  assert.deepEqual([none.status, none.body], [404, 'There is no service with the id "nobody"\n']);
});

for (
  const [query, waitMs] of [["", undefined], ["?wait=0", undefined], ["?wait=1.5", 1500], [
    "?wait=300",
    300_000,
  ]]
) {
  Deno.test(`POST /expose${query} waits ${waitMs} ms`, async () => {
    const { control, call } = setUp();
    assert.equal((await call("POST", `/expose${query}`, JSON.stringify(GOOD))).status, 200);
    assert.equal(control.asked?.waitMs, waitMs);
    assert.equal(control.asked?.signal !== undefined, waitMs !== undefined);
  });
}

for (const wait of ["", "-1", "301", "1e1", "soon", "0x10"]) {
  Deno.test(`POST /expose?wait=${wait} is refused`, async () => {
    const { control, call } = setUp();
    const { status, body } = await call("POST", `/expose?wait=${wait}`, JSON.stringify(GOOD));
    assert.equal(status, 422);
    assert.equal(body, `wait: got "${wait}", want a number of seconds from 0 to 300\n`);
    assert.equal(control.services.size, 0);
  });
}

Deno.test("GET /list has what was counted of a service's connections", async () => {
  const { control, call } = setUp();
  const { body: id } = await expose(call, GOOD);
  const service = control.services.get(id);
  assert.ok(service);
  const counted = {
    open: 1,
    total: 2,
    failed: 3,
    refused: 6,
    resuming: 7,
    resumed: 8,
    notResumed: 9,
    bytesIn: 4,
    bytesOut: 5,
    lastClose: "refused",
  };
  control.services.set(id, { ...service, connections: counted });
  assert.equal(
    JSON.stringify(JSON.parse((await call("GET", "/list")).body)[0].connections),
    '{"open":1,"total":2,"failed":3,"refused":6,"resuming":7,"resumed":8,"not_resumed":9,' +
      '"bytes_in":4,"bytes_out":5,"last_close":"refused"}',
  );
});

Deno.test("DELETE /expose/{id} answers nothing, and an unknown id is 404", async () => {
  const { control, call } = setUp();
  const { body: id } = await expose(call, GOOD);
  const removed = await call("DELETE", `/expose/${id}`);
  assert.deepEqual([removed.status, removed.body], [200, ""]);
  assert.equal(control.services.size, 0);
  const again = await call("DELETE", `/expose/${id}`);
  assert.deepEqual([again.status, again.body], [404, `There is no service with the id "${id}"\n`]);
  for (const text of ["x", "%", "%E0%A4%A", "a%2Fb", "%00", "😀", "__proto__", "x".repeat(5000)]) {
    const { status, body } = await call("DELETE", `/expose/${text}`);
    assert.equal(status, 404, text);
    assert.match(body, /^There is no service with the id "[^\n]*\n$/);
    assert.ok(body.length < 1100);
  }
});

Deno.test("an answer keeps line ends of the request out", async () => {
  const { body } = await setUp().call("DELETE", "/expose/a%0Ab%1B%5B31m%E2%80%AE");
  assert.equal(body, 'There is no service with the id "a\\u{a}b\\u{1b}[31m\\u{202e}"\n');
});

Deno.test("a body that is no JSON object is 400", async () => {
  const { call } = setUp();
  const cases: [BodyInit | undefined, string][] = [
    [undefined, "it is empty"],
    ["", "it is empty"],
    ["{", "it cannot be parsed"],
    ["{} {}", "it cannot be parsed"],
    ["name=web", "it cannot be parsed"],
    [new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "it cannot be parsed"],
    ["null", "got null"],
    ["7", "got 7"],
    ['"a\\nb"', 'got "a\\nb"'],
    ["[]", "got a list"],
  ];
  for (const [sent, problem] of cases) {
    const { status, body } = await call("POST", "/expose", sent);
    assert.deepEqual([status, body], [400, `The request body is not a JSON object: ${problem}\n`]);
  }
});

const WANTED: Record<string, string> = {
  name: "text of 1 to 255 characters without control characters",
  source_port: "a whole number from 1 to 65535",
  remote_connector_addr: 'host:port of the other connector, as "server1:9090"',
  destination_addr: 'host:port of the service, as "localhost:8080"',
  type: '"local" or "remote"',
};

Deno.test("missing fields are 422, a line for each", async () => {
  const { status, body } = await expose(setUp().call, {});
  assert.equal(status, 422);
  const lines = Object.entries(WANTED).map(([field, wanted]) =>
    `${field}: missing, want ${wanted}`
  );
  assert.equal(body, lines.join("\n") + "\n");
});

Deno.test("a bad field is 422 and its line says what it got and what was wanted", async () => {
  const { control, call } = setUp();
  const wants: Record<string, string> = {
    ...WANTED,
    source_addr: 'an IP address to listen on, as "127.0.0.1"',
  };
  const cases: [string, unknown, string][] = [
    ["name", "", '""'],
    ["name", 7, "7"],
    ["name", null, "null"],
    ["name", {}, "an object"],
    ["name", ["web"], "a list"],
    ["name", "a\nb", '"a\\nb"'],
    ["name", "\u009b31m", '"\\u{9b}31m"'],
    ["name", "\ud800", '"\\ud800"'],
    ["name", "x".repeat(256), `"${"x".repeat(100)}"…`],
    ["source_port", 0, "0"],
    ["source_port", -1, "-1"],
    ["source_port", 65536, "65536"],
    ["source_port", 80.5, "80.5"],
    ["source_port", "8080", '"8080"'],
    ["source_port", true, "true"],
    ["source_addr", "", '""'],
    ["source_addr", "localhost", '"localhost"'],
    ["source_addr", "127.0.0.1:80", '"127.0.0.1:80"'],
    ["source_addr", "127.1", '"127.1"'],
    ["source_addr", "fe80::1", '"fe80::1"'],
    ["source_addr", null, "null"],
    ["remote_connector_addr", "server1", '"server1"'],
    ["remote_connector_addr", ":9090", '":9090"'],
    ["remote_connector_addr", "server1:0", '"server1:0"'],
    ["remote_connector_addr", 9090, "9090"],
    ["remote_connector_addr", `[fe80::1%${"z".repeat(300)}]:1`, `"[fe80::1%${"z".repeat(91)}"…`],
    ["destination_addr", "", '""'],
    ["destination_addr", "localhost:65536", '"localhost:65536"'],
    ["destination_addr", "::1:80", '"::1:80"'],
    ["destination_addr", "group.task:http", '"group.task:http"'],
    ["type", "LOCAL", '"LOCAL"'],
    ["type", "both", '"both"'],
    ["type", 0, "0"],
  ];
  for (const [field, value, shown] of cases) {
    const { status, body } = await expose(call, { ...GOOD, [field]: value });
    assert.equal(body, `${field}: got ${shown}, want ${wants[field]}\n`);
    assert.equal(status, 422);
  }
  assert.equal(control.services.size, 0);
});

Deno.test("an address with a zone is refused for the zone", async () => {
  const { call } = setUp();
  for (const field of ["remote_connector_addr", "destination_addr"] as const) {
    const value = "[fe80::1%eth0]:9090";
    const { status, body } = await expose(call, { ...GOOD, [field]: value });
    assert.equal(body, `${field}: got "${value}", want ${WANTED[field]}, without a zone\n`);
    assert.equal(status, 422);
  }
});

Deno.test("a field counts only if the object itself has it", async () => {
  const { status } = await setUp().call(
    "POST",
    "/expose",
    `{"__proto__": ${JSON.stringify(GOOD)}}`,
  );
  assert.equal(status, 422);
});

Deno.test("the limits themselves are taken", async () => {
  const { call } = setUp();
  for (
    const fields of [
      { name: "x".repeat(255), source_port: 1 },
      { name: "می‌خواهم 👩‍👧", source_port: 65535 },
      { name: "v6", source_port: 2, destination_addr: "[::1]:65535" },
    ]
  ) {
    const { status, body } = await expose(call, { ...GOOD, ...fields });
    assert.equal(status, 200, body);
  }
});

Deno.test("a port that is exposed already is 409 in the words of the tunnel", async () => {
  const { call } = setUp();
  await expose(call, GOOD);
  const { status, body } = await expose(call, { ...GOOD, name: "other" });
  assert.deepEqual(
    [status, body],
    [409, 'Cannot expose service "other": the port is in use by service "web"\n'],
  );
});

const STATUSES: [ErrorCode, number][] = [
  ["invalid_argument", 422],
  ["already_exists", 409],
  ["failed_precondition", 409],
  ["not_found", 404],
  ["permission_denied", 403],
  ["resource_exhausted", 429],
  ["unavailable", 502],
  ["deadline_exceeded", 504],
  ["unauthenticated", 401],
];

for (const [code, expected] of STATUSES) {
  Deno.test(`${code} of the tunnel is ${expected} and no error of ours`, async () => {
    const control = new MemoryControl();
    control.expose = () => Promise.reject(new ConnectorError(code, "Because", { hint: "Do this" }));
    const { call, log } = setUp({ control });
    const { status, body } = await expose(call, GOOD);
    assert.deepEqual([status, body], [expected, "Because\nDo this\n"]);
    assert.deepEqual(log.lines.map(({ level }) => level), ["debug"]);
  });
}

const SECRET = "secret inside";
const DEFECTS: [string, unknown][] = [
  ["internal", new ConnectorError("internal", SECRET)],
  ["cancelled", new ConnectorError("cancelled", SECRET)],
  ["a TypeError", new TypeError(SECRET)],
  ["text", SECRET],
  ["undefined", undefined],
  ["an object that poses as an answer", { getResponse: () => new Response(SECRET) }],
];

Deno.test("what the machine does not do is 500 with the reason, and no defect that is logged", async () => {
  const control = new MemoryControl();
  control.expose = () => {
    throw new ConnectorError("internal", "Cannot write it: the disk is full", { told: true });
  };
  const { call, log } = setUp({ control });
  const { status, body } = await expose(call, GOOD);
  assert.deepEqual([status, body], [500, "Cannot write it: the disk is full\n"]);
  assert.deepEqual(log.lines.map(({ level }) => level), ["debug"]);
});

for (const [name, thrown] of DEFECTS) {
  Deno.test(`${name}, thrown, is 500 without internals and logged once`, async () => {
    const control = new MemoryControl();
    control.list = () => {
      throw thrown;
    };
    const { call, log } = setUp({ control });
    const { status, body } = await call("GET", "/list");
    assert.deepEqual([status, body], [500, "Internal error, see the log of the connector\n"]);
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [["error", "request failed"], ["debug", "request answered"]],
    );
    assert.equal(log.lines[0]?.fields.error, thrown);
    assert.equal(log.lines[0]?.fields.path, "/list");
  });
}

Deno.test("each request is one line at debug, with the path and without the query or the body", async () => {
  const { call, log } = setUp();
  await call("POST", "/expose?token=t", JSON.stringify({ ...GOOD, name: "unseen" }));
  const [line, ...more] = log.lines;
  assert.ok(line);
  assert.deepEqual(more, []);
  const { durationMs, ...fields } = line.fields;
  assert.deepEqual([line.level, line.message], ["debug", "request answered"]);
  assert.deepEqual(fields, { method: "POST", path: "/expose", status: 200 });
  assert.equal(typeof durationMs, "number");
});

Deno.test("a wrong method is 405 and says which are right", async () => {
  const { call } = setUp();
  const cases = [
    ["/health", "GET, HEAD", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]],
    ["/ready", "GET, HEAD", ["POST", "DELETE"]],
    ["/expose", "POST", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]],
    ["/expose/some-id", "GET, HEAD, DELETE", ["POST", "PUT", "OPTIONS"]],
    ["/list", "GET, HEAD", ["POST", "DELETE", "OPTIONS"]],
  ] as const;
  for (const [path, allow, methods] of cases) {
    for (const method of methods) {
      const { status, headers, body } = await call(method, path);
      assert.equal(status, 405, `${method} ${path}`);
      assert.equal(headers.get("allow"), allow);
      const text = `Cannot answer "${method}" at "${path}": want ${allow}\n`;
      assert.equal(body, method === "HEAD" ? "" : text);
    }
  }
});

Deno.test("an unknown path is 404", async () => {
  const { call } = setUp();
  for (const path of ["/", "/nothing", "/list/", "/expose/", "/expose/a/b", "/HEALTH", "//list"]) {
    const { status, body } = await call("GET", path);
    assert.deepEqual([status, body], [404, `There is nothing at "${path}"\n`]);
  }
  const { body } = await call("GET", `/${"x".repeat(10_000)}`);
  assert.ok(body.length < 200);
});

Deno.test("HEAD answers as GET, without the body", async () => {
  const { call } = setUp();
  for (const path of ["/health", "/list"]) {
    const { status, headers, body } = await call("HEAD", path);
    assert.deepEqual([status, body], [200, ""]);
    assert.equal(
      headers.get("content-type"),
      (await call("GET", path)).headers.get("content-type"),
    );
  }
});

Deno.test("a request whose URL does not parse is answered", async () => {
  const { log } = setUp();
  const app = createApp({ control: new MemoryControl(), logger: log.logger });
  for (const [url, status] of [["http://a b</health", 200], ["http://a:1", 404]] as const) {
    // The server hands on what the client sent; the Request constructor would refuse it.
    const request = new Proxy(new Request(BASE), {
      get: (target, key) => key === "url" ? url : Reflect.get(target, key, target),
    });
    assert.equal((await app.fetch(request)).status, status, url);
  }
});

Deno.test("POST /certificate is 404 without an issuer", async () => {
  const { status } = await setUp().call("POST", "/certificate", "{}");
  assert.equal(status, 404);
});

Deno.test("POST /certificate answers what the issuer makes, and logs it without the key", async () => {
  const asked: LeafRequest[] = [];
  const issuer = {
    issue: (request: LeafRequest) => {
      asked.push(request);
      return Promise.resolve({ ca: "C", certificate: "L", privateKey: "K", notAfter: SINCE });
    },
  };
  const { call, log } = setUp({ issuer });
  const names = { ip_addresses: ["127.0.0.1"], dns_names: ["localhost:9090"] };
  const answer = await call("POST", "/certificate", JSON.stringify({ name: "x", ...names }));
  assert.equal(answer.status, 200);
  assert.equal(answer.body, '{"ca":"C","certificate":"L","private_key":"K"}');
  const plain = await call("POST", "/certificate", '{"name":"y"}');
  assert.equal(plain.status, 200, plain.body);
  assert.deepEqual(asked, [
    { name: "x", ipAddresses: ["127.0.0.1"], dnsNames: ["localhost:9090"] },
    { name: "y", ipAddresses: [], dnsNames: [] },
  ]);
  const [line] = log.lines.filter(({ level }) => level === "info");
  assert.equal(line?.message, "certificate issued");
  assert.deepEqual(line.fields, {
    ...asked[0],
    notAfter: SINCE,
    principal: "anonymous",
    rule: "open",
  });

  const bad = await call("POST", "/certificate", '{"ip_addresses":"::1","dns_names":[1]}');
  assert.equal(bad.status, 422);
  assert.equal(
    bad.body,
    "name: missing, want text of 1 to 64 characters without control characters\n" +
      'ip_addresses: got "::1", want a list of at most 100 IP addresses\n' +
      "dns_names: got a list, want a list of at most 100 DNS names\n",
  );
  const { status, headers } = await call("GET", "/certificate");
  assert.deepEqual([status, headers.get("allow")], [405, "POST"]);
});

Deno.test("any body is 200, 400, 413 or 422", async () => {
  const field = fc.oneof(fc.jsonValue(), fc.constantFrom("a:1", "local", 1, 65536, "[::1]:80"));
  const body = fc.oneof(
    fc.json(),
    fc.string({ unit: "binary" }),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
    fc.record(
      {
        name: field,
        source_port: field,
        remote_connector_addr: field,
        destination_addr: field,
        type: field,
        extra: field,
      },
      { requiredKeys: [] },
    ).map((value) => JSON.stringify(value)),
    fc.constantFrom(1000, MAX_BODY_BYTES, MAX_BODY_BYTES + 1).map((size) => "[".repeat(size)),
  );
  await fc.assert(
    fc.asyncProperty(body, async (sent) => {
      const { status, body } = await setUp().call("POST", "/expose", sent);
      assert.ok([200, 400, 413, 422].includes(status), `${status} ${body}`);
      if (status !== 200) assert.match(body, /^[^\n]+\n([^\n]+\n)*$/);
    }),
    { numRuns: 300 },
  );
});

Deno.test("any valid request can be read back from the list", async () => {
  const host = fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6().map((text) => `[${text}]`));
  const address = fc.tuple(host, fc.integer({ min: 1, max: 65535 }))
    .map(([name, port]) => `${name}:${port}`);
  const valid = fc.record({
    name: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }),
    source_port: fc.integer({ min: 1, max: 65535 }),
    remote_connector_addr: address,
    destination_addr: address,
    type: fc.constantFrom("local", "remote"),
  });
  await fc.assert(
    fc.asyncProperty(valid, async (sent) => {
      const { call } = setUp();
      const { status, body: id } = await expose(call, sent);
      assert.equal(status, 200, id);
      const { since: _since, origin: _origin, connections: _connections, ...listed } =
        JSON.parse((await call("GET", "/list")).body)[0];
      assert.deepEqual(listed, { ...sent, id, type: sent.type.toUpperCase(), status: "PENDING" });
    }),
    { numRuns: 200 },
  );
});

Deno.test("so many requests wait for a service, and no more; whoever waits no longer makes room", async () => {
  const waiting: PromiseWithResolvers<string>[] = [];
  const app = createApp({
    control: {
      expose: (_request, { waitMs = 0 } = {}) => {
        if (waitMs === 0) return Promise.resolve("at once");
        const wait = Promise.withResolvers<string>();
        waiting.push(wait);
        return wait.promise;
      },
      destroy: () => Promise.resolve(),
      get: () => {
        throw new TypeError("not asked for");
      },
      list: () => [],
    },
  });
  const expose = (query: string) =>
    app.fetch(
      new Request(`${BASE}/expose${query}`, { method: "POST", body: JSON.stringify(GOOD) }),
    );
  const answers: Promise<Response>[] = [];
  let refused: Response | undefined;
  while (refused === undefined && answers.length < 100) {
    const count = waiting.length;
    const answer = expose("?wait=10");
    while (waiting.length === count && refused === undefined) {
      refused = await Promise.race([
        answer,
        new Promise<undefined>((go) => setTimeout(() => go(undefined), 0)),
      ]);
    }
    answers.push(answer);
  }
  assert.equal(refused?.status, 429);
  assert.match(await refused.text(), /^Too many requests wait for their services /);
  assert.ok(waiting.length >= 1 && waiting.length <= 64, `${waiting.length}`);
  assert.equal(await (await expose("")).text(), "at once");
  waiting[0]?.resolve("complete");
  assert.equal(await (await answers[0])?.text(), "complete");
  const count = waiting.length;
  const next = expose("?wait=10");
  while (waiting.length === count) await new Promise((go) => setTimeout(go, 0));
  for (const wait of waiting) wait.resolve("complete");
  assert.equal((await next).status, 200);
});

Deno.test("a long list is whole, and made while others are answered", async () => {
  const control = new MemoryControl();
  for (let port = 1; port <= 1001; port += 1) {
    await control.expose({
      name: `service ${port}`,
      sourcePort: port,
      remoteConnectorAddr: "a:1",
      destinationAddr: "b:2",
      type: "local",
    });
  }
  const app = createApp({ control });
  const list = app.fetch(new Request(`${BASE}/list`));
  const first = await Promise.race([
    list.then(() => "list"),
    app.fetch(new Request(`${BASE}/health`)).then(() => "health"),
  ]);
  assert.equal(first, "health");
  const services: { source_port: number }[] = await (await list).json();
  assert.deepEqual(
    services.map((each) => each.source_port),
    [...Array(1001).keys()].map((n) => n + 1),
  );
});

Deno.test("GET /ready has what an operator should know below its verdict", async () => {
  let notes: string[] = [];
  const { call, control } = setUp({ notes: () => notes });
  assert.equal((await call("GET", "/ready")).body, "OK");
  notes = ['the API tokens on disk are not used: Cannot use "x"', "another"];
  const told = `${notes.join("\n")}\n`;
  assert.deepEqual(
    (({ status, body }) => [status, body])(await call("GET", "/ready")),
    [200, `OK\n${told}`],
  );
  await control.expose({
    name: "web",
    sourcePort: 1,
    remoteConnectorAddr: "a:1",
    destinationAddr: "a:1",
    type: "local",
  });
  await until(async () => (await call("GET", "/ready")).status === 503, "it is not ready");
  assert.ok((await call("GET", "/ready")).body.endsWith(`web: pending\n${told}`));
});

Deno.test("with tokens, everything but GET and HEAD of /health and /ready needs one", async () => {
  const tokens = ApiTokens.parse("good", "tokens");
  const lines: [string, Record<string, unknown>][] = [];
  const keep = (kind: string) => ({
    info: (_message: string, fields: Record<string, unknown>) => lines.push([kind, fields]),
  });
  const app = createApp({
    control: new MemoryControl(),
    logger: new LogLines().logger,
    access: new ApiAccess({ tokens: () => tokens }),
    audit: { done: keep("done"), refused: keep("refused") },
  });
  const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
    app.fetch(
      new Request(`${BASE}${path}`, {
        method,
        headers,
        ...(method === "POST" && { body: JSON.stringify(GOOD) }),
      }),
    );
  // An encoded letter is that letter. RFC 3986 section 6.2.2.2.
  for (const path of ["/health", "/ready", "/ready?x=1", "/%68ealth"]) {
    for (const method of ["GET", "HEAD"]) assert.equal((await ask(method, path)).status, 200);
  }
  assert.equal(lines.length, 0);
  const guarded: [string, string][] = [
    ["POST", "/health"],
    ["POST", "/expose"],
    ["GET", "/list"],
    ["HEAD", "/list"],
    ["OPTIONS", "/list"],
    ["DELETE", "/expose/x"],
    ["POST", "/certificate"],
    ["GET", "/nothing"],
    ["GET", "/"],
    ["GET", "/health/"],
    ["GET", "//health"],
    ["GET", "/list?/health"],
    ["GET", "/Health"],
  ];
  for (const [method, path] of guarded) {
    for (const headers of [{}, { authorization: "Bearer bad" }]) {
      const response = await ask(method, path, headers);
      assert.equal(response.status, 401, `${method} ${path}`);
      assert.equal(response.headers.get("www-authenticate"), "Bearer");
      await response.body?.cancel();
    }
    const { status } = await ask(method, path, { authorization: "Bearer good" });
    assert.notEqual(status, 401, `${method} ${path}`);
  }
  // Each failure is a line, whatever the method, and who has changed something is in its line.
  assert.equal(lines.filter(([, { status }]) => status === 401).length, 2 * guarded.length);
  // Whatever a reader of the URL takes for its path: the Host is the client's to choose.
  for (const url of ["http:///health?/list", "http:///ready?/expose/x", "http://?/health/list"]) {
    const request = new Request(BASE);
    Object.defineProperty(request, "url", { value: url });
    assert.equal((await app.fetch(request)).status, 401, url);
  }
  assert.deepEqual(lines[0], ["refused", {
    method: "POST",
    path: "/health",
    status: 401,
    principal: "anonymous",
    rule: "credentials",
    reason:
      'The API needs a token: want "Authorization: Bearer TOKEN" with a token of --api-token-file',
  }]);
  assert.deepEqual(lines.find(([kind]) => kind === "done")?.[1].principal, "token of line 1");
  // The guard against web pages comes first, whatever token there is.
  const page = { authorization: "Bearer good", origin: "https://evil.example" };
  assert.equal((await ask("GET", "/list", page)).status, 403);
  assert.equal(lines.at(-1)?.[1].rule, "web page");
});
