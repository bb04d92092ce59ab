// GOAWAY on the way: whatever is between two connectors says that it takes no more calls and lets the open one finish, as
// proxies do that are reloaded or that give connections an age. docs/reverse-proxies.md, "What happens at a GOAWAY".

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import type { PingTimes } from "../../src/platform/grpc_keepalive.ts";
import { InstanceSecret } from "../../src/instance_secret.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import type { ServiceReport, ServiceType } from "../../src/model/service.ts";
import { type Http2Relay, relayHttp2, type RelayOptions } from "../support/http2_relay.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { soon } from "../support/soon.ts";
import {
  echo,
  freePort,
  refuses,
  reportOf,
  roundTrip,
  serveTcp,
  settle,
  startConnector,
  type TestConnector,
  until,
  writeAll,
} from "../support/world.ts";

const TYPES = ["local", "remote"] as const;
/** Codes of RFC 9113 section 7. */
const REFUSED_STREAM = 7;
const ENHANCE_YOUR_CALM = 11;

/** A connection of a visitor that stays open. */
class Visitor implements Disposable {
  readonly #conn: Deno.TcpConn;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  static async connect(port: number): Promise<Visitor> {
    return new Visitor(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Whether a byte comes back. */
  async lives(): Promise<boolean> {
    try {
      await writeAll(this.#conn, Uint8Array.of(7));
      return await this.#conn.read(new Uint8Array(1)) === 1;
    } catch {
      return false;
    }
  }

  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch {
      // It was reset.
    }
  }
}

/** A connector that exposes an echo to another one through a relay. */
interface World extends AsyncDisposable {
  local: TestConnector;
  relay: Http2Relay;
  port: number;
  report: () => ServiceReport | undefined;
}

async function startWorld(
  type: ServiceType,
  { pings, to, ...options }: RelayOptions & {
    pings?: PingTimes;
    /** The port of the acceptor. Default: of one of ours. */
    to?: number | (() => number);
  } = {},
): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const acceptor = to ?? stack.use(await startConnector()).server.address.port;
  const relay = stack.use(relayHttp2(acceptor, options));
  const instance = InstanceSecret.random();
  const local = stack.use(
    await startConnector({
      dial: (address) =>
        dialLink(address, {
          secure: secureChannels(),
          hello: hello(DEFAULT_LIMITS),
          describePeer,
          proof: instance.proofFor(address),
          ...pings && { pings },
        }),
    }),
  );
  const port = freePort();
  const id = await local.connector.expose({
    name: "test",
    sourcePort: port,
    remoteConnectorAddr: relay.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type,
  });
  const owned = stack.move();
  return {
    local,
    relay,
    port,
    report: () => reportOf(local, id),
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
      await settle();
    },
  };
}

async function complete({ report }: World): Promise<void> {
  await until(() => report()?.status === "complete", "the service is complete");
}

/** Waits until new visitors take a link. */
async function untilUsed({ relay, port }: World, index: number): Promise<void> {
  await until(async () => {
    const before = relay.links[index]?.bytes ?? 0;
    await roundTrip(port, { length: 20_000 });
    return (relay.links[index]?.bytes ?? 0) - before > 20_000;
  }, `new visitors take link ${index}`);
}

for (const type of TYPES) {
  Deno.test(`${type}: at a GOAWAY the next link is opened, and connections that are open go on`, async () => {
    await using world = await startWorld(type);
    const { relay, port, report } = world;
    await complete(world);
    using old = await Visitor.connect(port);
    ok(await old.lives());
    const { since } = report() ?? {};

    relay.links[0]?.goAway();
    // Nobody is turned away or waits in vain meanwhile, and nobody is told that the service is gone.
    await untilUsed(world, 1);
    strictEqual(report()?.status, "complete");
    strictEqual(report()?.since, since);
    strictEqual(report()?.lastError, undefined);
    ok(await old.lives(), "the old connection goes on");

    using fresh = await Visitor.connect(port);
    ok(await fresh.lives());
    relay.links[0]?.cut();
    strictEqual(await old.lives(), false);
    ok(await fresh.lives(), "only the old link is lost");
    strictEqual(report()?.status, "complete");
  });

  Deno.test(`${type}: while no next link comes up, new visitors take the one that is about to end`, async () => {
    await using world = await startWorld(type);
    const { relay, port, report } = world;
    await complete(world);
    relay.refuse(true);
    relay.links[0]?.goAway();
    // Longer than the first wait, after which one is tried.
    for (const end = performance.now() + 400; performance.now() < end; await delay(50)) {
      await roundTrip(port, { length: 1000 });
      strictEqual(report()?.status, "complete");
    }
    relay.links[0]?.cut();
    await until(() => report()?.status === "pending", "the last link is lost");
    relay.refuse(false);
    await complete(world);
    await roundTrip(port);
  });
}

Deno.test("a link outlives a GOAWAY by many pings of HTTP/2", async () => {
  await using world = await startWorld("local", {
    pings: { intervalMs: 50, timeoutMs: 5000 },
  });
  const { relay, port } = world;
  await complete(world);
  using visitor = await Visitor.connect(port);
  ok(await visitor.lives());
  relay.links[0]?.goAway();
  for (let round = 0; round < 5; round += 1) {
    await delay(50);
    ok(await visitor.lives(), `after ${round} intervals`);
  }
});

Deno.test("a call that a GOAWAY refuses, because it came too late, is made again at once", async () => {
  let refused = 0;
  await using acceptor = await startConnector();
  await using relay = relayHttp2(acceptor.server.address.port, {
    onCall(connection) {
      refused += 1;
      connection.goAway({ last: 0 });
    },
  });
  await using local = await startConnector();
  const id = await local.connector.expose({
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: relay.address,
    destinationAddr: "127.0.0.1:1",
    type: "remote",
  });
  await until(() => refused > 1, "it was tried again");
  const { lastError } = reportOf(local, id) ?? {};
  match(lastError?.message ?? "", /: the call was refused, by the peer or a proxy on the way$/);
});

Deno.test("the reason of a link says what a GOAWAY with an error said", async () => {
  await using world = await startWorld("remote");
  await complete(world);
  world.relay.links[0]?.goAway({ code: ENHANCE_YOUR_CALM, text: "too_many_pings" });
  await until(() => world.report()?.lastError !== undefined, "the link is lost");
  strictEqual(
    world.report()?.lastError?.message,
    "no link to the peer: it, or a proxy on the way, ended the connection with ENHANCE_YOUR_CALM, " +
      'and said "too_many_pings"',
  );
  await complete(world);
});

for (
  const [code, words] of [
    [2, /a proxy in front of one has reached .*client_max_body_size/],
    [REFUSED_STREAM, /the call was refused/],
  ] as const
) {
  Deno.test(`a call that is reset with code ${code} has a reason in plain words`, async () => {
    await using world = await startWorld("remote");
    await complete(world);
    world.relay.links[0]?.reset(code);
    await until(() => world.report()?.lastError !== undefined, "the link is lost");
    match(world.report()?.lastError?.message ?? "", words);
    await complete(world);
  });
}

Deno.test("reference dialect: what the peer listens for stays with its link until that ends", async () => {
  await using peer = await startReferenceAcceptor();
  await using world = await startWorld("local", { to: peer.port });
  const { relay, port, report } = world;
  await complete(world);
  using visitor = await Visitor.connect(port);
  ok(await visitor.lives());
  relay.links[0]?.goAway();
  await until(() => relay.attempts === 2, "there is a next link");
  await delay(100);
  // A second one could not listen where the first one does.
  strictEqual(report()?.status, "complete");
  ok(await visitor.lives());
  using another = await Visitor.connect(port);
  ok(await another.lives());
  relay.links[0]?.cut();
  await until(() => report()?.status === "pending" || report()?.lastError !== undefined, "lost");
  await soon(complete(world), "it is exposed over the next link");
});

Deno.test("reference dialect: what stays with its former link is removed there", async () => {
  await using peer = await startReferenceAcceptor();
  await using world = await startWorld("local", { to: peer.port });
  const { relay, port, local, report } = world;
  await complete(world);
  // Over this one it has an id of its own.
  relay.links[0]?.cut();
  await peer.session(2);
  await complete(world);
  relay.links[1]?.goAway();
  await peer.session(3);
  strictEqual(report()?.status, "complete");
  const [service] = local.connector.list();
  await local.connector.destroy(service?.id ?? "");
  await until(() => refuses(port), "the peer listens no more");
});

Deno.test("reference dialect: what stays with its former link keeps its id, whatever the next peer speaks", async () => {
  await using peer = await startReferenceAcceptor();
  await using native = await startConnector();
  let to = peer.port;
  await using world = await startWorld("local", { to: () => to });
  const { relay, port, report } = world;
  await complete(world);
  relay.links[0]?.cut();
  const second = await peer.session(2);
  await complete(world);
  to = native.server.address.port;
  relay.links[1]?.goAway();
  await until(() => relay.links.length === 3, "there is a next link");
  await delay(100);
  deepStrictEqual(second.received("destroy"), []);
  strictEqual(report()?.status, "complete");
  using visitor = await Visitor.connect(port);
  ok(await visitor.lives());
  relay.links[1]?.cut();
  await until(() => native.connector.list().length === 1, "the next peer has it");
  await complete(world);
});

Deno.test("reference dialect: what we listen for takes the next link", async () => {
  await using peer = await startReferenceAcceptor();
  await using world = await startWorld("remote", { to: peer.port });
  const { relay, port } = world;
  await complete(world);
  using visitor = await Visitor.connect(port);
  ok(await visitor.lives());
  relay.links[0]?.goAway();
  await until(() => relay.links.length === 2, "there is a next link");
  await until(async () => {
    using fresh = await Visitor.connect(port);
    return await fresh.lives() && (relay.links[1]?.bytes ?? 0) > 0;
  }, "new visitors take the next link");
  ok(await visitor.lives());
  deepStrictEqual(world.report()?.status, "complete");
});
