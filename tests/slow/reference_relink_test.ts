// Later links to reference peers, in more than a second each: peers that may have met a service's id though they have not
// answered, many services, several starts.

import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import type { Service, ServiceType } from "../../src/model/service.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { exposedIds, untilComplete, visit } from "../support/reference_tunnel.ts";
import { echo, freePort, reportOf, serveTcp, startConnector, until } from "../support/world.ts";

/** A service for a peer. */
function request(
  { to, destination, type = "local" }: { to: string; destination: number; type?: ServiceType },
) {
  return {
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: `127.0.0.1:${destination}`,
    type,
  };
}

Deno.test("an id that was sent over a link that never answered is not used again", async () => {
  await using server = serveTcp(echo);
  await using mute = await startReferenceAcceptor({ passive: true });
  await using peer = await startReferenceAcceptor();
  await using relay = new FaultRelay(mute.port);
  await using ours = await startConnector();
  const asked = request({ to: relay.address, destination: server.port });
  const id = await ours.connector.expose(asked);
  const first = await mute.session();
  await first.receive("expose");
  relay.target = peer.port;
  relay.cut();
  await untilComplete(ours, id);
  deepStrictEqual(exposedIds(first), [id]);
  notStrictEqual(exposedIds(await peer.session())[0], id);
  await visit(asked.sourcePort, "over the second link");
});

Deno.test("a service of an earlier run is exposed under another id, which its peer cannot have met", async () => {
  await using server = serveTcp(echo);
  await using peer = await startReferenceAcceptor();
  const asked = request({ to: peer.address, destination: server.port });
  let saved: Service[] = [];
  let id: string;
  {
    await using earlier = await startConnector({
      save: (services) => {
        saved = services;
        return Promise.resolve();
      },
    });
    id = await earlier.connector.expose(asked);
    await untilComplete(earlier, id);
  }
  await using ours = await startConnector();
  ours.connector.restore(saved);
  await untilComplete(ours, id);
  await visit(asked.sourcePort, "after the restart");
});

Deno.test("many services of both types are back after each of several cuts, visitors under way included", async () => {
  await using server = serveTcp(echo);
  await using peer = await startReferenceAcceptor();
  await using relay = new FaultRelay(peer.port);
  await using ours = await startConnector();
  const asked = Array.from(
    { length: 10 },
    (_, index) =>
      request({
        to: relay.address,
        destination: server.port,
        type: index % 2 ? "local" : "remote",
      }),
  );
  const ids: string[] = [];
  for (const each of asked) ids.push(await ours.connector.expose(each));
  for (const links of [1, 2, 3]) {
    for (const id of ids) await untilComplete(ours, id);
    await Promise.all(asked.map(({ sourcePort }) => visit(sourcePort, `over link ${links}`)));
    const underWay = await Deno.connect({ port: asked[links]?.sourcePort ?? 0 });
    await underWay.write(new Uint8Array(1));
    await underWay.read(new Uint8Array(1));
    relay.cut();
    // Its connection has ended with the link, in whatever way.
    strictEqual(await underWay.read(new Uint8Array(1)).catch(() => null), null);
    underWay.close();
    await peer.session(links + 1);
  }
  for (const id of ids) await untilComplete(ours, id);
  deepStrictEqual(ours.connector.list().map(({ id }) => id), ids);
  strictEqual(new Set(peer.sessions.flatMap(exposedIds)).size, 4 * ids.length);
});

Deno.test("a peer that is started anew, and one that ends its link in order, have their services back", async () => {
  await using server = serveTcp(echo);
  await using ours = await startConnector();
  const port = freePort();
  const asked = request({ to: `127.0.0.1:${port}`, destination: server.port });
  const id = await ours.connector.expose(asked);
  for (const start of [1, 2]) {
    await using peer = await startReferenceAcceptor({ port });
    await untilComplete(ours, id);
    await visit(asked.sourcePort, `start ${start}`);
    (await peer.session()).end();
    await peer.session(2);
    await until(() => reportOf(ours, id)?.status === "complete", "it is back");
    await visit(asked.sourcePort, `start ${start}, second link`);
  }
  strictEqual(reportOf(ours, id)?.id, id);
});
