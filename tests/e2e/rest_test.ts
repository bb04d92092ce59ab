// The REST API of a running connector: every answer of the contract's table, status and body, and what a
// browser on another site may not do. What each field is checked for is tested in process.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { exposeService, type RestClient, spawnConnector, spawnPair } from "../support/processes.ts";
import { echo, freePort, readAll, roundTrip, serveTcp, writeAll } from "../support/world.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

Deno.test("REST API", async (t) => {
  await using connector = await spawnConnector();
  const { rest } = connector;
  // A peer that takes connections and says nothing: services stay pending.
  await using silent = serveTcp(async (conn) => void await readAll(conn));
  const good = {
    name: "web",
    source_port: freePort(),
    remote_connector_addr: `127.0.0.1:${silent.port}`,
    destination_addr: "127.0.0.1:8080",
    type: "remote",
  };
  const expose = (body: unknown) => rest.request("POST", "/expose", { body });
  // The process outlives each step, so the sanitizers watch over the whole test instead.
  const step = (name: string, fn: () => Promise<void>) =>
    t.step({ name, fn, sanitizeOps: false, sanitizeResources: false });

  await step("GET /health answers OK", async () => {
    const { status, body } = await rest.request("GET", "/health");
    deepStrictEqual([status, body], [200, "OK"]);
  });

  await step("an empty list is an empty array", async () => {
    const { status, body, headers } = await rest.request("GET", "/list");
    deepStrictEqual([status, JSON.parse(body)], [200, []]);
    match(headers.get("content-type") ?? "", /^application\/json/);
  });

  let id = "";
  await step("POST /expose answers the bare id, whatever the content type", async () => {
    const exposed = await expose(good);
    strictEqual(exposed.status, 200, exposed.body);
    match(exposed.body, UUID);
    id = exposed.body;
  });

  await step("GET /list has every key of the contract", async () => {
    const [service, ...more] = await rest.list();
    deepStrictEqual(more, []);
    const listed = Object.entries(service ?? {});
    deepStrictEqual(
      Object.fromEntries(
        listed.filter(([key]) => [...Object.keys(good), "id", "status"].includes(key)),
      ),
      { ...good, id, type: "REMOTE", status: "PENDING" },
    );
  });

  await step("a port that is exposed already is 409 and names the service", async () => {
    const { status, body } = await expose({ ...good, name: "other" });
    strictEqual(status, 409);
    match(body, new RegExp(`${good.source_port}.*web`));
  });

  await step("a port that another program has is 409", async () => {
    using busy = Deno.listen({ hostname: "0.0.0.0", port: 0 });
    const { status, body } = await expose({ ...good, source_port: busy.addr.port });
    strictEqual(status, 409);
    match(body, /in use/);
    strictEqual((await rest.list()).length, 1);
  });

  await step("DELETE /expose/{id} answers 200 and an empty body, an unknown id 404", async () => {
    const removed = await rest.request("DELETE", `/expose/${id}`);
    deepStrictEqual([removed.status, removed.body], [200, ""]);
    deepStrictEqual(await rest.list(), []);
    const again = await rest.request("DELETE", `/expose/${id}`);
    strictEqual(again.status, 404);
    match(again.body, new RegExp(id));
    const { status } = await rest.request("DELETE", "/expose/no-such-id");
    strictEqual(status, 404);
  });

  await step("malformed JSON is 400", async () => {
    for (const body of ["", "{", "name=web", "{} {}"]) {
      const answer = await expose(body);
      strictEqual(answer.status, 400, `${body}: ${answer.body}`);
      ok(answer.body.length > 0);
    }
  });

  await step("a missing field is 422 and named on a line of its own", async () => {
    const { status, body } = await expose({});
    strictEqual(status, 422);
    const named = body.trimEnd().split("\n");
    strictEqual(named.length, Object.keys(good).length, body);
    for (const field of Object.keys(good)) {
      strictEqual(named.filter((line) => line.includes(field)).length, 1, `${field} in ${body}`);
    }
  });

  await step("a bad field is 422 and named", async () => {
    const bad: [keyof typeof good, unknown][] = [
      ["name", ""],
      ["name", 7],
      ["source_port", 0],
      ["source_port", 65536],
      ["source_port", -1],
      ["source_port", 80.5],
      ["source_port", "eighty"],
      ["remote_connector_addr", "localhost"],
      ["remote_connector_addr", "localhost:0"],
      ["remote_connector_addr", ":9090"],
      ["destination_addr", "::1:80"],
      ["destination_addr", "localhost:65536"],
      ["destination_addr", ""],
      ["type", "both"],
      ["type", null],
    ];
    for (const [field, value] of bad) {
      const { status, body } = await expose({ ...good, [field]: value });
      const shown = `${field} ${JSON.stringify(value)}: ${status} ${body}`;
      strictEqual(status, 422, shown);
      const named = body.trimEnd().split("\n");
      ok(named.length === 1 && named[0]?.includes(field), shown);
    }
    deepStrictEqual(await rest.list(), []);
  });

  await step("a wrong method is 405, an unknown path 404", async () => {
    for (
      const [method, path] of [
        ["POST", "/health"],
        ["GET", "/expose"],
        ["PUT", "/expose"],
        ["POST", "/list"],
        ["PUT", "/expose/some-id"],
      ] as const
    ) {
      const { status } = await rest.request(method, path);
      strictEqual(status, 405, `${method} ${path}`);
    }
    strictEqual((await rest.request("GET", "/nothing-here")).status, 404);
  });

  await step("POST /certificate is 404 without --root-cert-key", async () => {
    const { status } = await rest.request("POST", "/certificate", {
      body: { name: "x", ip_addresses: ["127.0.0.1"], dns_names: ["localhost"] },
    });
    strictEqual(status, 404);
  });

  await step("a body of more than 1 MiB is 413", async () => {
    const { status } = await expose({ ...good, name: "x".repeat(1024 * 1024) });
    strictEqual(status, 413);
    strictEqual((await rest.request("GET", "/health")).status, 200);
  });

  await step("a request that a browser sends from another site is 403", async () => {
    const headers: Record<string, string>[] = [
      { Origin: "http://evil.example" },
      { Origin: "null" },
      { Origin: `https://127.0.0.1:${connector.httpPort + 1}` },
      { "Sec-Fetch-Site": "cross-site" },
      { "Sec-Fetch-Site": "same-site" },
    ];
    for (const each of headers) {
      const { status } = await rest.request("POST", "/expose", { body: good, headers: each });
      strictEqual(status, 403, JSON.stringify(each));
    }
    deepStrictEqual(await rest.list(), []);
    const own = await rest.request("GET", "/health", {
      headers: { Origin: rest.url, "Sec-Fetch-Site": "same-origin" },
    });
    strictEqual(own.status, 200);
  });

  await step("a browser that was led here by a foreign name is 403", async () => {
    const browser = "Sec-Fetch-Site: same-origin\r\n";
    strictEqual(await statusFor(rest, `Host: evil.example\r\n${browser}`), 403);
    strictEqual(await statusFor(rest, `Host: localhost:1\r\n${browser}`), 200);
    strictEqual(await statusFor(rest, `Host: [::1]\r\n${browser}`), 200);
  });
});

Deno.test("a program on this machine is answered under its own names only, whatever it sends", async () => {
  await using connector = await spawnConnector({ args: ["--http-allowed-host=connector.example"] });
  const { rest } = connector;
  for (const host of ["rebound.example", "rebound.example:80", "localhost.example", ""]) {
    strictEqual(await statusFor(rest, `Host: ${host}\r\n`), 403, host);
  }
  strictEqual(await statusFor(rest, "Host: localhost\r\nHost: rebound.example\r\n"), 400);
  strictEqual(await statusFor(rest, "Host: a b<\r\n"), 400);
  strictEqual(await statusFor(rest, ""), 400);
  for (const host of ["localhost", "127.0.0.1:1", "[::1]", "connector.example:9091"]) {
    strictEqual(await statusFor(rest, `Host: ${host}\r\n`), 200, host);
  }
});

Deno.test("the name that the REST API is bound to may be used", async () => {
  await using connector = await spawnConnector({ httpBind: "localhost:0" });
  strictEqual((await connector.rest.request("GET", "/health")).status, 200);
});

Deno.test("half-open requests take no descriptors from services, and the REST API answers on", async () => {
  await using server = serveTcp(echo);
  await using pair = await spawnPair({ remote: { openFiles: 256 } });
  const { remote, local } = pair;
  const { port } = await exposeService(local, {
    to: remote.address,
    type: "local",
    destination: server.port,
  });
  using clients = new DisposableStack();
  for (let count = 0; count < 400; count += 1) {
    const conn = clients.use(await Deno.connect({ port: remote.httpPort }));
    const half = new TextEncoder().encode("GET /list HTTP/1.1\r\nHost: localhost\r\nA");
    // It may have been cut meanwhile.
    await writeAll(conn, half).catch(() => undefined);
  }
  strictEqual((await remote.rest.request("GET", "/health")).status, 200);
  await roundTrip(port);
  await using another = await spawnConnector();
  await exposeService(another, { to: remote.address, type: "local", destination: server.port });
  match(remote.logs(), /REST connection cut .*reason="there are too many connections"/);
  ok((remote.logs().match(/REST connection cut/g)?.length ?? 0) < 50, "the log is bounded");
});

Deno.test("--http-allowed-host lets browsers use a name", async () => {
  await using connector = await spawnConnector({ args: ["--http-allowed-host=connector.example"] });
  const browser = "Sec-Fetch-Site: same-origin\r\n";
  strictEqual(await statusFor(connector.rest, `Host: connector.example\r\n${browser}`), 200);
  strictEqual(await statusFor(connector.rest, `Host: other.example\r\n${browser}`), 403);
});

/** The status of `GET /health` with these header lines; fetch does not let its caller choose the host. */
async function statusFor(rest: RestClient, headers: string): Promise<number> {
  const { hostname, port } = new URL(rest.url);
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const request = `GET /health HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;
  await writeAll(conn, new TextEncoder().encode(request));
  return Number(new TextDecoder().decode(await readAll(conn)).split(" ")[1]);
}
