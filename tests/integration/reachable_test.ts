// Whether a port that refused takes connections again: seen while it is watched, and between two watches.

import { strictEqual } from "node:assert/strict";
import { becomesReachable } from "../../src/net/reachable.ts";
import { freePort, serveTcp, settle } from "../support/world.ts";

const never = new AbortController().signal;

Deno.test("reachable: a port that is open from the first look on has not opened", async () => {
  await using server = serveTcp(() => Promise.resolve());
  const address = { host: "127.0.0.1", port: server.port };
  strictEqual(await becomesReachable(address, { signal: never }), "open");
  strictEqual(await becomesReachable(address, { signal: never, before: "opened" }), "open");
  await settle();
});

Deno.test("reachable: a port opens while it is watched", async () => {
  const address = { host: "127.0.0.1", port: freePort() };
  const watched = becomesReachable(address, { signal: never, intervalMs: 20 });
  const { promise: opened, resolve } = Promise.withResolvers<Deno.TcpListener>();
  setTimeout(() => resolve(Deno.listen({ hostname: "127.0.0.1", port: address.port })), 50);
  using _listener = await opened;
  strictEqual(await watched, "opened");
  await settle();
});

Deno.test("reachable: a port that refused at the end of one watch and is open at the next has opened", async () => {
  const address = { host: "127.0.0.1", port: freePort() };
  const over = AbortSignal.timeout(50);
  const before = await becomesReachable(address, { signal: over, intervalMs: 10 });
  strictEqual(before, "refusing");
  using _listener = Deno.listen({ hostname: "127.0.0.1", port: address.port });
  strictEqual(await becomesReachable(address, { signal: never, before }), "opened");
  await settle();
});

Deno.test("reachable: a watch that ends before its first look has seen nothing, or what was seen before", async () => {
  const address = { host: "127.0.0.1", port: freePort() };
  const signal = AbortSignal.abort();
  strictEqual(await becomesReachable(address, { signal }), "open");
  strictEqual(await becomesReachable(address, { signal, before: "refusing" }), "refusing");
});
