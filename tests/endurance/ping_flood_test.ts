// A peer that has a connector answer and reads nothing: it takes many answers until the windows of both sides are full.

import { ok } from "node:assert/strict";
import { dialHostile, startWorld } from "../support/attacked_connector.ts";
import { ping } from "../support/hostile_peer.ts";

Deno.test("over gRPC: a peer that floods with pings and reads nothing ends its own session", async () => {
  await using world = await startWorld();
  await using hostile = dialHostile(world.victim.address, { deaf: true });
  const { peer } = hostile;
  let over = false;
  peer.link.closed.then(() => over = true);
  const flood = Array.from({ length: 20_000 }, () => ping(2 ** 31));
  // Both sides' HTTP/2 windows hold some of the answers: 160 KB each time.
  for (let sent = 0; !over && sent < 500; sent += 1) {
    peer.send(...flood);
    await peer.link.writable();
  }
  await world.unharmed();
  ok(over, "the link has ended");
});
