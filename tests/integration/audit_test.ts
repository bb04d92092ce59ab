// What a connector logs of what it refuses and allows: each decision is a line at info, with who it is about, from where,
// and which rule has decided; and a flood of them is a line a second, which hides nothing that is done.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { getLogger, type LogRecord } from "@logtape/logtape";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import { formatText } from "../../src/log.ts";
import type { Service } from "../../src/model/service.ts";
import type { Address } from "../../src/model/address.ts";
import type { DialParts } from "../../src/net/dial.ts";
import type { Network } from "../../src/net/network.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { tempFolder } from "../support/mtls.ts";
import { anonymousPolicy, policyOf } from "../support/policies.ts";
import { recordLog } from "../support/renewable.ts";
import { network } from "../support/sockets.ts";
import { request } from "../support/rest_server.ts";
import {
  apiPort,
  echo,
  freePort,
  readAll,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  type TestConnector,
  turnsAway,
  until,
  writeAll,
} from "../support/world.ts";

/** Destinations on this machine may be exposed by the name of it, and are refused when they are dialled. */
const NAMES_ALONE =
  'reach: [{ host: localhost, ports: [1-65535], except: [127.0.0.0/8, "::1/128"] }]';

/** A connector that wants a token and has a policy, a peer of it, and what the first of the two logs. */
async function startWorld(policy: string) {
  await using stack = new AsyncDisposableStack();
  const log = stack.use(await recordLog());
  const folder = stack.use(await tempFolder());
  const apiTokenFile = `${folder.path}/tokens`;
  await Deno.writeTextFile(apiTokenFile, "good\n", { mode: 0o600 });
  const guard = new PolicyGuard(anonymousPolicy(policy));
  const guarded = stack.use(
    await startConnector({
      logger: getLogger(["guarded"]),
      policy: guard,
      api: { apiTokenFile },
    }),
  );
  const peer = stack.use(await startConnector({ logger: getLogger(["peer"]) }));
  const stop = stack.move();
  return {
    guarded,
    peer,
    guard,
    /** What was logged with a message, or counted as left out. */
    lines: (message: string) =>
      log.records.filter(({ category: [who], rawMessage, properties }) =>
        who === "guarded" &&
        (rawMessage === message ||
          rawMessage === "lines left out" && properties.line === message)
      ),
    [Symbol.asyncDispose]: () => stop[Symbol.asyncDispose](),
  };
}

type World = Awaited<ReturnType<typeof startWorld>>;

/** Exposes from the peer. */
function expose(
  { guarded, peer }: Pick<World, "guarded" | "peer">,
  { type, destination, name = "web" }: Pick<Service, "type"> & {
    destination: string;
    name?: string;
  },
): { port: number; id: Promise<string> } {
  const port = freePort();
  const id = peer.connector.expose({
    name,
    sourcePort: port,
    remoteConnectorAddr: guarded.address,
    destinationAddr: destination,
    type,
  });
  return { port, id };
}

function ask({ guarded }: World, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${apiPort(guarded.running)}${path}`, init);
}

async function statusOf(asked: Promise<Response>): Promise<number> {
  const response = await asked;
  await response.body?.cancel();
  return response.status;
}

/** Connects to a port, says something that is not wanted there, and waits for the end. */
async function knock(port: number, text: string): Promise<void> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await writeAll(conn, new TextEncoder().encode(text));
  await readAll(conn).catch(() => undefined);
}

function portOf({ address }: TestConnector): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** How many lines stand for these records. */
function countOf(records: readonly LogRecord[]): number {
  return records.reduce((sum, { properties: { count = 1 } }) => sum + Number(count), 0);
}

Deno.test("audit: floods of refusals are a line a second each, every one is counted, and what is done then is logged", async () => {
  await using world = await startWorld(NAMES_ALONE);
  const start = performance.now();
  const floods: {
    message: string;
    count: number;
    /** Lines at once, and in a second after that. */
    bounds: [burst: number, perSecond: number];
    run: () => Promise<unknown>;
  }[] = [
    {
      message: "api request",
      count: 250,
      bounds: [100, 10],
      run: async () => {
        // A wrong token is answered after a second, and none at once.
        const guess = { headers: { authorization: "Bearer bad" } };
        for (const init of [guess, {}, {}, {}, {}]) {
          const asked = Array.from({ length: 50 }, () => statusOf(ask(world, "/list", init)));
          deepStrictEqual(new Set(await Promise.all(asked)), new Set([401]));
        }
      },
    },
    {
      message: "connection refused",
      count: 100,
      bounds: [10, 2],
      run: async () => {
        for (let n = 0; n < 100; n += 1) {
          await knock(portOf(world.guarded), "GET / HTTP/1.1\r\n\r\n");
        }
      },
    },
    {
      message: "service refused",
      count: 100,
      bounds: [10, 2],
      run: async () => {
        const refused = Array.from(
          { length: 100 },
          () => expose(world, { type: "local", destination: "127.0.0.1:1" }).id,
        );
        for (const id of await Promise.all(refused)) {
          await until(() => reportOf(world.peer, id)?.status === "error", "it is refused");
          await world.peer.connector.destroy(id);
        }
      },
    },
    {
      message: "destination refused",
      count: 100,
      bounds: [10, 2],
      run: async () => {
        const { port, id } = expose(world, { type: "remote", destination: "localhost:1" });
        const own = await id;
        await until(() => reportOf(world.peer, own)?.status === "complete", "it is complete");
        const visits = Array.from({ length: 100 }, () => turnsAway(port));
        deepStrictEqual(new Set(await Promise.all(visits)), new Set([true]));
      },
    },
  ];
  await Promise.all(floods.map(({ run }) => run()));
  for (const { message, count, bounds: [burst, perSecond] } of floods) {
    await until(() => countOf(world.lines(message)) === count, `each ${message} is counted`);
    const seconds = Math.ceil((performance.now() - start) / 1000);
    const lines = world.lines(message);
    // Its number is one more, each second.
    ok(lines.length <= burst + (perSecond + 1) * seconds, `${message}: ${lines.length} lines`);
    deepStrictEqual([...new Set(lines.map(({ level }) => level))], ["info"]);
    const counted = lines.filter(({ rawMessage }) => rawMessage === "lines left out");
    ok(counted.length > 0, message);
    // What was left out last is told as an example of them.
    for (const { properties: { last } } of counted) {
      deepStrictEqual(
        ["peer", "principal", "rule", "reason"].filter((key) =>
          !Object.hasOwn(last as object, key)
        ),
        [],
        message,
      );
    }
  }
  const headers = { authorization: "Bearer good", "content-type": "application/json" };
  const body = JSON.stringify({
    name: "after",
    source_port: freePort(),
    remote_connector_addr: world.peer.address,
    destination_addr: "localhost:1",
    type: "local",
  });
  strictEqual(await statusOf(ask(world, "/expose", { method: "POST", headers, body })), 200);
  const done = world.lines("api request").map(({ properties }) => properties).at(-1);
  deepStrictEqual([done?.status, done?.principal, done?.rule, done?.service], [
    200,
    "token of line 1",
    "credentials",
    "after",
  ]);
  await until(() => world.lines("service exposed").length === 1, "it is logged");
});

/** The line that this leads to: the fields that an operator looks for. */
async function lineOf(
  world: World,
  message: string,
  act: () => Promise<unknown>,
): Promise<Record<string, unknown>> {
  const before = world.lines(message).length;
  await act();
  await until(() => world.lines(message).length > before, message);
  const [line, ...more] = world.lines(message).slice(before);
  deepStrictEqual([line?.level, more.length], ["info", 0], message);
  const { peer, principal, rule, reason } = line?.properties ?? {};
  match(String(peer), /^127\.0\.0\.1(:\d+)?$/, message);
  return { principal, rule, reason };
}

Deno.test("audit: each refusal says whom it is about, by which rule, and why", async () => {
  await using server = serveTcp(echo);
  await using world = await startWorld(`listen: { ports: [1-65535] }, ${NAMES_ALONE}`);
  const { guard, guarded, peer } = world;
  const rule = "rule 1 (line 3)";
  const refusing = `${rule} is for this peer and does not allow it`;
  const principal = "anonymous";
  const rest = apiPort(guarded.running);

  const tokenless = await lineOf(world, "api request", () => statusOf(ask(world, "/list")));
  deepStrictEqual([tokenless.principal, tokenless.rule], [principal, "credentials"]);
  const headers = { origin: "https://evil.example" };
  const page = await lineOf(world, "api request", () => statusOf(ask(world, "/list", { headers })));
  strictEqual(page.rule, "web page");
  const hostless = await lineOf(
    world,
    "request refused",
    () => knock(rest, "GET /list HTTP/1.1\r\nConnection: close\r\n\r\n"),
  );
  deepStrictEqual(hostless, {
    principal,
    rule: "malformed",
    reason: "The request has no Host headers, want one",
  });
  await lineOf(world, "request refused", () => knock(rest, "\0\0\0\r\n\r\n"));
  const large = await lineOf(
    world,
    "api request",
    () =>
      statusOf(ask(world, "/expose", {
        method: "POST",
        headers: { authorization: "Bearer good" },
        body: new Uint8Array(2 * 1024 * 1024),
      })),
  );
  strictEqual(large.rule, "size");

  const wrongPort = await lineOf(
    world,
    "connection refused",
    () => knock(portOf(guarded), "GET / HTTP/1.1\r\n\r\n"),
  );
  deepStrictEqual([wrongPort.principal, wrongPort.rule], [principal, "handshake"]);

  const session = http2.connect(`http://${guarded.address}`).on("error", () => {});
  const compressed = await lineOf(world, "connection refused", async () => {
    const call = session.request({
      ":method": "POST",
      ":path": RemoteConnectionService.openStream.path,
      "content-type": "application/grpc",
      "grpc-encoding": "gzip",
    });
    call.resume();
    await once(call, "close");
  });
  session.destroy();
  deepStrictEqual(compressed, {
    principal,
    rule: "encoding",
    reason: "messages must not be compressed",
  });

  const listed = await lineOf(
    world,
    "service exposed by peer",
    () => expose(world, { type: "local", destination: `127.0.0.1:${server.port}` }).id,
  );
  deepStrictEqual(listed, { principal, rule, reason: undefined });
  for (const by of ["peer", "user"] as const) {
    if (by === "user") {
      const exposed = await expose(world, {
        type: "local",
        destination: `127.0.0.1:${server.port}`,
      }).id;
      await until(() => reportOf(peer, exposed)?.status === "complete", "it is complete");
    }
    const [service] = guarded.connector.list();
    const { connector } = by === "peer" ? peer : guarded;
    const removed = await lineOf(
      world,
      "service removed",
      () => connector.destroy(service?.id ?? ""),
    );
    deepStrictEqual(removed, { principal, rule: by, reason: undefined });
  }

  const denied = await lineOf(
    world,
    "service refused",
    () => expose(world, { type: "remote", destination: "192.0.2.1:1" }).id,
  );
  deepStrictEqual(denied, {
    principal,
    rule: refusing,
    reason: 'Cannot expose service "web": the policy does not let anonymous ' +
      "reach 192.0.2.1:1",
  });
  const never = await lineOf(
    world,
    "service refused",
    () => expose(world, { type: "remote", destination: "169.254.169.254:80" }).id,
  );
  // The connector's own rule stands before the policy.
  strictEqual(never.rule, "address");

  const { port, id } = expose(world, { type: "remote", destination: `localhost:${server.port}` });
  const own = await id;
  await until(() => reportOf(peer, own)?.status === "complete", "it is complete");
  const dialled = await lineOf(world, "destination refused", () => turnsAway(port));
  deepStrictEqual([dialled.principal, dialled.rule], [principal, refusing]);

  guard.replace(
    anonymousPolicy(
      `listen: { ports: [1-65535] }, limits: { connections: 1 }, ` +
        `reach: [{ host: localhost, ports: [${server.port}] }]`,
    ),
  );
  guarded.connector.readmit();
  using visitor = await Deno.connect({ hostname: "127.0.0.1", port });
  await visitor.write(new Uint8Array(1));
  await visitor.read(new Uint8Array(1));
  const limited = await lineOf(world, "visitor turned away", () => turnsAway(port));
  deepStrictEqual([limited.principal, limited.rule], [principal, rule]);

  guard.replace(anonymousPolicy(`listen: { ports: [1-65535] }, ${NAMES_ALONE}`));
  const cut = await lineOf(world, "connection no longer allowed", () => {
    guarded.connector.readmit();
    return Promise.resolve();
  });
  deepStrictEqual([cut.principal, cut.rule], [principal, refusing]);
  strictEqual(await visitor.read(new Uint8Array(1)).catch(() => null), null);

  guard.replace(policyOf("version: 1\nrules: []"));
  guarded.connector.readmit();
  const forbidden = world.lines("service no longer allowed").map(({ properties }) => properties);
  deepStrictEqual(forbidden.map((each) => each.rule), ["no rule is for this peer"]);
});

Deno.test("audit: an address of a name that is refused has its line, though another one was dialled", async () => {
  await using server = serveTcp(echo);
  await using log = await recordLog();
  const ports = `ports: [${server.port}]`;
  const policy = new PolicyGuard(
    anonymousPolicy(`reach: [{ host: localhost, ${ports}, except: ["::1/128"] }]`),
  );
  // Of a network, this is all that is used here: whatever the system's order is, both are asked about.
  const both = {
    dial(address: Address, timeoutMs: number, parts: DialParts = {}) {
      parts.refuse?.("::1");
      return network.dial({ ...address, host: "127.0.0.1" }, timeoutMs, parts);
    },
  } as unknown as Network;
  await using remote = await startConnector({ policy, network: both });
  await using local = await startConnector();
  const { port, id } = expose({ guarded: remote, peer: local }, {
    type: "remote",
    destination: `localhost:${server.port}`,
  });
  const own = await id;
  await until(() => reportOf(local, own)?.status === "complete", "it is complete");
  await roundTrip(port, { length: 10 });
  const refused = () => log.lines.filter((line) => line.includes("address of destination refused"));
  await until(() => refused().length === 1, "it is logged");
  match(
    refused()[0] ?? "",
    /^info .* anonymous \S+ 127\.0\.0\.1:\d+ rule 1 \(line 3\) is for this peer and does not allow it the policy .* at ::1$/,
  );
});

Deno.test("audit: what a stranger says is one bounded line of plain text", async () => {
  await using world = await startWorld(NAMES_ALONE);
  const rest = apiPort(world.guarded.running);
  const long = `/${"x".repeat(12_000)}%0a`;
  await knock(rest, request(`GET ${long}`, "Origin: \u00a0\u009b2J", "Connection: close"));
  await knock(rest, request("GET /\u001b]0;"));
  const name = `\u001b[2J\n\u2028${"n".repeat(200)}`;
  await expose(world, { type: "remote", destination: "192.0.2.1:1", name }).id;
  await knock(portOf(world.guarded), `\u001b[2J\n${"z".repeat(1000)}`);
  const refused = ["api request", "request refused", "service refused", "connection refused"];
  await until(() => refused.every((each) => world.lines(each).length > 0), "each is logged");
  const lines = refused.flatMap((message) => world.lines(message)).map(formatText);
  for (const line of lines) {
    match(line, /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+\n?$/u);
    ok(line.length < 6 * 1024, `${line.length} characters`);
  }
  // It goes on.
  strictEqual(await statusOf(ask(world, "/health")), 200);
});
