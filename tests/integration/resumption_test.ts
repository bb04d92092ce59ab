// Connections that go on when the path between two real connectors breaks and comes back: cut, silent, under another
// address. Both types, plaintext and mTLS.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Logger } from "@logtape/logtape";
import { delay } from "../../src/delay.ts";
import { InstanceSecret } from "../../src/instance_secret.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { AccessLines } from "../support/access_lines.ts";
import { makeCertificate } from "../support/certificates.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { relayHttp2 } from "../support/http2_relay.ts";
import { LOOPBACK, makePki, pemOf } from "../support/mtls.ts";
import { policyOf } from "../support/policies.ts";
import { leafPem, startRenewable } from "../support/renewable.ts";
import { soon } from "../support/soon.ts";
import { nameOf, PATH_KINDS, type PathKind } from "../support/tunnel_path.ts";
import {
  echo,
  exposeThrough,
  freePort,
  randomBytes,
  readAll,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  type TestConnector,
  until,
  writeAll,
} from "../support/world.ts";

/** Elsewhere, loopback has but one address. */
const onLinux = { ignore: Deno.build.os !== "linux" };

/** Two connectors with a path between them that fails, and an echo behind a service. */
interface Broken extends AsyncDisposable {
  dialler: TestConnector;
  acceptor: TestConnector;
  relay: FaultRelay;
  port: number;
  id: string;
  tls: ReturnType<typeof pemOf> | undefined;
}

async function startBroken(
  { type, security }: PathKind,
  { resumeMs = 60_000, acceptorMs, graceMs = 10_000, ...diallers }: {
    resumeMs?: number;
    acceptorMs?: number;
    graceMs?: number;
    instance?: InstanceSecret;
    logger?: Logger;
  } = {},
): Promise<Broken> {
  await using stack = new AsyncDisposableStack();
  const { root, leaf } = await makePki();
  const tls = security === "mTLS" ? pemOf(root, leaf) : undefined;
  const options = { resumeMs, graceMs, ...(tls && { tls }) };
  const acceptor = stack.use(
    await startConnector({ ...options, resumeMs: acceptorMs ?? resumeMs }),
  );
  const dialler = stack.use(await startConnector({ ...options, ...diallers }));
  const relay = stack.use(new FaultRelay(acceptor.server.address.port));
  const server = stack.use(serveTcp(echo));
  const port = freePort();
  const id = await dialler.connector.expose({
    name: "echo",
    sourcePort: port,
    remoteConnectorAddr: relay.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type,
  });
  await until(() => reportOf(dialler, id)?.status === "complete", "the service is complete");
  const owned = stack.move();
  return {
    dialler,
    acceptor,
    relay,
    port,
    id,
    tls,
    async [Symbol.asyncDispose]() {
      await owned[Symbol.asyncDispose]();
    },
  };
}

/** A visitor that sends bytes bit by bit and expects them back. */
class Visitor implements Disposable {
  readonly #conn: Deno.TcpConn;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  static async at(port: number): Promise<Visitor> {
    return new Visitor(await Deno.connect({ port }));
  }

  async exchange(length = 1000): Promise<void> {
    const sent = randomBytes(length);
    const received = new Uint8Array(length);
    const write = writeAll(this.#conn, sent);
    for (let at = 0; at < length;) {
      const count = await this.#conn.read(received.subarray(at));
      if (count === null) throw new Error(`the connection has ended after ${at} bytes`);
      at += count;
    }
    await write;
    deepStrictEqual(received, sent);
  }

  /** Finishes, and reads the end. */
  async finish(): Promise<void> {
    await this.#conn.closeWrite();
    strictEqual((await readAll(this.#conn)).length, 0);
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

for (const kind of PATH_KINDS) {
  Deno.test(`a cut link costs open connections nothing: ${nameOf(kind)}`, async () => {
    await using world = await startBroken(kind);
    const { relay, port, dialler, acceptor, id } = world;
    using talking = await Visitor.at(port);
    using idle = await Visitor.at(port);
    await talking.exchange();
    await idle.exchange();
    for (let loss = 0; loss < 3; loss += 1) {
      const busy = talking.exchange(3_000_000);
      relay.cut();
      await soon(busy, "all has come back");
    }
    await idle.exchange();
    await idle.finish();
    const stats = [dialler, acceptor].map((side) => reportOf(side, id)?.connections);
    for (const each of stats) {
      ok(each && each.resumed >= 2, `${each?.resumed} were resumed`);
      deepStrictEqual([each.notResumed, each.resuming], [0, 0]);
    }
    strictEqual(reportOf(dialler, id)?.status, "complete");
  });
}

const PLAIN: PathKind = { type: "local", security: "plaintext" };

Deno.test("while a link is lost the service says so, visitors wait, and all are carried afterwards", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, port, dialler, acceptor, id } = world;
  using before = await Visitor.at(port);
  await before.exchange();
  relay.refuse();
  relay.cut();
  for (const side of [dialler, acceptor]) {
    await until(() => reportOf(side, id)?.status === "pending", "the loss is noticed");
    const report = reportOf(side, id);
    match(
      report?.message ?? "",
      /^the link was lost \(.+\): resuming since \d{4}-\S+Z(; no link to the peer: .+)?$/,
    );
    strictEqual(report?.connections.resuming, 1);
  }
  const late = await dialler.connector.expose({
    name: "late",
    sourcePort: freePort(),
    remoteConnectorAddr: relay.address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  match(reportOf(dialler, late)?.message ?? "", /^the link was lost \(.+\)$/);
  using during = await Visitor.at(port);
  const exchanged = Promise.all([before.exchange(), during.exchange()]);
  relay.admit();
  await soon(exchanged, "both go on");
  for (const side of [dialler, acceptor]) {
    await until(() => reportOf(side, id)?.status === "complete", "it is complete again");
    strictEqual(reportOf(side, id)?.message, undefined);
  }
  await until(() => reportOf(dialler, late)?.status === "complete", "the other one is, too");
  strictEqual(reportOf(dialler, late)?.message, undefined);
});

Deno.test("a link that is lost is counted as such, and what goes on is no new take-up and no other connection", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, port, dialler, acceptor, id } = world;
  using accessHere = new AccessLines(dialler);
  using accessThere = new AccessLines(acceptor);
  const changes: string[] = [];
  using _changes = acceptor.connector.events.subscribe(
    "test",
    { kinds: ["service"], capacity: 100 },
    (event) => void changes.push(event.kind === "service" ? event.change : event.kind),
  );
  const links = ({ connector }: TestConnector) =>
    connector.peers().map(({ up, resuming, resumingConnections, reconnects }) => {
      return { up, resuming, resumingConnections, reconnects };
    });
  const sinceWhen = ({ connector }: TestConnector) => connector.peers()[0]?.since?.getTime() ?? 0;
  const sides = [dialler, acceptor];
  const takenUpAt = reportOf(acceptor, id)?.takenUpAt;
  ok(takenUpAt !== undefined);
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  for (let loss = 1; loss <= 2; loss += 1) {
    const before = sides.map(sinceWhen);
    relay.refuse();
    relay.cut();
    for (const [index, side] of sides.entries()) {
      await until(() => reportOf(side, id)?.status === "pending", "the loss is noticed");
      const lost = { up: 0, resuming: 1, resumingConnections: 1, reconnects: loss - 1 };
      deepStrictEqual(links(side), [lost]);
      ok(sinceWhen(side) >= (before[index] ?? Infinity));
    }
    relay.admit();
    await soon(visitor.exchange(), "it goes on");
    for (const side of sides) {
      const back = { up: 1, resuming: 0, resumingConnections: 0, reconnects: loss };
      deepStrictEqual(links(side), [back]);
    }
  }
  await visitor.finish();
  for (const { lines } of [accessHere, accessThere]) {
    await until(() => lines.length === 1, "it has a line");
    const [{ bytesIn, bytesOut, outcome, reason } = {}] = lines;
    deepStrictEqual([bytesIn, bytesOut, outcome, reason], [
      3000,
      3000,
      "done",
      "both sides finished",
    ]);
  }
  deepStrictEqual(reportOf(acceptor, id)?.takenUpAt, takenUpAt);
  deepStrictEqual([...new Set(changes)], ["status"]);
});

Deno.test(
  "a path that comes back through something else and from another address costs a connection nothing",
  onLinux,
  async () => {
    await using world = await startBroken(PLAIN);
    const { relay, port, acceptor, id } = world;
    await using elsewhere = await relayFrom("127.0.0.2", acceptor.server.address.port);
    using visitor = await Visitor.at(port);
    await visitor.exchange();
    match(reportOf(acceptor, id)?.peer?.address ?? "", /^127\.0\.0\.1:/);
    relay.target = elsewhere.port;
    const busy = visitor.exchange(3_000_000);
    relay.cut();
    await soon(busy, "it goes on");
    match(reportOf(acceptor, id)?.peer?.address ?? "", /^127\.0\.0\.2:/);
    match(acceptor.connector.peers()[0]?.peer.address ?? "", /^127\.0\.0\.2:/);
    strictEqual(reportOf(acceptor, id)?.connections.resumed, 1);
  },
);

/** SHA-256 of the key in a certificate, in hexadecimal. */
function keyFingerprint(pem: string): string {
  const key = new X509Certificate(pem).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("hex");
}

/** Forwards to a port of this machine, as another one of this address would. */
async function relayFrom(
  localAddress: string,
  port: number,
): Promise<AsyncDisposable & { port: number }> {
  const open = new Set<Socket>();
  const server = createServer((one) => {
    const other = connect({ host: "127.0.0.1", port, localAddress });
    for (const [from, to] of [[one, other], [other, one]] as const) {
      open.add(from);
      from.on("error", () => {}).on("close", () => {
        open.delete(from);
        to.destroy();
      }).pipe(to);
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("it listens on a port");
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      for (const each of open) each.destroy();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}

Deno.test("what the scheduler says while the link is lost is told over the next one", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, dialler, acceptor, id } = world;
  relay.refuse();
  relay.cut();
  await until(() => reportOf(acceptor, id)?.status === "pending", "the loss is noticed");
  acceptor.connector.register(id, {
    scheduler: "kubernetes",
    name: "echo",
    state: "refused",
    message: "the name is taken",
  });
  relay.admit();
  await until(() => reportOf(dialler, id)?.status === "error", "it is told");
  match(reportOf(dialler, id)?.message ?? "", /the name is taken/);
  strictEqual(reportOf(acceptor, id)?.status, "error");
});

Deno.test("another replica with the same certificate does not go on with a session, and takes its services up", async () => {
  await using world = await startBroken({ type: "remote", security: "mTLS" });
  const { relay, port, dialler, acceptor, tls, id } = world;
  await using replica = await startConnector({ resumeMs: 60_000, ...(tls && { tls }) });
  using access = new AccessLines(dialler);
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  const takenUpAt = reportOf(acceptor, id)?.takenUpAt?.getTime() ?? Infinity;
  relay.target = replica.server.address.port;
  relay.cut();
  await until(() => reportOf(replica, id)?.status === "complete", "the replica has it");
  ok((reportOf(replica, id)?.takenUpAt?.getTime() ?? 0) >= takenUpAt);
  await until(() => access.lines.length === 1, "its connection has ended");
  const [{ outcome, reason } = {}] = access.lines;
  strictEqual(outcome, "failed");
  match(String(reason), /the peer does not know its connections any more/);
  await roundTrip(port);
  // It waits for a dialler that will not come.
  strictEqual(reportOf(acceptor, id)?.status, "pending");
  strictEqual(reportOf(acceptor, id)?.connections.resuming, 1);
});

Deno.test("connections of a peer that has gone to another replica end once the scheduler says so", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, port, dialler, acceptor, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(acceptor, id)?.status === "pending", "the loss is noticed");
  const ended = visitor.exchange().then(() => "carried", () => "ended");
  acceptor.connector.register(id, {
    scheduler: "kubernetes",
    name: "echo",
    state: "moved",
    message: "another replica has it since",
  });
  strictEqual(await soon(ended, "it does not wait"), "ended");
  const report = reportOf(acceptor, id);
  match(report?.connections.lastClose ?? "", /the peer has gone to another replica/);
  match(report?.message ?? "", /its port is kept until/);
  deepStrictEqual([report?.connections.resuming, report?.connections.notResumed], [0, 1]);
  relay.admit();
  await until(() => reportOf(dialler, id)?.status === "complete", "it may come back");
  await roundTrip(port);
});

Deno.test("what was removed while its link was lost has not gone on over the next one", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, port, dialler, acceptor, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.connections.resuming === 1, "the loss is noticed");
  await dialler.connector.destroy(id);
  const waiting = dialler.connector.peers().map((peer) => peer.resumingConnections);
  deepStrictEqual(waiting, [0]);
  relay.admit();
  await until(() => acceptor.connector.list().length === 0, "the peer knows");
  await until(() => dialler.connector.peers().length === 0, "the link is closed");
  const { resumed, notResumed, failed } = dialler.connector.counters.egress;
  deepStrictEqual({ resumed, notResumed, failed }, { resumed: 0, notResumed: 0, failed: 1 });
});

Deno.test("connections of a dialler that was started anew end as it comes, and are counted with the service that they had", async () => {
  const instance = InstanceSecret.random();
  await using world = await startBroken(PLAIN, { instance });
  const { relay, port, dialler, acceptor, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  // Nothing is heard of its end, as when it is killed.
  relay.swallow();
  await dialler[Symbol.asyncDispose]();
  relay.cut();
  relay.deliver();
  await until(() => reportOf(acceptor, id)?.connections.resuming === 1, "the loss is noticed");
  const ended = visitor.exchange().then(() => "carried", () => "ended");
  await using another = await startConnector({ resumeMs: 60_000, instance });
  await using server = serveTcp(echo);
  const next = await another.connector.expose({
    name: "echo",
    sourcePort: port,
    remoteConnectorAddr: relay.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  strictEqual(await soon(ended, "it does not wait"), "ended");
  await until(() => reportOf(another, next)?.status === "complete", "it has the port");
  await roundTrip(port);
  deepStrictEqual(acceptor.connector.list().map((each) => each.id), [next]);
  const { resuming, resumed, notResumed } = reportOf(acceptor, next)?.connections ?? {};
  deepStrictEqual([resuming, resumed, notResumed], [0, 0, 0]);
  const counted = acceptor.connector.counters.ingress;
  deepStrictEqual([counted.resumed, counted.notResumed], [0, 1]);
  deepStrictEqual(acceptor.connector.peers().map((peer) => peer.resuming), [0]);
});

Deno.test("what either side adds and removes while the link is lost is so at both ends once it is back", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, port, dialler, acceptor, id } = world;
  await using server = serveTcp(echo);
  const expose = (sourcePort = freePort()) =>
    dialler.connector.expose({
      name: "another",
      sourcePort,
      remoteConnectorAddr: relay.address,
      destinationAddr: `127.0.0.1:${server.port}`,
      type: "local",
    });
  const [theirs, ours] = [await expose(), await expose()];
  const complete = (...ids: string[]) =>
    [dialler, acceptor].every(({ connector }) => {
      const list = connector.list();
      return list.length === ids.length &&
        list.every((each) => ids.includes(each.id) && each.status === "complete");
    });
  await until(() => complete(id, theirs, ours), "all are complete");
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  for (const side of [dialler, acceptor]) {
    await until(() => reportOf(side, id)?.status === "pending", "the loss is noticed");
  }
  await dialler.connector.destroy(ours);
  await acceptor.connector.destroy(theirs);
  const addedPort = freePort();
  const added = await expose(addedPort);
  strictEqual(reportOf(dialler, added)?.status, "pending");
  relay.admit();
  await until(() => complete(id, added), "both ends have the same");
  await visitor.exchange();
  await roundTrip(addedPort);
  strictEqual(reportOf(dialler, id)?.connections.resumed, 1);
});

Deno.test("a peer that goes on with another key is held to what the policy says of that", async () => {
  const root = await makeCertificate({ ca: true });
  const known = await leafPem(root, { name: "known" });
  const policy = policyOf(`version: 1
rules:
  - peer: { fingerprint: "${keyFingerprint(known.certificate)}" }
    listen: { ports: [1-65535], addresses: [127.0.0.1] }
`);
  await using acceptor = await startConnector({
    tls: pemOf(root, await makeCertificate({ names: LOOPBACK }, root)),
    policy: new PolicyGuard(policy),
  });
  await using dialler = await startRenewable(known);
  await using relay = new FaultRelay(acceptor.server.address.port);
  await using server = serveTcp(echo);
  const { port, id } = await exposeThrough({
    local: dialler,
    remote: { ...acceptor, address: relay.address },
  }, {
    type: "local",
    destination: server.port,
  });
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.cut();
  await visitor.exchange();
  strictEqual(reportOf(dialler, id)?.connections.resumed, 1);
  await dialler.write(await leafPem(root, { name: "other" }));
  relay.cut();
  await until(() => reportOf(dialler, id)?.status === "error", "it is not allowed any more");
  match(reportOf(dialler, id)?.message ?? "", /the policy does not let \S+ listen on port/);
  deepStrictEqual(acceptor.connector.list(), []);
});

Deno.test("ends and resets that were under way when the link was lost arrive", async () => {
  await using world = await startBroken({ type: "remote", security: "plaintext" });
  const { relay, port, dialler, acceptor, id } = world;
  using finishing = await Visitor.at(port);
  const leaving = await Visitor.at(port);
  await finishing.exchange();
  await leaving.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.status === "pending", "the loss is noticed");
  leaving[Symbol.dispose]();
  const finished = finishing.finish();
  relay.admit();
  await soon(finished, "the end has come back");
  for (const side of [dialler, acceptor]) {
    await until(() => reportOf(side, id)?.connections.open === 0, "nothing is open");
  }
});

Deno.test("a link that stays away ends its connections when the time is over", async () => {
  await using world = await startBroken(PLAIN, { resumeMs: 300 });
  const { relay, port, dialler, id } = world;
  using access = new AccessLines(dialler);
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.connections.notResumed === 1, "it is given up");
  match(reportOf(dialler, id)?.connections.lastClose ?? "", /none followed within/);
  await until(() => access.lines.length === 1, "it has a line");
  const [{ bytesIn, bytesOut, outcome, reason } = {}] = access.lines;
  deepStrictEqual([bytesIn, bytesOut, outcome], [1000, 1000, "failed"]);
  match(String(reason), /none followed within/);
  relay.admit();
  await until(() => reportOf(dialler, id)?.status === "complete", "the service is back");
  await roundTrip(port);
});

Deno.test("the list says why there is no link and when one is tried, and the log says it once", async () => {
  const lines: string[] = [];
  const warn = (message: string, { reason }: { reason: string }) =>
    lines.push(`${message}: ${reason}`);
  const logger = { isEnabledFor: () => false, info() {}, warn, with: () => logger };
  await using world = await startBroken(PLAIN, { logger: logger as unknown as Logger });
  const { relay, port, dialler, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.retryAt !== undefined, "another try is due");
  const lost =
    /^the link was lost \(.+\): resuming since \S+; no link to the peer: connection refused$/;
  match(reportOf(dialler, id)?.message ?? "", lost);
  // The first tries follow each other within 0.1 to 0.4 s.
  await delay(1200);
  relay.admit();
  await visitor.exchange();
  deepStrictEqual(lines, ["no link to the peer: connection refused"]);
});

Deno.test("what a dialler has given up, its acceptor gives up with the next link", async () => {
  await using world = await startBroken(PLAIN, { resumeMs: 300, acceptorMs: 60_000 });
  const { relay, port, acceptor, dialler, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.connections.notResumed === 1, "it is given up");
  strictEqual(reportOf(acceptor, id)?.connections.resuming, 1);
  relay.admit();
  const ended = visitor.exchange().then(() => "carried", () => "ended");
  strictEqual(await soon(ended, "it is given up here, too"), "ended");
  const { notResumed, lastClose } = reportOf(acceptor, id)?.connections ?? {};
  deepStrictEqual([notResumed, lastClose], [1, "the link was lost, and the peer has begun anew"]);
  await until(() => reportOf(acceptor, id)?.status === "complete", "the service is back");
  await roundTrip(port);
});

Deno.test("a link that leads to a restarted peer ends its connections at once, and the service is back", async () => {
  await using world = await startBroken(PLAIN);
  const { relay, port, dialler, acceptor, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.status === "pending", "the loss is noticed");
  await acceptor[Symbol.asyncDispose]();
  await using another = await startConnector({ resumeMs: 60_000 });
  relay.target = another.server.address.port;
  relay.admit();
  await until(() => reportOf(dialler, id)?.status === "complete", "the service is back");
  strictEqual(reportOf(dialler, id)?.connections.notResumed, 1);
  await roundTrip(port);
});

Deno.test("a link that was replaced after a GOAWAY and is then cut lets its connections go on", async () => {
  await using acceptor = await startConnector();
  await using dialler = await startConnector();
  await using relay = relayHttp2(acceptor.server.address.port);
  await using server = serveTcp(echo);
  const port = freePort();
  const id = await dialler.connector.expose({
    name: "echo",
    sourcePort: port,
    remoteConnectorAddr: relay.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  await until(() => reportOf(dialler, id)?.status === "complete", "the service is complete");
  using before = await Visitor.at(port);
  await before.exchange();
  relay.links[0]?.goAway();
  await until(() => relay.links.length === 2, "another link is opened");
  await until(
    () => acceptor.connector.list()[0]?.peer?.address !== undefined,
    "the acceptor has it",
  );
  using after = await Visitor.at(port);
  await after.exchange();
  relay.links[0]?.cut();
  await soon(Promise.all([before.exchange(), after.exchange()]), "both go on");
  strictEqual(relay.links.length, 3);
  deepStrictEqual(
    [dialler, acceptor].map((side) => side.connector.list()[0]?.connections.failed),
    [0, 0],
  );
});

Deno.test("with no time to wait, connections end with their link", async () => {
  await using world = await startBroken(PLAIN, { resumeMs: 0 });
  const { relay, port, dialler, id } = world;
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.cut();
  await until(() => reportOf(dialler, id)?.connections.failed === 1, "it has failed");
  await until(() => reportOf(dialler, id)?.status === "complete", "the service is back");
  deepStrictEqual(reportOf(dialler, id)?.connections.resumed, 0);
});
