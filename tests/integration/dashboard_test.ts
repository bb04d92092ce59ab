// `GET /` and `GET /events` over HTTP: who may read them, what is told and when it ends, and the bounds.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Snapshot } from "../../src/api/live_messages.ts";
import { readEvents, serveDashboard } from "../support/live_events.ts";
import { request, statusOf } from "../support/rest_server.ts";
import {
  echo,
  exposeThrough,
  roundTrip,
  serveTcp,
  startConnector,
  startPair,
  until,
} from "../support/world.ts";

const TOKEN = "a-token-of-this-test";

Deno.test("everything is told at once, and then what changes", async () => {
  await using pair = await startPair();
  await using echoing = serveTcp(echo);
  await using served = await serveDashboard(pair.local);
  using events = await readEvents(served.rest);
  const first: Snapshot | undefined = await events.next("snapshot");
  deepStrictEqual(first?.services, []);
  strictEqual(first?.about.version, "1.2.3");
  deepStrictEqual(first?.about.notes, ["A note"]);
  const { id, port } = await exposeThrough(pair, { type: "local", destination: echoing.port });
  let service;
  while (service?.status !== "COMPLETE") {
    const change = await events.next("change");
    ok(change, "it goes on");
    service = change.services?.find((each) => each.id === id) ?? service;
  }
  await roundTrip(port, { length: 5000 });
  for (let bytes = 0; bytes !== 5000;) {
    const change = await events.next("change");
    ok(change, "it goes on");
    bytes = change.services?.[0]?.connections.bytes_in ?? 0;
  }
  // Whoever comes later is told the same, with what was counted before.
  using later = await readEvents(served.rest);
  const second = await later.next("snapshot");
  strictEqual(second?.services[0]?.connections.bytes_in, 5000);
  ok((second?.samples.length ?? 0) >= 1);
  const [link] = second?.links ?? [];
  deepStrictEqual(
    [link?.direction, link?.state, link?.dialect, link?.reconnects],
    ["outbound", "up", "native", 0],
  );
  ok(link?.since !== undefined && Date.parse(link.since) <= Date.now());
  await pair.local.connector.destroy(id);
  let removed: string[] = [];
  while (!removed.includes(id)) {
    const change = await events.next("change");
    ok(change, "it goes on");
    removed = change.removed ?? [];
  }
});

Deno.test("whoever comes when nobody has read for a while is told what is so now", async () => {
  await using near = await startConnector();
  await using served = await serveDashboard(near);
  {
    using events = await readEvents(served.rest);
    deepStrictEqual((await events.next("snapshot"))?.services, []);
  }
  const id = await near.connector.expose({
    name: "later",
    sourcePort: 1,
    remoteConnectorAddr: "127.0.0.1:1",
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  using events = await readEvents(served.rest);
  deepStrictEqual((await events.next("snapshot"))?.services.map((each) => each.id), [id]);
});

Deno.test("of one service, its open connections are told, with their visitors", async () => {
  await using pair = await startPair();
  await using echoing = serveTcp(echo);
  await using served = await serveDashboard(pair.local);
  const { id, port } = await exposeThrough(pair, { type: "local", destination: echoing.port });
  using visitor = await Deno.connect({ port });
  await visitor.write(new Uint8Array(1));
  using events = await readEvents(served.rest, { path: `/events?service=${id}` });
  let detail = await events.next("detail");
  while (detail?.connections.length === 0) detail = await events.next("detail");
  const [connection] = detail?.connections ?? [];
  strictEqual(connection?.visitor.split(":").at(-1), String(visitor.localAddr.port));
  strictEqual(connection?.remote, `127.0.0.1:${echoing.port}`);
  strictEqual(statusOf(await served.rest.send(request("GET /events?service=none"))), 404);
});

Deno.test("anybody gets the page, and only who has a token the events", async () => {
  await using near = await startConnector();
  await using served = await serveDashboard(near, { tokens: TOKEN });
  const page = await served.rest.send(request("GET /"));
  strictEqual(statusOf(page), 200);
  match(page, /content-security-policy: default-src 'none'/i);
  strictEqual(statusOf(await served.rest.send(request("HEAD /"))), 200);
  strictEqual(statusOf(await served.rest.send(request("GET /events"))), 401);
  strictEqual(statusOf(await served.rest.send(request("POST /"))), 401);
  const foreign = request("GET /", "Origin: https://evil.example");
  strictEqual(statusOf(await served.rest.send(foreign)), 403);
  using events = await readEvents(served.rest, { token: TOKEN });
  ok(await events.next("snapshot"));
  // A token that is withdrawn is of no more use.
  served.setTokens("another-token-of-this-test");
  strictEqual(await events.next("end"), "What allowed this is not valid any more");
  strictEqual(await events.next("sample"), undefined);
});

Deno.test("so many read events and no more; who leaves makes room", async () => {
  await using near = await startConnector();
  await using served = await serveDashboard(near, { max: 2 });
  using one = await readEvents(served.rest);
  await one.next("snapshot");
  // Somebody who only looks whether it is there takes no place.
  strictEqual(statusOf(await served.rest.send(request("HEAD /events"))), 200);
  {
    using two = await readEvents(served.rest);
    await two.next("snapshot");
    const refused = await served.rest.send(request("GET /events"));
    strictEqual(statusOf(refused), 429);
    match(refused, /Too many pages and programs read events at the same time/);
  }
  await until(async () => {
    using three = await readEvents(served.rest);
    return await three.next("snapshot") !== undefined;
  }, "there is room again");
});

Deno.test("a server that ends does not wait for readers", async () => {
  await using near = await startConnector();
  const served = await serveDashboard(near);
  using events = await readEvents(served.rest);
  await events.next("snapshot");
  await served[Symbol.asyncDispose]();
  strictEqual(await events.next("end"), undefined);
});

Deno.test("of a link that is lost it is told since when, and how often it has come back", async () => {
  await using pair = await startPair();
  await using echoing = serveTcp(echo);
  await exposeThrough(pair, { type: "local", destination: echoing.port });
  const [up] = pair.local.connector.peers();
  strictEqual(up?.up, 1);
  const port = pair.remote.server.address.port;
  await pair.remote.running.abort();
  const report = () => pair.local.connector.peers()[0];
  await until(() => report()?.up === 0, "the link is down");
  const down = report();
  ok(up.since !== undefined && down?.since !== undefined && down.since >= up.since);
  strictEqual(down.dialect, undefined);
  await using _again = await startConnector({ bind: `127.0.0.1:${port}` });
  await until(() => report()?.up === 1, "the link is up again");
  const again = report();
  ok(again?.since !== undefined && again.since >= down.since);
  deepStrictEqual([again.dialect, again.reconnects], ["native", 1]);
});
