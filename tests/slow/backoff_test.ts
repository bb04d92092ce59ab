// The waits between tries to open a link start anew once a link has lived for 10 s, and not before.

import { ok } from "node:assert/strict";
import { FaultRelay } from "../support/fault_relay.ts";
import { exposeService, spawnConnector, untilComplete } from "../support/processes.ts";
import { until } from "../support/world.ts";

/** How long a link lives until it counts as settled, in milliseconds. */
const SETTLED_MS = 10_000;

Deno.test("the waits before a link is tried again start anew once one has lived for 10 s", async () => {
  await using remote = await spawnConnector();
  // Connections that wait for their link are another matter.
  await using local = await spawnConnector({ args: ["--resume-timeout=0s"] });
  await using relay = new FaultRelay(remote.grpcPort);
  const { id } = await exposeService(local, { to: relay.address, type: "local", destination: 1 });
  const waits = () => [...local.logs().matchAll(/retryMs=(\d+)/g)].map(([, ms]) => Number(ms));
  relay.refuse();
  relay.cut();
  await until(() => waits().some((ms) => ms >= 800), "the waits have grown");
  relay.admit();
  await untilComplete(local, id);
  const opened = performance.now();
  const before = waits();

  // Too young: they go on growing.
  relay.cut();
  await until(() => waits().length > before.length, "it is lost", { timeoutMs: 5000 });
  ok((waits()[before.length] ?? 0) > 400, waits().join());
  await untilComplete(local, id);

  const settled = performance.now() + SETTLED_MS + 1000;
  await until(() => performance.now() > settled, "it has settled", { timeoutMs: 20_000 });
  ok(performance.now() - opened > SETTLED_MS);
  const count = waits().length;
  relay.cut();
  await until(() => waits().length > count, "it is lost again");
  ok((waits()[count] ?? Infinity) <= 200, waits().join());
});
