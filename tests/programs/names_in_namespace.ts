// What names_test.ts runs where the name server is ours: real connectors, whose destinations and peers have names.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { type NameAnswer, type NameServer, serveNames } from "../support/name_server.ts";
import {
  type ConnectorProcess,
  exposeService,
  type ListedService,
  spawnConnector,
  spawnPair,
} from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { echo, freePort, roundTrip, serveTcp, until } from "../support/world.ts";
import { tempFolder } from "./tunnels.ts";

const NAME_SERVER = "127.9.9.9";
/** How late an echo may be on a busy machine, in milliseconds; with the defect it is a minute. */
const LATE_MS = 2000;

/** Names below `silent.test` have a name server that never answers. */
function answers(others: Record<string, NameAnswer>): (name: string) => NameAnswer | undefined {
  return (name) =>
    name.endsWith("silent.test") ? undefined : others[name] ?? { code: name.length > 0 ? 3 : 0 };
}

/** Connects, and resolves when the connection has ended. */
async function visit(port: number): Promise<void> {
  using visitor = await Deno.connect({ port });
  // A reset is an end as well.
  await visitor.read(new Uint8Array(1)).catch(() => null);
}

/** Connects so many times, and leaves at once. */
async function comeAndGo(port: number, count: number): Promise<void> {
  for (let visitor = 0; visitor < count; visitor += 1) {
    try {
      (await Deno.connect({ port })).close();
    } catch (error) {
      // It was turned away before the runtime could ask for its address.
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
  }
}

/** How long the slowest of many echoes takes, each over its own connection, in milliseconds. */
async function slowestEcho(port: number, { forMs }: { forMs: number }): Promise<number> {
  let slowest = 0;
  for (const end = performance.now() + forMs; performance.now() < end;) {
    const started = performance.now();
    await soon(roundTrip(port, { length: 100 }), "it is echoed", { timeoutMs: 5000 });
    slowest = Math.max(slowest, performance.now() - started);
    await delay(10);
  }
  return slowest;
}

async function listed(connector: ConnectorProcess, id: string): Promise<ListedService> {
  const service = (await connector.rest.list()).find((each) => each.id === id);
  ok(service, `service ${id} is listed`);
  return service;
}

/** Visits a service and returns why that came to nothing. */
async function reasonOf(connector: ConnectorProcess, { id, port }: { id: string; port: number }) {
  await visit(port);
  let reason: string | undefined;
  await until(async () => {
    reason = (await listed(connector, id)).connections.last_close;
    return reason !== undefined;
  }, "the connection has ended");
  return reason;
}

Deno.test("200 visitors of a name that hangs hold up no other service, no file and no link", async () => {
  await using _names = await serveNames(
    NAME_SERVER,
    answers({
      "db.found.test": { addresses: ["127.0.0.1"] },
      "peer.found.test": { addresses: ["127.0.0.1"] },
    }),
  );
  await using server = serveTcp(echo);
  await using folder = await tempFolder();
  await using pair = await spawnPair({
    local: { args: [`--state-file=${folder.file("services.json")}`] },
  });
  const { local, remote } = pair;
  const to = remote.address;
  const type = "local";
  const bad = await exposeService(local, { to, type, destination: "db.silent.test:5432" });
  const good = await exposeService(local, { to, type, destination: server.port });
  const named = await exposeService(local, {
    to,
    type,
    destination: `db.found.test:${server.port}`,
  });
  await comeAndGo(bad.port, 200);
  const [slowest, slowestNamed] = await Promise.all([
    slowestEcho(good.port, { forMs: 3000 }),
    slowestEcho(named.port, { forMs: 3000 }),
  ]);
  ok(slowest < LATE_MS && slowestNamed < LATE_MS, `${slowest} ms, ${slowestNamed} ms`);

  await comeAndGo(bad.port, 200);
  const started = performance.now();
  // It is written to the file, and the link to another name is opened.
  await exposeService(local, {
    to: `peer.found.test:${remote.grpcPort}`,
    type,
    destination: server.port,
  });
  const tookMs = performance.now() - started;
  ok(tookMs < 2 * LATE_MS, `${tookMs} ms`);

  match(
    await reasonOf(local, bad) ?? "",
    /db\.silent\.test:5432: the name server did not answer for "db\.silent\.test" in \d+ s$/,
  );
  await comeAndGo(bad.port, 200);
  const stopping = performance.now();
  strictEqual((await local.stop("SIGTERM")).code, 0);
  ok(performance.now() - stopping < LATE_MS, "what hangs does not hold up the end");
});

Deno.test("a hundred services with a name each that hangs leave places for other names", async () => {
  await using _names = await serveNames(
    NAME_SERVER,
    answers({
      "known.found.test": { addresses: ["127.0.0.1"] },
      "new.found.test": { addresses: ["127.0.0.1"] },
    }),
  );
  await using server = serveTcp(echo);
  await using pair = await spawnPair();
  const { local, remote } = pair;
  const to = remote.address;
  const expose = (name: string) =>
    exposeService(local, { to, type: "local", destination: `${name}:${server.port}` });
  const known = await expose("known.found.test");
  await roundTrip(known.port);
  const fresh = await expose("new.found.test");
  const hanging: { port: number }[] = [];
  for (let at = 0; at < 100; at += 10) {
    const ten = Array.from({ length: 10 }, (_, each) => expose(`db${at + each}.silent.test`));
    hanging.push(...await Promise.all(ten));
  }
  // Past what is kept of the answer.
  await delay(1100);
  for (const { port } of hanging) await comeAndGo(port, 1);
  await Promise.all(
    hanging.map(async ({ port }, at) => {
      // Whoever stays keeps asking.
      if (at % 2 === 0) await visit(port);
    }).concat([
      soon(roundTrip(known.port), "the known name is found", { timeoutMs: 8000 }),
      soon(roundTrip(fresh.port), "the new name is found", { timeoutMs: 8000 }),
    ]),
  );
});

const MANY = Array.from({ length: 500 }, (_, at) => `127.1.${at >> 8}.${at & 255}`);

/** Destinations without their port; what the name server says; and why it is not reached, or nothing. */
const ODD: [destination: string, says: Record<string, NameAnswer>, reason?: RegExp][] = [
  ["slow.test", { "slow.test": { addresses: ["127.0.0.1"], afterMs: 6000 } }],
  [
    "failing.test",
    { "failing.test": { code: 2 } },
    /the name server could not answer for "failing\.test"$/,
  ],
  ["missing.test", {}, /no such name: "missing\.test"$/],
  ["empty.test", { "empty.test": {} }, /"empty\.test" has no address$/],
  [
    "garbled.test",
    { "garbled.test": { garbled: true } },
    /: (the name server|no such name|"garbled\.test" has no address)/,
  ],
  ["many.test", {
    "many.test": { addresses: ["127.0.0.1", ...MANY.slice(0, 15)], truncated: true },
  }],
  [
    "elsewhere.test",
    { "elsewhere.test": { addresses: MANY, truncated: true } },
    /elsewhere\.test:\d+: connection refused$/,
  ],
  ["label", { "label.searched.test": { addresses: ["127.0.0.1"] } }],
  ["label.", { "label.searched.test": { addresses: ["127.0.0.1"] } }, /no such name: "label\."$/],
  ["dotted.test.", { "dotted.test": { addresses: ["127.0.0.1"] } }],
  ["xn--bcher-kva.test", { "xn--bcher-kva.test": { addresses: ["127.0.0.1"] } }],
  ["UPPER.test", { "upper.test": { addresses: ["127.0.0.1"] } }],
  ["listed", {}],
  ["silent.test.localhost", {}],
  ["evil.test", { "evil.test": { addresses: ["169.254.169.254"] } }, /is a link-local address/],
];

Deno.test("destinations whose names are odd are reached, or the reason says what is wrong", async () => {
  const says = Object.assign({}, ...ODD.map(([, says]) => says));
  await using names = await serveNames(NAME_SERVER, answers(says));
  await using server = serveTcp(echo);
  await using pair = await spawnPair();
  const { local, remote } = pair;
  await Promise.all(ODD.map(async ([name, , reason]) => {
    const service = await exposeService(local, {
      to: remote.address,
      type: "local",
      destination: `${name}:${server.port}`,
    });
    if (reason === undefined) return await roundTrip(service.port);
    match(await reasonOf(local, service) ?? "", reason);
  }));
  ok(!names.asked.some((name) => name.includes("localhost")), "nobody is asked for localhost");
});

Deno.test("a peer's name is looked up for each link, and the reason says what is wrong with it", async () => {
  let addresses = ["127.0.0.2"];
  await using _names: NameServer = await serveNames(
    NAME_SERVER,
    (name) => answers({ "peer.test": { addresses } })(name),
  );
  await using server = serveTcp(echo);
  const port = freePort();
  await using local = await spawnConnector();
  const service = {
    type: "local",
    source_port: freePort(),
    destination_addr: `127.0.0.1:${server.port}`,
  };
  const expose = async (name: string, peer: string) => {
    const body = { ...service, name, source_port: freePort(), remote_connector_addr: peer };
    const { status, body: id } = await local.rest.request("POST", "/expose", { body });
    strictEqual(status, 200, id);
    return id;
  };
  const moved = await expose("moved", `peer.test:${port}`);
  const start = (host: string) => spawnConnector({ grpcBind: `${host}:${port}` });
  const complete = () =>
    until(async () => (await listed(local, moved)).status === "COMPLETE", "the link is open", {
      timeoutMs: 15_000,
    });
  {
    await using _first = await start("127.0.0.2");
    await complete();
    addresses = ["127.0.0.3"];
  }
  await using _second = await start("127.0.0.3");
  await complete();
  const lost = performance.now();
  // One that has no such peer at its first address goes to the next.
  addresses = ["127.0.0.4", "127.0.0.3"];
  const both = await expose("both", `PEER.test:${port}`);
  await until(async () => (await listed(local, both)).status === "COMPLETE", "it is open");
  ok(performance.now() - lost < 10_000);

  const wrong: [peer: string, reason: RegExp][] = [
    ["peer.silent.test", /: the name server did not answer for "peer\.silent\.test" in \d+ s$/],
    ["nowhere.test", /: no such name: "nowhere\.test"$/],
  ];
  await Promise.all(wrong.map(async ([host, reason]) => {
    const id = await expose(host, `${host}:${port}`);
    await until(
      async () => reason.test((await listed(local, id)).last_error ?? ""),
      `the reason is ${reason}`,
      { timeoutMs: 20_000 },
    );
  }));
  deepStrictEqual((await listed(local, moved)).status, "COMPLETE");
});
