// `POST /expose?wait=SECONDS`: the answer is the truth, and when it is no, nothing is left on either side.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import {
  type ConnectorProcess,
  exposeService,
  type RestAnswer,
  spawnConnector,
  spawnPair,
} from "../../support/processes.ts";
import { echo, freePort, refuses, roundTrip, serveTcp, until } from "../../support/world.ts";

const TYPES = ["local", "remote"] as const;

for (const type of TYPES) {
  Deno.test(`${type}: the answer comes when the service is complete`, async () => {
    await using server = serveTcp(echo);
    await using pair = await spawnPair();
    const port = freePort();
    const { status, body } = await expose(pair.local, {
      ...{ to: pair.remote.address, type, sourcePort: port, wait: 10 },
      destination: server.port,
    });
    strictEqual(status, 200, body);
    strictEqual(await pair.local.rest.statusOf(body), "COMPLETE");
    await roundTrip(port);
  });

  Deno.test(`${type}: no peer in time is 504 with the reason`, async () => {
    await using local = await spawnConnector();
    const port = freePort();
    const started = performance.now();
    const { status, body } = await expose(local, {
      ...{ to: `127.0.0.1:${freePort()}`, type, sourcePort: port, wait: 1 },
    });
    const took = performance.now() - started;
    strictEqual(status, 504);
    strictEqual(
      body,
      'Cannot expose service "test": it was not complete in time: ' +
        "no link to the peer: connection refused\n",
    );
    ok(took > 900 && took < 3000, `${took} ms`);
    await nothingLeft(local, port);
  });

  Deno.test(`${type}: a peer that may not is 403 with its reason`, async () => {
    const flag = type === "local" ? "--disable-remote-expose" : "--disable-local-expose";
    await using pair = await spawnPair({ remote: { args: [flag] } });
    const port = freePort();
    const { status, body } = await expose(pair.local, {
      ...{ to: pair.remote.address, type, sourcePort: port, wait: 10 },
    });
    strictEqual(status, 403);
    match(body, new RegExp(`this connector runs with ${flag}\n$`));
    await nothingLeft(pair.local, port);
    deepStrictEqual(await pair.remote.rest.list(), []);
  });

  Deno.test(`${type}: without a wait, what may not be is in error and tried again within a minute`, async () => {
    const flag = type === "local" ? "--disable-remote-expose" : "--disable-local-expose";
    await using pair = await spawnPair({ remote: { args: [flag] } });
    const { body: id } = await expose(pair.local, { to: pair.remote.address, type });
    await until(async () => await pair.local.rest.statusOf(id) === "ERROR", "it is in error");
    // While it is asked for there is no next try.
    const known: { retry_at?: string; last_error?: string } = {};
    await until(async () => {
      const [entry] = await pair.local.rest.list();
      return Object.assign(known, entry).retry_at !== undefined;
    }, "it is to be tried again");
    const { retry_at, last_error } = known;
    ok(Date.parse(retry_at ?? "") <= Date.now() + 60_000);
    match(last_error ?? "", new RegExp(flag));
  });
}

Deno.test("a port that is in use at the peer is 409 with the reason; without a wait it is had once it is free", async () => {
  await using server = serveTcp(echo);
  await using pair = await spawnPair();
  const squatter = Deno.listen({ hostname: "0.0.0.0", port: freePort() });
  const service = {
    to: pair.remote.address,
    type: "local" as const,
    destination: server.port,
    sourcePort: squatter.addr.port,
  };
  const { status, body } = await expose(pair.local, { ...service, wait: 10 });
  strictEqual(status, 409);
  match(body, /^Cannot expose service "test": .*: the port is already in use\n$/);
  deepStrictEqual(await pair.local.rest.list(), []);

  const { body: id } = await expose(pair.local, service);
  await until(async () => await pair.local.rest.statusOf(id) === "ERROR", "it is in error");
  const { body: shown } = await pair.local.rest.request("GET", `/expose/${id}`);
  const { message, retry_at, since } = JSON.parse(shown);
  match(message, /the port is already in use/);
  ok(Date.parse(since) <= Date.now());
  ok(retry_at === undefined || Date.parse(retry_at) > Date.parse(since));
  const ready = await pair.local.rest.request("GET", "/ready");
  strictEqual(ready.status, 503);
  match(ready.body, new RegExp(`^${id} test: error, .*already in use\n$`));

  squatter.close();
  await until(async () => await pair.local.rest.statusOf(id) === "COMPLETE", "it is complete");
  await roundTrip(service.sourcePort);
  strictEqual((await pair.local.rest.request("GET", "/ready")).status, 200);
  const [entry] = await pair.local.rest.list();
  match(entry?.last_error ?? "", /already in use/);
  strictEqual(entry?.message, undefined);
});

Deno.test("a busy port of our own is 409 at once", async () => {
  await using pair = await spawnPair();
  using squatter = Deno.listen({ hostname: "0.0.0.0", port: freePort() });
  const sourcePort = squatter.addr.port;
  for (const wait of [undefined, 10]) {
    const { status, body } = await expose(pair.local, {
      ...{ to: pair.remote.address, type: "remote", sourcePort, wait },
    });
    strictEqual(status, 409);
    match(body, /the port is already in use/);
  }
  deepStrictEqual(await pair.local.rest.list(), []);
});

Deno.test("a caller that hangs up leaves nothing behind", async () => {
  await using local = await spawnConnector();
  const port = freePort();
  const hangUp = new AbortController();
  const asked = fetch(`${local.rest.url}/expose?wait=60`, {
    method: "POST",
    signal: hangUp.signal,
    body: JSON.stringify(
      bodyOf({ to: `127.0.0.1:${freePort()}`, type: "remote", sourcePort: port }),
    ),
  }).then(() => "answered", () => "given up");
  await until(async () => (await local.rest.list()).length === 1, "it is tried");
  hangUp.abort();
  strictEqual(await asked, "given up");
  await until(async () => (await local.rest.list()).length === 0, "it is gone");
  await nothingLeft(local, port);
});

Deno.test("whoever waits when the connector stops is told", async () => {
  await using local = await spawnConnector();
  const asked = expose(local, { to: `127.0.0.1:${freePort()}`, type: "local", wait: 60 });
  await until(async () => (await local.rest.list()).length === 1, "it is tried");
  deepStrictEqual(await local.stop("SIGTERM"), { code: 0, signal: null });
  const { status, body } = await asked;
  strictEqual(status, 502);
  strictEqual(body, 'Cannot expose service "test": The connector is shutting down\n');
});

Deno.test("the list says who the peer is, what was carried and why the last connection ended", async () => {
  await using server = serveTcp(echo);
  await using pair = await spawnPair();
  const { id, port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: server.port,
  });
  await roundTrip(port, { length: 1000 });
  for (const { rest } of [pair.local, pair.remote]) {
    await until(async () => (await rest.list())[0]?.connections.open === 0, "it has ended");
    const { body } = await rest.request("GET", `/expose/${id}`);
    const { connections, peer } = JSON.parse(body);
    deepStrictEqual(connections, {
      open: 0,
      total: 1,
      failed: 0,
      refused: 0,
      resuming: 0,
      resumed: 0,
      not_resumed: 0,
      bytes_in: 1000,
      bytes_out: 1000,
      last_close: "both sides finished",
    });
    match(peer.address, /^127\.0\.0\.1:\d+$/);
  }
});

interface Request {
  to: string;
  type: "local" | "remote";
  destination?: number;
  sourcePort?: number;
  wait?: number | undefined;
}

function bodyOf({ to, type, destination = 1, sourcePort = freePort() }: Request) {
  return {
    name: "test",
    source_port: sourcePort,
    remote_connector_addr: to,
    destination_addr: `127.0.0.1:${destination}`,
    type,
  };
}

function expose(connector: ConnectorProcess, request: Request): Promise<RestAnswer> {
  const path = request.wait === undefined ? "/expose" : `/expose?wait=${request.wait}`;
  return connector.rest.request("POST", path, { body: bodyOf(request) });
}

async function nothingLeft(connector: ConnectorProcess, port: number): Promise<void> {
  deepStrictEqual(await connector.rest.list(), []);
  strictEqual(await refuses(port), true);
}
