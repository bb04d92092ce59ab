// Whose service is whose: what peers may take up, take over and remove on a connector that they have dialled, and what
// becomes of it when either leaves. The links are the test's own.

import { deepStrictEqual, match, strictEqual, throws } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import type { Session } from "../../src/mux/session.ts";
import type { PeerInfo } from "../../src/peer_identity.ts";
import type { Service } from "../../src/service.ts";
import type { Owner } from "../../src/tunnel/guest_service.ts";
import { GuestServices } from "../../src/tunnel/guest_services.ts";
import { Visitors } from "../../src/tunnel/visitors.ts";
import type { ControlFrame } from "../../src/wire/frame.ts";
import { freePort, refuses, until } from "../support/world.ts";

const logger = getLogger(["test"]);

class World implements Disposable {
  readonly visitors = new Visitors({
    logger,
    halfOpenMs: 60_000,
    maxConnections: 100,
    maxServiceConnections: 100,
  });
  readonly services = new GuestServices({
    visitors: this.visitors,
    logger,
    graceMs: 60_000,
    admit: () => {},
  });

  [Symbol.dispose](): void {
    this.services.close();
  }
}

class TestOwner implements Owner {
  leaving = false;
  readonly sent: ControlFrame[] = [];
  readonly peer: PeerInfo;
  /** Why streams were reset. */
  readonly resets: string[] = [];
  // Of a session and its streams, services use this only.
  readonly session = {
    send: (frame: ControlFrame) => this.sent.push(frame),
    open: () => ({
      read: () => this.#reset.promise,
      write: () => Promise.resolve(),
      finish: () => Promise.resolve(),
      close: () => {},
      reset: (_code: string, reason: string) => {
        this.resets.push(reason);
        this.#reset.resolve(null);
      },
      onLost: () => {},
    }),
  } as unknown as Session;
  readonly #reset = Promise.withResolvers<null>();

  constructor({ host = "192.0.2.1", certificate }: { host?: string; certificate?: string } = {}) {
    this.peer = {
      address: `${host}:1234`,
      ...(certificate !== undefined && {
        identity: { subject: certificate, dnsNames: [], ipAddresses: [] },
      }),
    };
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
    const owner = new TestOwner({ certificate: "CN=one" });
    const wanted = service();
    world.services.takeUp(wanted, owner);
    if (state === "whose link is lost") world.services.ended(owner, { returns: true });
    const before = world.services.list();
    const thief = new TestOwner({ certificate: "CN=two" });
    throws(() => world.services.takeUp(wanted, thief), /belongs to another/);
    throws(
      () => world.services.takeUp({ ...wanted, name: "mine" }, thief),
      /belongs to another/,
    );
    world.services.release(wanted.id, thief);
    deepStrictEqual(world.services.list(), before);
    deepStrictEqual(owner.sent, []);

    // With its own certificate, from another host, it is the same one.
    const self = new TestOwner({ host: "192.0.2.2", certificate: "CN=one" });
    strictEqual(world.services.takeUp(wanted, self), true);
    deepStrictEqual(world.services.list().map(({ status }) => status), ["complete"]);
  });
}

Deno.test("a connector that is shutting down has no port open, and opens none", async () => {
  using world = new World();
  const owner = new TestOwner();
  const early = service();
  world.services.takeUp(early, owner);
  world.services.stopListening();
  const late = service();
  throws(() => world.services.takeUp(late, owner), /shutting down/);
  for (const { sourcePort } of [early, late]) strictEqual(await refuses(sourcePort), true);
});

Deno.test("a service whose peer had left for good listens again when it is exposed anew", async () => {
  using world = new World();
  const former = new TestOwner();
  const wanted = service();
  world.services.takeUp(wanted, former);
  former.leaving = true;
  world.services.leaving(former, { returns: false });
  strictEqual(await refuses(wanted.sourcePort), true);
  world.services.takeUp(wanted, new TestOwner());
  deepStrictEqual(world.services.list().map(({ id, status }) => [id, status]), [
    [wanted.id, "complete"],
  ]);
  strictEqual(await refuses(wanted.sourcePort), false);
});

Deno.test("who takes a port over from a peer that drains does not cut off what is open there", async () => {
  using world = new World();
  const former = new TestOwner();
  const wanted = service();
  world.services.takeUp(wanted, former);
  using visitor = await Deno.connect({ port: wanted.sourcePort });
  await until(() => world.services.list()[0]?.connections.open === 1, "it is carried");
  former.leaving = true;
  world.services.leaving(former, { returns: true });
  const anew = service({ sourcePort: wanted.sourcePort });
  world.services.takeUp(anew, new TestOwner());
  deepStrictEqual(world.services.list().map(({ id }) => id), [anew.id]);
  deepStrictEqual(former.resets, []);
  world.visitors.closeAll();
  await until(() => former.resets.length > 0, "it is reset");
  match(former.resets[0] ?? "", /closing/);
  await visitor.read(new Uint8Array(1)).catch(() => null);
});
