// `connector expose`, `list`, `status`, `remove` and `wait` in process, against the REST API over a `Control` in memory.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createApp } from "../../src/api/app.ts";
import { serveHttp } from "../../src/api/serve_http.ts";
import { findService, findServices } from "../../src/cli/find_services.ts";
import { parseForwarding } from "../../src/cli/forwarding.ts";
import { runCli } from "../../src/cli/program.ts";
import { sizeText } from "../../src/cli/service_texts.ts";
import { textTable } from "../../src/cli/text_table.ts";
import { serviceToJson } from "../../src/api/schemas.ts";
import { getLogger } from "@logtape/logtape";
import { ApiAccess, ApiTokens } from "../../src/model/api_access.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Control, ServiceReport } from "../../src/model/service.ts";
import { IDLE, reportNumber } from "../support/rest_server.ts";
import { freePort, serveTcp, until, writeAll } from "../support/world.ts";

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** A connector's API on a free port, and commands that ask it. */
interface Api extends AsyncDisposable {
  url: string;
  services: Map<string, ServiceReport>;
  run(args: string[], env?: Record<string, string>): Promise<Outcome>;
}

async function run(
  args: string[],
  { env = {}, out = () => {}, signal, columns }: {
    env?: Record<string, string>;
    out?: (text: string) => void;
    signal?: AbortSignal;
    columns?: number;
  } = {},
): Promise<Outcome> {
  const outcome = { code: -1, stdout: "", stderr: "" };
  outcome.code = await runCli(args, {
    stdout: (text) => {
      outcome.stdout += text;
      out(text);
    },
    stderr: (text) => outcome.stderr += text,
    columns: () => columns,
    env,
    ...(signal && { signal }),
  });
  return outcome;
}

async function startApi(
  { services = [], token, ...control }: Partial<Control> & {
    services?: ServiceReport[];
    token?: string;
  } = {},
): Promise<Api> {
  const logger = getLogger(["test"]);
  const known = new Map(services.map((each) => [each.id, each]));
  const tokens = token === undefined ? undefined : ApiTokens.parse(token, "tokens");
  const { fetch } = createApp({
    control: {
      expose(request) {
        const id = crypto.randomUUID();
        known.set(id, { ...reportNumber(request.sourcePort), ...request, id });
        return Promise.resolve(id);
      },
      get(id) {
        const found = known.get(id);
        if (found) return found;
        throw new ConnectorError("not_found", `There is no service with the id "${id}"`);
      },
      destroy(id) {
        known.delete(id);
        return Promise.resolve();
      },
      list: () => [...known.values()],
      ...control,
    },
    access: new ApiAccess({ ...(tokens && { tokens: () => tokens }) }),
    logger,
  });
  const server = await serveHttp({ bind: { host: "127.0.0.1", port: 0 } }, {
    fetch,
    tls: undefined,
    logger,
    refusalMs: 0,
  });
  const url = `http://127.0.0.1:${server.address?.port}`;
  return {
    url,
    services: known,
    run: (args, env = {}) => run(args, { env: { CONNECTOR_API: url, ...env } }),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

function service(name: string, of: Partial<ServiceReport> = {}): ServiceReport {
  return { ...reportNumber(12_000), name, ...of };
}

const DONE = { code: 0, stderr: "" };

Deno.test("expose asks for what was written, and says where it leads and its id", async () => {
  await using api = await startApi();
  const { stdout, ...rest } = await api.run([
    ...["expose", "local", "12000:localhost:8080", "--to", "server:9090", "--name", "web"],
  ]);
  deepStrictEqual(rest, DONE);
  const [made] = api.services.values();
  strictEqual(
    stdout,
    `Exposed "web": port 12000 of server:9090 leads to localhost:8080 here\n${made?.id}\n`,
  );
  const { name, sourcePort, sourceAddr, remoteConnectorAddr, destinationAddr, type } = made ??
    service("");
  deepStrictEqual(
    { name, sourcePort, sourceAddr, remoteConnectorAddr, destinationAddr, type },
    {
      name: "web",
      sourcePort: 12_000,
      sourceAddr: undefined,
      remoteConnectorAddr: "server:9090",
      destinationAddr: "localhost:8080",
      type: "local",
    },
  );
});

Deno.test("expose --json prints the service, which is called as its destination unless told", async () => {
  await using api = await startApi();
  const { stdout } = await api.run([
    ...["expose", "remote", "127.0.0.1:5432:[::1]:5433", "--to", "[::1]:9090", "--json"],
  ]);
  const { name, type, source_addr, destination_addr } = JSON.parse(stdout);
  deepStrictEqual([name, type, source_addr, destination_addr], [
    ...["[::1]:5433", "REMOTE", "127.0.0.1", "[::1]:5433"],
  ]);
});

Deno.test("expose --wait passes the time on, and exits with 3 when the service is not complete in it", async () => {
  let waited: number | undefined;
  await using api = await startApi({
    expose(_request, { waitMs } = {}) {
      waited = waitMs;
      throw new ConnectorError("deadline_exceeded", "it was not complete in time: no link");
    },
  });
  const { code, stderr, stdout } = await api.run([
    ...["expose", "local", "1:localhost:2", "--to", "server:9090", "--wait", "1500ms"],
  ]);
  deepStrictEqual([code, stdout, waited], [3, "", 1500]);
  strictEqual(stderr, "error: it was not complete in time: no link\n");
});

Deno.test("what the API refuses is an error in its words", async () => {
  await using api = await startApi({
    expose() {
      throw new ConnectorError("already_exists", 'the port is in use by service "api"');
    },
  });
  deepStrictEqual(
    await api.run(["expose", "local", "1:localhost:2", "--to", "server:9090"]),
    { code: 1, stdout: "", stderr: 'error: the port is in use by service "api"\n' },
  );
});

Deno.test("list is a table, names alone, or JSON", async () => {
  const web = service("web", { id: "11111111-aaaa", sourceAddr: "127.0.0.1" });
  const other = service("x\u001b[2J", {
    status: "pending",
    connections: { ...web.connections, open: 1, total: 20, bytesIn: 999, bytesOut: 1_500_000 },
  });
  await using api = await startApi({ services: [web, other] });
  const { stdout, ...rest } = await api.run(["list"]);
  deepStrictEqual(rest, DONE);
  const [head, first, second] = stdout.split("\n");
  match(
    head ?? "",
    /^NAME +ID +TYPE +ORIGIN +STATUS +PORT +DESTINATION +CONNECTOR +OPEN +TOTAL +IN +OUT$/,
  );
  match(
    first ?? "",
    /^web +11111111 +local +api +complete +127\.0\.0\.1:12000 +localhost:8080 +server1/,
  );
  match(second ?? "", /^x\\u\{1b\}\[2J .* pending .* 1 +20 +999 B +1\.4 MiB$/);
  strictEqual((await api.run(["list", "--quiet"])).stdout, "web\nx\\u{1b}[2J\n");
  const json = await api.run(["list", "--json"]);
  deepStrictEqual(
    JSON.parse(json.stdout),
    JSON.parse(JSON.stringify([web, other].map(serviceToJson))),
  );
  ok(!json.stdout.includes("\u001b"));
});

Deno.test("list and status of a Go connector, which does not count, say what it does", async () => {
  const go = [{
    id: "11111111-aaaa",
    name: "web",
    source_port: 12_000,
    remote_connector_addr: "server1:9090",
    destination_addr: "localhost:8080",
    type: "LOCAL",
    status: "COMPLETE",
  }];
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => Response.json(go),
  );
  const ask = (...args: string[]) =>
    run([...args, "--api", `http://127.0.0.1:${server.addr.port}`], { env: {} });
  const { stdout, ...rest } = await ask("list");
  deepStrictEqual(rest, DONE);
  match(
    stdout,
    /\nweb +11111111 +local +- +complete +12000 +localhost:8080 +server1:9090( +-){4}\n$/,
  );
  strictEqual(
    (await ask("status")).stdout,
    "1 service: 1 complete, 0 pending, 0 in error; 0 connections open\n",
  );
  const details = await ask("status", "web");
  match(details.stdout, /\nstatus: +complete\nport: +12000\n/);
  deepStrictEqual(JSON.parse((await ask("list", "--json")).stdout), go);
});

Deno.test("list of nothing says so", async () => {
  await using api = await startApi();
  deepStrictEqual(await api.run(["list"]), { ...DONE, stdout: "No services\n" });
  deepStrictEqual(await api.run(["list", "--json"]), { ...DONE, stdout: "[]\n" });
});

Deno.test("status counts services, and exits with 3 while one is not complete, with the reason", async () => {
  const bad = service("bad", {
    id: "22222222-bbbb",
    status: "error",
    message: "port in use",
    since: new Date(Date.now() - 120_000),
  });
  await using api = await startApi({ services: [service("web"), bad] });
  const { code, stdout } = await api.run(["status"]);
  strictEqual(code, 3);
  strictEqual(
    stdout,
    "2 services: 1 complete, 0 pending, 1 in error; 0 connections open\n" +
      "  bad (22222222): error for 2 min, port in use\n",
  );
  const one = await api.run(["status", "web"]);
  strictEqual(one.code, 0);
  match(
    one.stdout,
    /^name: +web\nid: +\S{36}\ntype: +local\norigin: +the API\nstatus: +complete for \d s\n/,
  );
  ok(!one.stdout.includes("registration"));
  strictEqual((await api.run(["status", "2222"])).code, 3);
  strictEqual(JSON.parse((await api.run(["status", "bad", "--json"])).stdout).status, "ERROR");
});

Deno.test("status of a service says where it stands with the scheduler", async () => {
  const registration = {
    scheduler: "kubernetes",
    name: "web",
    state: "refused",
    message: "the name is taken",
  } as const;
  await using api = await startApi({ services: [service("web", { registration })] });
  const { stdout } = await api.run(["status", "web"]);
  match(stdout, /\nregistration: +refused, "web" in kubernetes: the name is taken\n/);
});

Deno.test("status of a service says what has become of lost links, once there was one", async () => {
  const { connections } = service("web");
  const lost = { ...connections, open: 1, resuming: 1, resumed: 30, notResumed: 1 };
  const services = [service("web"), service("db", { connections: lost })];
  await using api = await startApi({ services });
  const { stdout } = await api.run(["status", "db"]);
  match((await api.run(["status"])).stdout, /; 1 connection open\n/);
  match(stdout, /\nlost links: +1 connection waiting, 30 resumed, 1 ended\n/);
  ok(!(await api.run(["status", "web"])).stdout.includes("lost links"));
});

Deno.test("status --watch shows what has changed, until it is told to end", async () => {
  const web = service("web", { status: "pending" });
  await using api = await startApi({ services: [web] });
  const ending = new AbortController();
  let shown = "";
  const watching = run(["status", "web", "--json", "--watch"], {
    env: { CONNECTOR_API: api.url },
    out: (text) => shown += text,
    signal: ending.signal,
  });
  await until(() => shown.includes("PENDING"), "it is shown");
  api.services.set(web.id, { ...web, status: "complete" });
  await until(() => shown.includes("COMPLETE"), "the change is shown");
  ending.abort();
  strictEqual((await watching).code, 0);
  ok(!shown.includes("\u001b"), "no terminal is cleared that is none");
});

Deno.test("status --watch goes on while the connector is away, and says so; with --json it ends", async () => {
  const watch = async (...flags: string[]) => {
    const control = new AbortController();
    let looks = 0;
    await using api = await startApi({
      list: () => {
        if (looks++ > 0) throw new ConnectorError("unavailable", "it is about to end");
        return [service("web")];
      },
    });
    return await run(["status", "--watch", "--api", api.url, ...flags], {
      out: (text) => /about to end/.test(text) && control.abort(),
      signal: control.signal,
    });
  };
  const [people, program] = await Promise.all([watch(), watch("--json")]);
  deepStrictEqual([people.code, people.stderr], [3, ""]);
  match(people.stdout, /^1 service: 1 complete.*\nit is about to end\n$/);
  deepStrictEqual([program.code, program.stderr], [1, "error: it is about to end\n"]);
});

Deno.test("remove takes names, ids and beginnings, and removes nothing unless all are found", async () => {
  const [one, two, three] = [service("one"), service("two"), service("three")];
  await using api = await startApi({ services: [one, two, three] });
  const wrong = await api.run(["remove", "one", "none"]);
  deepStrictEqual([wrong.code, wrong.stdout, api.services.size], [1, "", 3]);
  strictEqual(wrong.stderr, 'error: There is no service "none"\nhint: See connector list\n');
  const { stdout, ...rest } = await api.run(["remove", "one", two.id, "one"]);
  deepStrictEqual(rest, DONE);
  strictEqual(stdout, `Removed "one" (${one.id})\nRemoved "two" (${two.id})\n`);
  deepStrictEqual([...api.services.keys()], [three.id]);
  const last = await api.run(["remove", "thr", "--json"]);
  deepStrictEqual(JSON.parse(last.stdout), [{ id: three.id, name: "three" }]);
});

Deno.test("remove says what it has removed before one could not be", async () => {
  const services = ["web", "filed"].map((name) => service(name, { id: name }));
  await using api = await startApi({
    services,
    destroy(id) {
      if (id === "web") return Promise.resolve();
      throw new ConnectorError("already_exists", "it is in the configuration file");
    },
  });
  const { code, stdout, stderr } = await api.run(["remove", "web", "filed"]);
  deepStrictEqual([code, stdout], [1, 'Removed "web" (web)\n']);
  strictEqual(stderr, "error: it is in the configuration file\n");
});

Deno.test("wait ends when every service is complete, and with 3 when one is not in time", async () => {
  const web = service("web", { status: "pending", message: "no link" });
  await using api = await startApi({ services: [web, service("db")] });
  const late = await api.run(["wait", "--for", "0s"]);
  deepStrictEqual([late.code, late.stdout], [3, ""]);
  match(
    late.stderr,
    /^error: Not every service is complete:\n {2}web \(\S{8}\): pending for .*no link\n$/,
  );
  deepStrictEqual(await api.run(["wait", "db"]), { ...DONE, stdout: "1 service is complete\n" });
  const waiting = api.run(["wait", "--for", "20s"]);
  api.services.set(web.id, { ...web, status: "complete" });
  deepStrictEqual(await waiting, { ...DONE, stdout: "2 services are complete\n" });
});

Deno.test("wait waits for the connector itself, too", async () => {
  const port = freePort();
  const waiting = run(["wait", "--for", "20s"], {
    env: { CONNECTOR_API: `http://127.0.0.1:${port}` },
  });
  const logger = getLogger(["test"]);
  const app = createApp({ control: IDLE, logger });
  using server = await serveHttp({ bind: { host: "127.0.0.1", port } }, {
    fetch: app.fetch,
    tls: undefined,
    logger,
  });
  strictEqual((await waiting).stdout, "0 services are complete\n");
  await server.close();
  const gone = await run(["wait", "--for", "0s"], {
    env: { CONNECTOR_API: `http://127.0.0.1:${port}` },
  });
  strictEqual(gone.code, 1);
  match(gone.stderr, /^error: Cannot reach the API at .*refused\nhint: Is the connector running/);
});

Deno.test("a token is read from a file, the first of it; without one the hint says which flag", async () => {
  await using api = await startApi({ token: "token-one-0123456789\ntoken-two-0123456789" });
  const without = await api.run(["list"]);
  strictEqual(without.code, 1);
  match(
    without.stderr,
    /^error: The API needs a token.*\nhint: Give a token with --api-token-file\n$/,
  );
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, "# ours\n\ntoken-two-0123456789 # second\nwrong\n");
    strictEqual((await api.run(["list", "--api-token-file", file])).code, 0);
    strictEqual((await api.run(["list"], { CONNECTOR_API_TOKEN_FILE: file })).code, 0);
    await Deno.writeTextFile(file, "# none\n");
    const empty = await api.run(["list", "--api-token-file", file]);
    strictEqual(empty.stderr, `error: Cannot use API token file "${file}": it has no token\n`);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("what does not answer as a connector is named", async () => {
  const answering = (answer: string) =>
    serveTcp(async (conn) => {
      await conn.read(new Uint8Array(1024));
      await writeAll(conn, new TextEncoder().encode(answer));
    });
  const list = (port: number) => run(["list", "--api", `http://127.0.0.1:${port}`]);
  {
    await using server = answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n");
    const { code, stderr } = await list(server.port);
    strictEqual(code, 1);
    match(
      stderr,
      /^error: Cannot read the answer at .*\nhint: Is this the REST API of a connector\?\n$/,
    );
  }
  {
    await using server = answering("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n[");
    match((await list(server.port)).stderr, /^error: The answer of the API at .* was cut off\n$/);
  }
  {
    await using server = answering(
      "HTTP/1.1 502 No\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>",
    );
    match((await list(server.port)).stderr, /^error: The API at .* answered 502\n$/);
  }
  {
    await using server = answering(
      "HTTP/1.1 504 Late\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>",
    );
    const { code, stderr } = await list(server.port);
    strictEqual(code, 1, "a proxy is late, not a service");
    match(stderr, /^error: The API at .* answered 504\n$/);
  }
  {
    await using server = answering(
      "HTTP/1.1 302 No\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
    );
    match((await list(server.port)).stderr, /^error: .* answered 302\nhint: It redirects/);
  }
});

Deno.test("an id that would steer the terminal, or is a page of something else, is no answer", async () => {
  const steering = {
    ...serviceToJson(service("web", { status: "pending" })),
    id: "\u001b]0;title\u0007",
  };
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    ({ method }) => method === "POST" ? new Response("<html>") : Response.json([steering]),
  );
  const expose = ["expose", "local", "1:h:2", "--to", "s:1"];
  for (const args of [["list"], ["status"], ["remove", "web"], ["wait", "--for", "0s"], expose]) {
    const outcome = await run([...args, "--api", `http://127.0.0.1:${server.addr.port}`]);
    deepStrictEqual([outcome.code, outcome.stdout], [1, ""], args.join(" "));
    match(outcome.stderr, /^error: Cannot read the answer at /, args.join(" "));
  }
});

const USAGE: [what: string, args: string[], error: RegExp][] = [
  ["no destination", ["expose", "local", "12000:8080", "--to", "s:1"], /want PORT:HOST:PORT/],
  ["port 0", ["expose", "local", "0:localhost:8080", "--to", "s:1"], /"0" is not a port/],
  [
    "a name to listen on",
    ["expose", "local", "h:1:localhost:2", "--to", "s:1"],
    /"h" is not an IP/,
  ],
  ["a wrong destination", ["expose", "local", "1:0x7f.1:2", "--to", "s:1"], /0x7f\.1/],
  ["no connector", ["expose", "local", "1:localhost:2"], /^error: --to is missing/],
  ["a wrong connector", ["expose", "local", "1:localhost:2", "--to", "s"], /"--to s".*has no port/],
  ["another type", ["expose", "both", "1:localhost:2", "--to", "s:1"], /local, remote/],
  ["a time without a unit", ["wait", "--for", "30"], /--for cannot be "30"/],
  ["too long a time", ["wait", "--for", "1h"], /from 0 to 5m/],
  ["names alone as JSON", ["list", "-q", "--json"], /'-q, --quiet' cannot be used with .*'--json'/],
  ["no service", ["remove"], /missing required argument/],
  ["no URL", ["list", "--api", "server:9091"], /Cannot ask the API at "server:9091": want a URL/],
  ["a path", ["list", "--api", "http://h/list"], /want no more than scheme, host and port/],
  ["no socket", ["list", "--api", "unix:"], /or unix:PATH/],
  ["a name with a line end", [
    ...["expose", "local", "1:h:2", "--to", "s:1", "--name", "a\nb"],
  ], /--name: want/],
];
for (const [what, args, error] of USAGE) {
  Deno.test(`usage: ${what} is refused before anything is asked`, async () => {
    const { code, stdout, stderr } = await run(args);
    deepStrictEqual([code, stdout], [2, ""]);
    match(stderr, error);
  });
}

Deno.test("forwardings are read as ssh has them", () => {
  deepStrictEqual(parseForwarding("12000:localhost:8080"), {
    sourceAddr: undefined,
    sourcePort: 12_000,
    destination: { host: "localhost", port: 8080 },
  });
  deepStrictEqual(parseForwarding("[::1]:1:[fd00::1]:2"), {
    sourceAddr: "::1",
    sourcePort: 1,
    destination: { host: "fd00::1", port: 2 },
  });
  deepStrictEqual(parseForwarding("12000:shop.web.server:http"), {
    sourceAddr: undefined,
    sourcePort: 12_000,
    destination: { host: "shop.web.server", port: 0, portLabel: "http" },
  });
});

Deno.test("a service is found by id, then by name, then by the beginning of one alone", () => {
  const services = [
    service("web", { id: "aaaa1111" }),
    service("web-2", { id: "aaaa2222" }),
    // A name that is the id of another.
    service("aaaa1111", { id: "bbbb3333" }),
  ].map(serviceToJson);
  const found = (text: string) => findService(services, text).id;
  strictEqual(found("aaaa1111"), "aaaa1111");
  strictEqual(found("web"), "aaaa1111");
  strictEqual(found("web-"), "aaaa2222");
  strictEqual(found("b"), "bbbb3333");
  for (const text of ["we", "aaaa", "", "none"]) {
    let message = "";
    try {
      found(text);
    } catch (error) {
      message = error instanceof ConnectorError ? error.message : String(error);
    }
    match(message, /may be any of \d services:\n {2}\S+ |There is no service/);
  }
  deepStrictEqual(findServices(services, []).length, 3);
});

Deno.test("a table has as many rows as an answer can have", () => {
  const rows = Array.from({ length: 250_000 }, () => ["a", "b"]);
  strictEqual(textTable(rows).length, "a  b\n".length * rows.length);
});

Deno.test("sizes have three digits at most, and a unit", () => {
  const sizes = [0, 999, 1000, 1536, 102_400, 1_048_576, 5e12];
  deepStrictEqual(sizes.map(sizeText), [
    ...["0 B", "999 B", "1.0 KiB", "1.5 KiB", "100 KiB", "1.0 MiB", "4.5 TiB"],
  ]);
});
