// Slow cases of a GOAWAY from a proxy: when a replaced link is closed, how many links there may be, and what survives
// the pings of both ends.

import { ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { relayHttp2, type RelayOptions } from "../support/http2_relay.ts";
import {
  echo,
  exposeThrough,
  freePort,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  until,
  writeAll,
} from "../support/world.ts";

/** Links to one peer that may be open at once. */
const MAX_LINKS = 8;

async function startWorld(options: RelayOptions = {}) {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const acceptor = stack.use(await startConnector());
  const next = stack.use(await startConnector());
  let to = acceptor;
  const relay = stack.use(relayHttp2(() => to.server.address.port, options));
  const local = stack.use(await startConnector());
  const port = freePort();
  const id = await local.connector.expose({
    name: "test",
    sourcePort: port,
    remoteConnectorAddr: relay.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  await until(() => reportOf(local, id)?.status === "complete", "the service is complete");
  const owned = stack.move();
  return {
    relay,
    port,
    acceptor,
    /** Later connections lead to another acceptor. */
    lead: () => void (to = next),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Whether a byte comes back. */
async function lives(conn: Deno.TcpConn): Promise<boolean> {
  await writeAll(conn, Uint8Array.of(7));
  return await conn.read(new Uint8Array(1)) === 1;
}

Deno.test("a link that was replaced ends in order soon after its last connection, and not before", async () => {
  await using world = await startWorld();
  const { relay, port } = world;
  const [first] = relay.links;
  using conn = await Deno.connect({ port });
  ok(await lives(conn));
  first?.goAway();
  await until(() => relay.links.length === 2, "there is a next link");
  await delay(5000);
  ok(await lives(conn));
  ok(first?.open);
  conn.close();
  await until(() => first?.open === false, "the old link is ended");
  strictEqual(relay.links[1]?.open, true);
  await roundTrip(port);
});

Deno.test("links outlive a GOAWAY of either end by many pings of the other", async () => {
  // Of the acceptor, which asks every 5 s: its client says GOAWAY as well when it has got one.
  await using world = await startWorld({ passGoAway: true });
  const { relay, port } = world;
  using conn = await Deno.connect({ port });
  ok(await lives(conn));
  relay.links[0]?.goAway();
  for (let second = 0; second < 12; second += 1) {
    await delay(1000);
    ok(await lives(conn), `after ${second} s`);
  }
});

Deno.test("an acceptor that drains lets connections go on for longer than its own pings take", async () => {
  await using server = serveTcp(echo);
  await using acceptor = await startConnector();
  await using local = await startConnector();
  const { port } = await exposeThrough(
    { local, remote: acceptor },
    { type: "local", destination: server.port },
  );
  using conn = await Deno.connect({ port });
  ok(await lives(conn));
  // As at SIGTERM: the server says GOAWAY, and the connector that it drains.
  const drained = acceptor.running.close({ drainMs: 60_000 });
  for (let second = 0; second < 12; second += 1) {
    await delay(1000);
    ok(await lives(conn), `after ${second} s`);
  }
  conn.close();
  await drained;
});

Deno.test("as many links as there may be, none of which takes new connections any more, keep no next one from being opened", async () => {
  await using world = await startWorld();
  const { relay, port, acceptor, lead } = world;
  using stack = new DisposableStack();
  for (let count = 1; count <= MAX_LINKS; count += 1) {
    await until(() => relay.links.length === count, `there are ${count} links`, {
      timeoutMs: 60_000,
    });
    // New visitors may take the former link for a moment.
    await until(async () => {
      const before = relay.links[count - 1]?.bytes ?? 0;
      const conn = stack.use(await Deno.connect({ port }));
      return await lives(conn) && (relay.links[count - 1]?.bytes ?? 0) > before;
    }, "a visitor has taken the latest");
    relay.links[count - 1]?.goAway();
  }
  // Longer than the wait for the next one.
  await delay(30_000);
  strictEqual(relay.links.length, MAX_LINKS);
  lead();
  const drained = acceptor.running.close({ drainMs: 60_000 });
  await until(() => relay.links.length > MAX_LINKS, "there is a next link");
  await until(() => roundTrip(port).then(() => true, () => false), "new visitors are carried");
  stack.dispose();
  await drained;
});

Deno.test("a proxy that says GOAWAY over each connection is not dialled in a loop, and cuts off nobody", async () => {
  await using world = await startWorld({ onAnswered: (connection) => connection.goAway() });
  const { relay, port } = world;
  using conn = await Deno.connect({ port });
  for (const end = performance.now() + 6000; performance.now() < end; await delay(20)) {
    await roundTrip(port, { length: 1000 });
    ok(await lives(conn));
  }
  // With waits of at least 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 s.
  ok(relay.links.length <= 7, `${relay.links.length} links`);
});

Deno.test("a proxy that says GOAWAY and cuts at once is not dialled in a loop", async () => {
  await using world = await startWorld({
    async onAnswered(connection) {
      connection.goAway();
      await delay(20);
      connection.cut();
    },
  });
  await delay(6000);
  // As many as above, and those that go on with the sessions of links that were cut; each with a look at the port.
  ok(world.relay.links.length <= 25, `${world.relay.links.length} links`);
  ok(world.relay.attempts <= 50, `${world.relay.attempts} connections`);
});

Deno.test("links that are about to end have a bound, and none is ended for a newer one", async () => {
  await using world = await startWorld();
  const { relay, port } = world;
  const conns: Deno.TcpConn[] = [];
  for (let round = 0; round < 8; round += 1) {
    await until(() => relay.links.length > round, "there is a next link", {
      timeoutMs: 40_000,
    });
    const link = relay.links[round];
    // Its connection is over the newest link.
    await until(async () => {
      const before = link?.bytes ?? 0;
      await roundTrip(port, { length: 20_000 });
      return (link?.bytes ?? 0) > before;
    }, "new visitors take it");
    conns.push(await Deno.connect({ port }));
    ok(await lives(conns[round] as Deno.TcpConn));
    link?.goAway();
  }
  // More than the longest wait so far.
  await delay(30_000);
  strictEqual(relay.links.length, 8);
  for (const conn of conns) {
    ok(await lives(conn));
    conn.close();
  }
  await until(() => relay.links.length === 9, "there is room again", { timeoutMs: 60_000 });
});
