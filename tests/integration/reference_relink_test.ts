// Later links to a reference peer that we dial. It finds the call of a visitor by the service's id, and takes the oldest
// that had it, though that call may have ended: an id that it has met once carries nobody again.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { ServiceType } from "../../src/model/service.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { exposedIds, untilComplete, visit } from "../support/reference_tunnel.ts";
import {
  echo,
  freePort,
  refuses,
  reportOf,
  serveTcp,
  startConnector,
  until,
} from "../support/world.ts";

/** What is asked for, with a free port. */
function request(type: ServiceType, { to, destination }: { to: string; destination: number }) {
  return {
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: `127.0.0.1:${destination}`,
    type,
  };
}

for (const type of ["local", "remote"] as const) {
  Deno.test(`${type}: after each link that was cut visitors are carried, and the user's id stays`, async () => {
    await using server = serveTcp(echo);
    await using peer = await startReferenceAcceptor();
    await using relay = new FaultRelay(peer.port);
    await using ours = await startConnector();
    const asked = request(type, { to: relay.address, destination: server.port });
    const id = await ours.connector.expose(asked);
    for (const links of [1, 2, 3]) {
      await peer.session(links);
      await untilComplete(ours, id);
      await visit(asked.sourcePort, `over link ${links}`);
      deepStrictEqual(ours.connector.list().map((each) => each.id), [id]);
      if (links < 3) relay.cut();
    }
    const used = peer.sessions.flatMap(exposedIds);
    strictEqual(used[0], id);
    strictEqual(new Set(used).size, 3, used.join());
    // What is inside the message is the same id: the peer lists it.
    for (const { serviceId, message } of peer.sessions.flatMap((each) => each.received("expose"))) {
      ok(message?.$case === "expose");
      strictEqual(message.value.service?.id, serviceId);
    }
    await ours.connector.destroy(id);
    const last = await peer.session(3);
    const { serviceId, message } = await last.receive("destroy");
    deepStrictEqual([serviceId, message], [used[2], { $case: "destroy", value: { id: used[2] } }]);
  });

  Deno.test(`${type}: after a path that went silent visitors are carried once the peer has noticed, too`, async () => {
    await using server = serveTcp(echo);
    await using peer = await startReferenceAcceptor();
    await using relay = new FaultRelay(peer.port);
    await using ours = await startConnector();
    const asked = request(type, { to: relay.address, destination: server.port });
    const id = await ours.connector.expose(asked);
    await untilComplete(ours, id);
    // The peer keeps its end, and with it the port of a local service.
    relay.halve();
    const second = await peer.session(2);
    await second.receive("expose");
    if (type === "local") {
      await until(() => reportOf(ours, id)?.status === "error", "the port is busy");
      match(reportOf(ours, id)?.message ?? "", /AddrInUse/);
      ok(reportOf(ours, id)?.retryAt !== undefined);
      // It asks again over the same link, under the id of that link.
      await second.receive("expose", { count: 2 });
      strictEqual(new Set(exposedIds(second)).size, 1);
    }
    relay.cut();
    await peer.session(3);
    await untilComplete(ours, id);
    await visit(asked.sourcePort, "after the silence");
  });
}

Deno.test("a peer that greets has the user's id over every link, whatever was there before it", async () => {
  await using server = serveTcp(echo);
  await using reference = await startReferenceAcceptor();
  await using relay = new FaultRelay(reference.port);
  await using ours = await startConnector();
  await using theirs = await startConnector();
  const asked = request("local", { to: relay.address, destination: server.port });
  const id = await ours.connector.expose(asked);
  await untilComplete(ours, id);
  const becomes = async (port: number, what: string) => {
    const { accepted } = relay;
    relay.target = port;
    relay.cut();
    await until(() => relay.accepted > accepted, "the next link is dialled");
    await untilComplete(ours, id);
    await visit(asked.sourcePort, what);
  };
  const listed = () => theirs.connector.list().map((each) => each.id);

  await becomes(theirs.server.address.port, "the reference was replaced");
  await until(() => listed().join() === id, "the peer has the user's id alone");
  // The next link begins with it.
  await becomes(theirs.server.address.port, "and again");
  deepStrictEqual(listed(), [id]);

  // The reference that comes back has met the id.
  await theirs[Symbol.asyncDispose]();
  await becomes(reference.port, "and back");
  deepStrictEqual(ours.connector.list().map((each) => each.id), [id]);
  strictEqual(new Set(reference.sessions.map((each) => exposedIds(each).at(-1))).size, 2);
});

Deno.test("a service that is removed after a later link is gone at the peer, whose port is free", async () => {
  await using peer = await startReferenceAcceptor();
  await using relay = new FaultRelay(peer.port);
  await using ours = await startConnector();
  const asked = request("local", { to: relay.address, destination: 1 });
  const id = await ours.connector.expose(asked);
  // Another one keeps the link.
  const kept = await ours.connector.expose(
    request("remote", { to: relay.address, destination: 1 }),
  );
  await untilComplete(ours, id);
  relay.cut();
  await peer.session(2);
  await untilComplete(ours, id);
  await ours.connector.destroy(id);
  await until(() => refuses(asked.sourcePort), "the peer listens no more");
  // The port can be had again, by a service that the peer has never met.
  const again = await ours.connector.expose(asked);
  await untilComplete(ours, again);
  deepStrictEqual(ours.connector.list().map((each) => each.id).sort(), [kept, again].sort());
  strictEqual(exposedIds(await peer.session(2)).at(-1), again);
});
