// A path to a peer of the reference dialect that goes silent, on the side that was dialled.

import { ok } from "node:assert/strict";
import { FaultRelay } from "../support/fault_relay.ts";
import { dialAsReference } from "../support/reference_link.ts";
import { freePort, startConnector, until } from "../support/world.ts";

Deno.test("an acceptor notices within 15 s that a reference peer is silent, and frees its port", async () => {
  await using ours = await startConnector({ graceMs: 100 });
  await using relay = new FaultRelay(ours.server.address.port);
  await using peer = dialAsReference(relay.address);
  const port = freePort();
  await peer.session.expose({ sourcePort: port });
  relay.swallow();
  const started = performance.now();
  await until(() => ours.connector.list().length === 0, "it is gone", { timeoutMs: 20_000 });
  const took = performance.now() - started;
  ok(took > 5000 && took < 15_000, `${took} ms`);
  Deno.listen({ port }).close();
});
