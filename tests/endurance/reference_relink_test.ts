// Reference peers that may have met a service's id, as far as can be told: another one is sent once they have not greeted.

import { deepStrictEqual, notStrictEqual } from "node:assert/strict";
import type { Service } from "../../src/service.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import { exposedIds, untilComplete, visit } from "../support/reference_tunnel.ts";
import { echo, freePort, serveTcp, startConnector } from "../support/world.ts";

/** A local service for a peer. */
function request({ to, destination }: { to: string; destination: number }) {
  return {
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: `127.0.0.1:${destination}`,
    type: "local" as const,
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
