// What is published and counted of connections through two connectors, and the rules that each of them is let in by.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import type { ConnectionEvent, RefusalEvent } from "../../src/model/events.ts";
import type { Session } from "../../src/mux/session.ts";
import { OwnListeners } from "../../src/net/own_listeners.ts";
import type { Rule } from "../../src/tunnel/admission.ts";
import { Connections } from "../../src/tunnel/connections.ts";
import { Ingress } from "../../src/tunnel/ingress.ts";
import { network } from "../support/sockets.ts";
import {
  connectionParts,
  echo,
  exposeThrough,
  freePort,
  roundTrip,
  serveTcp,
  startPair,
  type TestConnector,
  turnsAway,
  until,
} from "../support/world.ts";

type Seen = ConnectionEvent | RefusalEvent;

/** What a connector publishes about connections, until it is disposed. */
function watch({ connector }: TestConnector): { seen: Seen[] } & Disposable {
  const seen: Seen[] = [];
  const subscription = connector.events.subscribe(
    "test",
    { kinds: ["connection", "refusal"], capacity: 100 },
    (event) => {
      if (event.kind !== "lost") seen.push(event);
    },
  );
  return { seen, [Symbol.dispose]: () => subscription[Symbol.dispose]() };
}

Deno.test("a connection is published when it opens and when it closes, at both ends, with who is there", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  using local = watch(pair.local);
  using remote = watch(pair.remote);
  const { port, id } = await exposeThrough(pair, { type: "local", destination: server.port });
  await roundTrip(port, { length: 1000 });
  await until(() => [local, remote].every(({ seen }) => seen.length === 2), "both have closed");
  for (
    const [side, { seen: [opened, closed] }] of [["egress", local], ["ingress", remote]] as const
  ) {
    strictEqual(opened?.kind === "connection" && opened.change, "opened");
    strictEqual(closed?.kind === "connection" && closed.change, "closed");
    if (closed?.kind !== "connection" || closed.change !== "closed") return;
    deepStrictEqual([closed.side, closed.service.id, closed.service.name], [side, id, "test"]);
    deepStrictEqual(closed.destination, { host: "127.0.0.1", port: server.port });
    deepStrictEqual([closed.bytesIn, closed.bytesOut, closed.reason], [1000, 1000, ""]);
    match(closed.visitor, /^127\.0\.0\.1:\d+$/);
    strictEqual(closed.remote, side === "ingress" ? closed.visitor : `127.0.0.1:${server.port}`);
  }
  strictEqual(local.seen[0]?.visitor, remote.seen[0]?.visitor);
  strictEqual(local.seen[0]?.peer?.address, pair.remote.address);
  strictEqual(remote.seen[0]?.peer?.principal?.host, "127.0.0.1");
});

Deno.test("a connection whose destination refuses is published as refused, once", async () => {
  await using pair = await startPair();
  using local = watch(pair.local);
  const { port } = await exposeThrough(pair, { type: "local", destination: freePort() });
  strictEqual(await turnsAway(port), true);
  await until(() => local.seen.length > 0, "it is published");
  deepStrictEqual(local.seen.map((event) => event.kind === "refusal" && event.code), [
    "unreachable",
  ]);
});

Deno.test("counters of a connector outlive the services that they count", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  const counters = pair.local.connector.counters.egress;
  for (const count of [1, 2]) {
    const { port, id } = await exposeThrough(pair, { type: "local", destination: server.port });
    await roundTrip(port, { length: 1000 });
    await until(() => counters.open === 0 && counters.total === count, "it is over");
    await pair.local.connector.destroy(id);
  }
  const { port, id } = await exposeThrough(pair, { type: "local", destination: freePort() });
  strictEqual(await turnsAway(port), true);
  await until(() => counters.failed === 1, "it has failed");
  await pair.local.connector.destroy(id);
  deepStrictEqual(pair.local.connector.list(), []);
  const { refused, durations, ...rest } = counters;
  deepStrictEqual(rest, {
    open: 0,
    total: 3,
    failed: 1,
    resumed: 0,
    notResumed: 0,
    bytesIn: 2000,
    bytesOut: 2000,
  });
  strictEqual(durations.count, 2);
  strictEqual(refused.unreachable, 1);
  strictEqual(Object.values(refused).reduce((sum, count) => sum + count, 0), 1);
  const { ingress } = pair.remote.connector.counters;
  deepStrictEqual([ingress.total, ingress.bytesIn, ingress.bytesOut], [3, 2000, 2000]);
});

Deno.test("connections that are cut with their service are counted as over", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  const { port, id } = await exposeThrough(pair, { type: "remote", destination: server.port });
  using visitor = await Deno.connect({ port });
  await visitor.write(new Uint8Array(10));
  await visitor.read(new Uint8Array(10));
  const { ingress } = pair.local.connector.counters;
  strictEqual(ingress.open, 1);
  await pair.local.connector.destroy(id);
  await until(() => ingress.open === 0, "it is over");
  deepStrictEqual([ingress.total, ingress.failed, ingress.bytesIn], [1, 1, 10]);
});

Deno.test("of a connection that is cut with its service, both ends publish that the service was removed", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  using local = watch(pair.local);
  using remote = watch(pair.remote);
  const { port, id } = await exposeThrough(pair, { type: "local", destination: server.port });
  using visitor = await Deno.connect({ port });
  await visitor.write(new Uint8Array(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  await pair.local.connector.destroy(id);
  await until(() => [local, remote].every(({ seen }) => seen.length === 2), "both have closed");
  for (const { seen: [, closed] } of [local, remote]) {
    strictEqual(closed?.kind === "connection" && closed.change, "closed");
    match(String(closed && "reason" in closed && closed.reason), /the service was removed/);
  }
});

Deno.test("a stuck subscriber holds up no connection", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair();
  using _stuck = pair.local.connector.events.subscribe(
    "stuck",
    { kinds: ["connection", "service", "link", "refusal"], capacity: 1 },
    () => new Promise<void>(() => {}),
  );
  const { port } = await exposeThrough(pair, { type: "remote", destination: server.port });
  for (let count = 0; count < 20; count += 1) await roundTrip(port, { length: 1000 });
});

Deno.test("a rule of ten lines refuses one visitor at the ingress before it waits, and again when it has a link", async () => {
  let allowed = true;
  const asked: string[] = [];
  const rule: Rule = ({ action, side, from, principal }) => {
    asked.push(`${action} ${side} ${principal === undefined ? "nobody" : "somebody"}`);
    return allowed || !from.startsWith("127.0.0.1:")
      ? undefined
      : { code: "address", reason: "this visitor may not" };
  };
  using connections = new Connections({
    logger: getLogger(["test"]),
    network,
    halfOpenMs: 1000,
    maxConnections: 10,
    maxServiceConnections: 10,
  }, connectionParts({ rules: [rule] }));
  const port = freePort();
  const service = { id: "1", name: "web", sourcePort: port, destinationAddr: "host:1" };
  using web = connections.openService(service, "ingress");
  using ingress = Ingress.open({ connections: web, listeners: new OwnListeners() });

  allowed = false;
  strictEqual(await turnsAway(port), true);
  deepStrictEqual([web.stats.failed, web.stats.open], [1, 0]);

  allowed = true;
  const waits = turnsAway(port);
  await until(() => web.stats.open === 1, "it waits");
  allowed = false;
  // Nothing is opened over it.
  const session = { peer: { address: "192.0.2.1:1", principal: {} } } as unknown as Session;
  ingress.attach(session);
  strictEqual(await waits, true);
  deepStrictEqual(asked, [
    "connect ingress nobody",
    "connect ingress nobody",
    "connect ingress somebody",
  ]);
  deepStrictEqual([web.stats.total, web.stats.failed, web.stats.open], [2, 2, 0]);
  strictEqual(web.stats.lastClose, "this visitor may not");
});
