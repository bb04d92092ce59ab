// A peer that leaves in order ends its link and nothing else: the other connector lives on, whichever of the
// two had dialled. What this guards against is in
// src/platform/http2_session_end.ts.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { exposeService, spawnPair } from "../support/processes.ts";
import { until } from "../support/world.ts";

Deno.test("the connector that was dialled outlives the one that dialled", async () => {
  await using pair = await spawnPair();
  await exposeService(pair.local, { to: pair.remote.address, type: "local", destination: 1 });
  deepStrictEqual(await pair.local.stop("SIGTERM"), { code: 0, signal: null });
  await until(async () => (await pair.remote.rest.list()).length === 0, "its service is gone");
  deepStrictEqual(await pair.remote.stop("SIGTERM"), { code: 0, signal: null });
});

Deno.test("the connector that dialled outlives the one that was dialled", async () => {
  await using pair = await spawnPair();
  const { id } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: 1,
  });
  deepStrictEqual(await pair.remote.stop("SIGTERM"), { code: 0, signal: null });
  await until(async () => await pair.local.rest.statusOf(id) === "PENDING", "it is pending");
  strictEqual((await pair.local.rest.request("GET", "/health")).status, 200);
  deepStrictEqual(await pair.local.stop("SIGTERM"), { code: 0, signal: null });
});

Deno.test("a link whose last service is removed ends, and both connectors live on", async () => {
  await using pair = await spawnPair();
  for (let round = 0; round < 3; round += 1) {
    const { id } = await exposeService(pair.local, {
      to: pair.remote.address,
      type: "remote",
      destination: 1,
    });
    strictEqual((await pair.local.rest.request("DELETE", `/expose/${id}`)).status, 200);
    await until(async () => (await pair.remote.rest.list()).length === 0, "its service is gone");
  }
  for (const { rest } of [pair.local, pair.remote]) {
    strictEqual((await rest.request("GET", "/health")).status, 200);
  }
});
