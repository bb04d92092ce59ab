// Whose service is whose: what peers may take up, take over and remove on a connector that they have dialled, and what
// becomes of it when either leaves. The links are the test's own.

import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Subscription } from "../../src/model/events.ts";
import type { Session } from "../../src/mux/session.ts";
import type { PeerInfo } from "../../src/model/peer_identity.ts";
import { Principal } from "../../src/model/principal.ts";
import type { Service } from "../../src/model/service.ts";
import { newDialPace } from "../../src/tunnel/dial_pace.ts";
import type { ExposedService, ServicePeer } from "../../src/tunnel/exposed_service.ts";
import { Exposures } from "../../src/tunnel/exposures.ts";
import { OwnListeners } from "../../src/net/own_listeners.ts";
import { Connections } from "../../src/tunnel/connections.ts";
import type { ControlFrame } from "../../src/wire/frame.ts";
import { certificateId } from "../support/principals.ts";
import { network } from "../support/sockets.ts";
import { connectionParts, freePort, refuses, until } from "../support/world.ts";

const logger = getLogger(["test"]);

/** The id of a service of our own. */
const OURS = "ours";

class World implements Disposable {
  readonly connections = new Connections({
    logger,
    network,
    halfOpenMs: 60_000,
    maxConnections: 100,
    maxServiceConnections: 100,
  }, connectionParts());
  readonly services = new Exposures({
    events: this.connections.events,
    connections: this.connections,
    listeners: new OwnListeners(),
    pace: newDialPace(),
    graceMs: 60_000,
    listensOn: ({ sourceAddr }) => sourceAddr === undefined ? [] : [sourceAddr],
    admit: () => {},
    isTaken: (id) => id === OURS,
  });

  [Symbol.dispose](): void {
    this.services.abort();
  }
}

const OTHER_HOST = "198.51.100.2";

/** Who asks. */
interface Claimant {
  host?: string;
  /** Of its certificate; over plaintext there is none. */
  name?: string;
  key?: string;
  proof?: string;
}

/** A peer and the link that it has opened. */
class TestPeer implements ServicePeer {
  leaving = false;
  readonly services = new Set<ExposedService>();
  readonly sent: ControlFrame[] = [];
  readonly info: PeerInfo;
  /** Why streams were reset. */
  readonly resets: string[] = [];
  /** How many streams were opened. */
  opened = 0;
  readonly peer = this;
  // Of a session and its streams, services use this only.
  readonly link: Session = {
    dialect: "native",
    connections: [],
    send: (frame: ControlFrame) => this.sent.push(frame),
    open: () => {
      this.opened += 1;
      return {
        read: () => this.#reset.promise,
        write: () => Promise.resolve(),
        finish: () => Promise.resolve(),
        close: () => {},
        reset: (_code: string, reason: string) => {
          this.resets.push(reason);
          this.#reset.resolve(null);
        },
        onLost: () => {},
      };
    },
  } as unknown as Session;
  readonly #reset = Promise.withResolvers<null>();

  constructor({ host = "192.0.2.1", name, key = `key of ${name}`, proof }: Claimant = {}) {
    const certificate = name === undefined ? undefined : certificateId({ name, key });
    const bytes = proof === undefined ? undefined : new TextEncoder().encode(proof);
    this.info = {
      address: `${host}:1234`,
      principal: new Principal({ host, certificate, proof: bytes }),
      // All look alike to people: nothing is decided on that.
      ...(certificate && { identity: { subject: "CN=x", dnsNames: [], ipAddresses: [] } }),
    };
    Object.defineProperties(this.link, {
      peer: { value: this.info },
      leaving: { get: () => this.leaving },
    });
  }

  /** Its link takes no more streams. */
  leave({ returns }: { returns: boolean }): void {
    this.leaving = true;
    for (const each of [...this.services]) {
      each.tell({ kind: "linkDown", over: this.link, reason: "", returns });
    }
  }

  /** Its link has ended. */
  end({ returns }: { returns: boolean }): void {
    for (const each of [...this.services]) {
      each.tell({ kind: "linkEnded", over: this.link, returns });
    }
  }

  /** Removes a service, as far as it can. */
  remove(id: string, among: Exposures): void {
    among.find(id, this.link)?.tell({ kind: "withdraw", by: "peer", tell: false, cut: true });
  }
}

function service(part: Partial<Service> = {}): Service {
  return {
    id: crypto.randomUUID(),
    name: "test",
    type: "local",
    sourcePort: freePort(),
    remoteConnectorAddr: "peer:9090",
    destinationAddr: "127.0.0.1:1",
    ...part,
  };
}

for (const state of ["whose link lives", "whose link is lost"] as const) {
  Deno.test(`with certificates, a service ${state} is neither taken over nor removed by another one`, () => {
    using world = new World();
    const owner = new TestPeer({ name: "one" });
    const wanted = service();
    world.services.takeUp(wanted, owner);
    if (state === "whose link is lost") owner.end({ returns: true });
    const before = world.services.list();
    const thief = new TestPeer({ name: "two" });
    throws(() => world.services.takeUp(wanted, thief), /belongs to another/);
    throws(
      () => world.services.takeUp({ ...wanted, name: "mine" }, thief),
      /belongs to another/,
    );
    thief.remove(wanted.id, world.services);
    deepStrictEqual(world.services.list(), before);
    deepStrictEqual(owner.sent, []);

    // With its own certificate, from another host, it is the same one.
    const self = new TestPeer({ host: "192.0.2.2", name: "one" });
    strictEqual(world.services.takeUp(wanted, self), true);
    deepStrictEqual(world.services.list().map(({ status }) => status), ["complete"]);
  });
}

Deno.test("a service that has moved to a newer link is reached over the former one as well, by its holder alone", () => {
  using world = new World();
  const former = new TestPeer({ proof: "p" });
  const newer = new TestPeer({ proof: "p" });
  const other = new TestPeer({ proof: "q" });
  const wanted = service({ type: "remote" });
  world.services.takeUp(wanted, former);
  world.services.takeUp(wanted, newer);
  for (const owner of [former, newer]) {
    strictEqual(world.services.find(wanted.id, owner.link)?.service.id, wanted.id);
  }
  strictEqual(world.services.find(wanted.id, other.link), undefined);
  // What ends over the former link is not the service's end.
  former.end({ returns: true });
  strictEqual(world.services.find(wanted.id, newer.link)?.service.id, wanted.id);
});

for (const [what, changes] of [["id", {}], ["port", { id: "other" }]] as const) {
  Deno.test(`a service whose ${what} is asked for anew with another address listens there, and nowhere else`, async () => {
    using world = new World();
    const wanted = service({ sourceAddr: "127.0.0.2" });
    const owner = new TestPeer({ name: "one" });
    world.services.takeUp(wanted, owner);
    owner.end({ returns: true });
    const again = { ...wanted, ...changes, sourceAddr: "127.0.0.3" };
    strictEqual(world.services.takeUp(again, new TestPeer({ name: "one" })), true);
    deepStrictEqual(
      world.services.list().map(({ status, sourceAddr }) => [status, sourceAddr]),
      [["complete", "127.0.0.3"]],
    );
    (await Deno.connect({ hostname: "127.0.0.3", port: wanted.sourcePort })).close();
    Deno.listen({ hostname: "127.0.0.2", port: wanted.sourcePort }).close();
    throws(
      () => world.services.takeUp(again, new TestPeer({ name: "two" })),
      /belongs to another/,
    );
  });
}

/** Who holds a service, whether its link is away, who asks, and what it may: have the service, or its port. */
const RULES: [holder: Claimant, away: boolean, claimant: Claimant, may: string][] = [
  // With certificates: the same names, and of a link that lives the same key or instance.
  [{ name: "a", key: "1" }, false, { name: "a", key: "1" }, "have"],
  [{ name: "a", key: "1" }, false, { name: "a", key: "1", host: OTHER_HOST }, "have"],
  [{ name: "a", key: "1" }, false, { name: "a", key: "2" }, ""],
  [{ name: "a", key: "1", proof: "p" }, false, { name: "a", key: "2", proof: "q" }, ""],
  [{ name: "a", key: "1", proof: "p" }, false, { name: "a", key: "2", proof: "p" }, "have"],
  [{ name: "a", key: "1" }, false, { name: "b", key: "1" }, ""],
  [{ name: "a", key: "1", proof: "p" }, false, { name: "b", key: "1", proof: "p" }, ""],
  [{ name: "a", key: "1" }, false, {}, ""],
  [{ name: "a", key: "1" }, true, { name: "a", key: "1" }, "have port"],
  [{ name: "a", key: "1" }, true, { name: "a", key: "2" }, "have port"],
  [{ name: "a", key: "1" }, true, { name: "a", key: "2", host: OTHER_HOST }, "have"],
  [{ name: "a", key: "1", proof: "p" }, true, { name: "a", key: "2", proof: "q" }, "have port"],
  [{ name: "a", proof: "p" }, true, { name: "a", proof: "p", host: OTHER_HOST }, "have port"],
  [{ name: "a", key: "1" }, true, { name: "b", key: "1" }, ""],
  [{ name: "a", key: "1", proof: "p" }, true, { name: "b", key: "1", proof: "p" }, ""],
  [{ name: "a", key: "1" }, true, {}, ""],
  // Without: the same proof; where there was none, the same host.
  [{ proof: "p" }, false, { proof: "p" }, "have"],
  [{ proof: "p" }, false, { proof: "p", host: OTHER_HOST }, "have"],
  [{ proof: "p" }, false, { proof: "q" }, ""],
  [{ proof: "p" }, false, {}, ""],
  [{ proof: "p" }, true, { proof: "p" }, "have port"],
  [{ proof: "p" }, true, { proof: "p", host: OTHER_HOST }, "have port"],
  [{ proof: "p" }, true, { proof: "q" }, "port"],
  [{ proof: "p" }, true, {}, "port"],
  [{ proof: "p" }, true, { proof: "q", host: OTHER_HOST }, ""],
  [{ proof: "p" }, true, { host: OTHER_HOST }, ""],
  [{ proof: "p" }, true, { name: "a", proof: "p" }, ""],
  [{}, false, {}, "have"],
  [{}, false, { proof: "p" }, "have"],
  [{}, false, { host: OTHER_HOST }, ""],
  [{}, false, { host: OTHER_HOST, proof: "p" }, ""],
  [{}, false, { name: "a" }, ""],
  [{}, true, {}, "have port"],
  [{}, true, { proof: "p" }, "have port"],
  [{}, true, { host: OTHER_HOST }, ""],
  [{}, true, { name: "a" }, ""],
  // Of connections that were lost before they were asked nothing is known.
  [{ host: "" }, true, { host: "" }, ""],
];

for (const [holder, away, claimant, may] of RULES) {
  const [one, other] = [holder, claimant].map((each) => JSON.stringify(each));
  for (const link of away ? ["lost", "leaving"] as const : ["alive"] as const) {
    const prepare = () => {
      const world = new World();
      const owner = new TestPeer(holder);
      const wanted = service();
      world.services.takeUp(wanted, owner);
      if (link === "lost") owner.end({ returns: true });
      if (link === "leaving") owner.leave({ returns: true });
      return { world, wanted, asks: new TestPeer(claimant) };
    };
    const mayHave = may.includes("have");
    const what = `of a service of ${one}, whose link is ${link}, ${other}`;

    Deno.test(`${what} ${mayHave ? "is" : "is not"} the holder`, () => {
      for (const content of [{}, { name: "changed" }]) {
        const { world, wanted, asks } = prepare();
        using _world = world;
        const take = () => world.services.takeUp({ ...wanted, ...content }, asks);
        if (mayHave) strictEqual(take(), true);
        else throws(take, { code: "already_exists", message: /belongs to another service$/ });
      }
      const remove = [
        ({ world, wanted, asks }: ReturnType<typeof prepare>) =>
          asks.remove(wanted.id, world.services),
        ({ world, wanted, asks }: ReturnType<typeof prepare>) =>
          world.services.removeOfPeer(wanted.id, { of: asks.info }),
      ];
      for (const run of remove) {
        const prepared = prepare();
        using world = prepared.world;
        strictEqual(world.services.list({ of: prepared.asks.info }).length, mayHave ? 1 : 0);
        run(prepared);
        strictEqual(world.services.list().length, mayHave ? 0 : 1);
      }
    });

    Deno.test(`${what} ${may.includes("port") ? "gets" : "does not get"} the port`, () => {
      const { world, wanted, asks } = prepare();
      using _world = world;
      const anew = service({ sourcePort: wanted.sourcePort });
      const take = () => world.services.takeUp(anew, asks);
      if (may.includes("port")) strictEqual(take(), true);
      else throws(take, { code: "already_exists", message: /the port is in use/ });
      const holds = may.includes("port") ? anew : wanted;
      deepStrictEqual(world.services.list().map(({ id }) => id), [holds.id]);
    });
  }
}

Deno.test("of a port that another holds, nothing is told but that it is in use", () => {
  using world = new World();
  const wanted = service({ name: "secret" });
  world.services.takeUp(wanted, new TestPeer({ name: "a", host: "192.0.2.7" }));
  const ask = (claimant: Claimant) => () =>
    world.services.takeUp(service({ sourcePort: wanted.sourcePort }), new TestPeer(claimant));
  throws(ask({ name: "b" }), /the port is in use by another service$/);
  throws(ask({ name: "a" }), /the port is in use by service "secret" of 192\.0\.2\.7:1234$/);
});

Deno.test("the id of a service of ours is nobody else's", () => {
  using world = new World();
  throws(
    () => world.services.takeUp(service({ id: OURS }), new TestPeer()),
    { code: "already_exists", message: "The id belongs to another service" },
  );
  deepStrictEqual(world.services.list(), []);
});

Deno.test("a connector that is shutting down has no port open, and opens none", async () => {
  using world = new World();
  const owner = new TestPeer();
  const early = service();
  world.services.takeUp(early, owner);
  world.services.drain();
  const late = service();
  throws(() => world.services.takeUp(late, owner), /shutting down/);
  for (const { sourcePort } of [early, late]) strictEqual(await refuses(sourcePort), true);
});

Deno.test("a service whose peer had left for good listens again when it is exposed anew", async () => {
  using world = new World();
  const former = new TestPeer();
  const wanted = service();
  world.services.takeUp(wanted, former);
  former.leave({ returns: false });
  strictEqual(await refuses(wanted.sourcePort), true);
  world.services.takeUp(wanted, new TestPeer());
  deepStrictEqual(world.services.list().map(({ id, status }) => [id, status]), [
    [wanted.id, "complete"],
  ]);
  strictEqual(await refuses(wanted.sourcePort), false);
});

Deno.test("who takes a port over from a peer that drains does not cut off what is open there", async () => {
  using world = new World();
  const former = new TestPeer();
  const wanted = service();
  world.services.takeUp(wanted, former);
  using visitor = await Deno.connect({ port: wanted.sourcePort });
  await until(() => world.services.list()[0]?.connections.open === 1, "it is carried");
  former.leave({ returns: true });
  const anew = service({ sourcePort: wanted.sourcePort });
  world.services.takeUp(anew, new TestPeer());
  deepStrictEqual(world.services.list().map(({ id }) => id), [anew.id]);
  deepStrictEqual(former.resets, []);
  world.connections.abort();
  await until(() => former.resets.length > 0, "it is reset");
  match(former.resets[0] ?? "", /closing/);
  await visitor.read(new Uint8Array(1)).catch(() => null);
});

Deno.test("what the user has removed stays removed for its holder, and for nobody else", () => {
  using world = new World();
  const wanted = service();
  world.services.takeUp(wanted, new TestPeer({ proof: "a" }));
  strictEqual(world.services.removeOfPeer(wanted.id), true);
  // To another one it never was there, and removing that one's makes nobody forget.
  const other = new TestPeer({ proof: "b" });
  strictEqual(world.services.takeUp(wanted, other), true);
  strictEqual(world.services.removeOfPeer(wanted.id), true);
  for (const proof of ["a", "b"]) {
    strictEqual(world.services.takeUp(wanted, new TestPeer({ proof })), false);
  }
  strictEqual(world.services.takeUp(wanted, new TestPeer({ proof: "c" })), true);
});

Deno.test("what a peer has removed by itself is not lost to whom its id belongs", () => {
  using world = new World();
  const wanted = service();
  const holder = new TestPeer({ proof: "a" });
  world.services.takeUp(wanted, holder);
  holder.end({ returns: false });
  const thief = new TestPeer({ proof: "b" });
  strictEqual(world.services.takeUp(wanted, thief), true);
  strictEqual(world.services.removeOfPeer(wanted.id, { of: thief.info }), true);
  strictEqual(world.services.takeUp(wanted, holder), true);
});

Deno.test("peers cannot make the connector forget what the user has removed", () => {
  using world = new World();
  const wanted = service({ type: "remote" });
  const holder = new TestPeer({ proof: "a" });
  world.services.takeUp(wanted, holder);
  world.services.removeOfPeer(wanted.id);
  const hostile = new TestPeer({ proof: "b" });
  for (let count = 0; count < 12_000; count += 1) {
    const id = `hostile ${count}`;
    world.services.takeUp({ ...wanted, id }, hostile);
    world.services.removeOfPeer(id, { of: hostile.info });
  }
  strictEqual(world.services.takeUp(wanted, holder), false);
});

/** What is published of services: origin, change and status. */
function subscribe(world: World): { told: string[]; subscription: Subscription } {
  const told: string[] = [];
  const options = { kinds: ["service"], capacity: 100 } as const;
  const subscription = world.connections.events.subscribe("test", options, (event) => {
    if (event.kind === "lost") return void told.push("lost");
    told.push(`${event.origin} ${event.change === "status" ? event.status : event.change}`);
  });
  return { told, subscription };
}

/** A peer whose link ends in order as soon as it is to carry anything. */
function briefPeer(): TestPeer {
  const brief = new TestPeer();
  Object.defineProperty(brief.link, "open", {
    value: () => {
      brief.leave({ returns: true });
      throw new ConnectorError("unavailable", "The link is about to end");
    },
  });
  return brief;
}

Deno.test("what happens to a service of a peer is published in order, from its exposure to its removal", () => {
  using world = new World();
  const { told, subscription } = subscribe(world);
  using _subscription = subscription;
  const [former, newer] = [new TestPeer(), new TestPeer({ host: "192.0.2.1" })];
  const wanted = service();
  world.services.takeUp(wanted, former);
  former.end({ returns: true });
  world.services.takeUp(wanted, newer);
  world.services.removeOfPeer(wanted.id);
  subscription.flush();
  deepStrictEqual(told, [
    "peer exposed",
    "peer complete",
    "peer pending",
    "peer moved",
    "peer complete",
    "peer removed",
  ]);
});

Deno.test("what ends with the connector is not published as removed", () => {
  const world = new World();
  const { told, subscription } = subscribe(world);
  using _subscription = subscription;
  world.services.takeUp(service(), new TestPeer());
  world[Symbol.dispose]();
  subscription.flush();
  deepStrictEqual(told, ["peer exposed", "peer complete"]);
});

/** Lets so many visitors of a service wait, whose peer is gone. */
async function waitForPeer(
  world: World,
  { wanted, count }: { wanted: Service; count: number },
): Promise<DisposableStack> {
  using visitors = new DisposableStack();
  const former = new TestPeer();
  world.services.takeUp(wanted, former);
  former.end({ returns: true });
  for (let left = count; left > 0; left -= 1) {
    visitors.use(await Deno.connect({ port: wanted.sourcePort }));
  }
  await until(() => world.services.list()[0]?.connections.open === count, "they wait");
  return visitors.move();
}

Deno.test("visitors wait on when the link ends by which they are carried one after the other", async () => {
  using world = new World();
  const wanted = service();
  using _visitors = await waitForPeer(world, { wanted, count: 3 });
  const brief = briefPeer();
  world.services.takeUp(wanted, brief);
  strictEqual(world.services.list()[0]?.connections.open, 2);
  const lasting = new TestPeer();
  world.services.takeUp(wanted, lasting);
  brief.end({ returns: true });
  strictEqual(lasting.opened, 2);
  world.connections.abort();
  await until(() => lasting.resets.length > 0, "they are reset");
});

Deno.test("visitors wait on when their service is exposed over a link that takes no more streams", async () => {
  using world = new World();
  const wanted = service();
  using _visitors = await waitForPeer(world, { wanted, count: 1 });
  const leaving = new TestPeer();
  leaving.leave({ returns: true });
  world.services.takeUp(wanted, leaving);
  strictEqual(leaving.opened, 0);
  strictEqual(world.services.list()[0]?.connections.open, 1);
});

Deno.test("what a peer still says over a former link delays no answer over the one in use", () => {
  using world = new World();
  const [former, newer] = [new TestPeer(), new TestPeer()];
  const ours = world.services.expose(service(), { peer: former, shareKey: "", known: false });
  ours.open();
  for (const { link } of [former, newer]) ours.tell({ kind: "linkUp", over: link });
  const answer = { kind: "status", serviceId: ours.service.id, message: "" } as const;
  for (let count = 0; count < 20; count += 1) {
    ours.answered({ ...answer, status: "error" }, former.link);
  }
  strictEqual(ours.report().status, "pending");
  ours.answered({ ...answer, status: "complete" }, newer.link);
  strictEqual(ours.report().status, "complete");
});

Deno.test("of a peer's service is told first that it is there, and last how it stands", async () => {
  using world = new World();
  const { told, subscription } = subscribe(world);
  using _subscription = subscription;
  const wanted = service();
  using _visitors = await waitForPeer(world, { wanted, count: 1 });
  const brief = briefPeer();
  world.services.takeUp(wanted, brief);
  await until(() => told.length === 6, "all is told");
  deepStrictEqual(told, [
    "peer exposed",
    "peer complete",
    "peer pending",
    "peer moved",
    "peer complete",
    "peer pending",
  ]);
});
