// Connections that go on when the path between two real connectors breaks and comes back: cut, silent, under another
// address. Both types, plaintext and mTLS.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { FaultRelay } from "../support/fault_relay.ts";
import { relayHttp2 } from "../support/http2_relay.ts";
import { makePki, pemOf } from "../support/mtls.ts";
import { soon } from "../support/soon.ts";
import { nameOf, PATH_KINDS, type PathKind } from "../support/tunnel_path.ts";
import {
  echo,
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

/** Two connectors with a path between them that fails, and an echo behind a service. */
interface Broken extends AsyncDisposable {
  dialler: TestConnector;
  acceptor: TestConnector;
  relay: FaultRelay;
  port: number;
  id: string;
}

async function startBroken(
  { type, security }: PathKind,
  { resumeMs = 60_000, graceMs = 10_000 } = {},
): Promise<Broken> {
  await using stack = new AsyncDisposableStack();
  const { root, leaf } = await makePki();
  const tls = security === "mTLS" ? pemOf(root, leaf) : undefined;
  const options = { resumeMs, graceMs, ...(tls && { tls }) };
  const acceptor = stack.use(await startConnector(options));
  const dialler = stack.use(await startConnector(options));
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
    match(report?.message ?? "", /^the link is lost \(.+\): resuming since \d{4}-.+Z$/);
    strictEqual(report?.connections.resuming, 1);
  }
  using during = await Visitor.at(port);
  const exchanged = Promise.all([before.exchange(), during.exchange()]);
  relay.admit();
  await soon(exchanged, "both go on");
  for (const side of [dialler, acceptor]) {
    await until(() => reportOf(side, id)?.status === "complete", "it is complete again");
    strictEqual(reportOf(side, id)?.message, undefined);
  }
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
  using visitor = await Visitor.at(port);
  await visitor.exchange();
  relay.refuse();
  relay.cut();
  await until(() => reportOf(dialler, id)?.connections.notResumed === 1, "it is given up");
  match(reportOf(dialler, id)?.connections.lastClose ?? "", /none followed within/);
  relay.admit();
  await until(() => reportOf(dialler, id)?.status === "complete", "the service is back");
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
