// Visitors and upstreams of a chaos run, face to face and through a relay that breaks: what is right passes, and an
// end that only looks orderly is found. Whoever finds nothing wrong in a broken path would find nothing in a tunnel.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { End } from "../chaos/ends.ts";
import { planVisit, type VisitKind, type VisitPlan } from "../chaos/plan.ts";
import { Upstream } from "../chaos/upstream.ts";
import { visit } from "../chaos/visit.ts";
import { echo, serveTcp, settle, until, writeAll } from "../support/world.ts";

const SEED = 1;

Deno.test("chaos transfer: every kind of visit is right, at both ends, without anything between", async () => {
  const expected: Record<VisitKind, [visitor: End["kind"], upstream: RegExp]> = {
    "both ways": ["whole", /^whole$/],
    "half-close": ["whole", /^whole$/],
    "server first": ["whole", /^whole$/],
    "visitor resets": ["left", /^interrupted$/],
    "upstream resets": ["interrupted", /^left$/],
    "leaves": ["left", /^(whole|interrupted)$/],
    "mute": ["whole", /^whole$/],
    "probe": ["whole", /^whole$/],
  };
  for (const kind of Object.keys(expected) as VisitKind[]) {
    const ends: End[] = [];
    const serverFirst = kind === "server first";
    await using upstream = await Upstream.listen({
      seed: SEED,
      serverFirst,
      onEnd: ({ end }) => ends.push(end),
    });
    const { end } = await visit(planOf(kind), { port: upstream.port, seed: SEED });
    await until(() => ends.length === 1, "the upstream has seen the end");
    const [visitorKind, upstreamKind] = expected[kind];
    strictEqual(end.kind, visitorKind, kind);
    ok(upstreamKind.test(ends[0]?.kind ?? ""), `${kind}: ${ends[0]?.kind}`);
    await settle();
  }
});

Deno.test("chaos transfer: an answer that ends too early, in order, is truncated; one that is not the right one is wrong", async () => {
  const plan = planOf("half-close");
  await using early = serveTcp(async (conn) => {
    const buffer = new Uint8Array(65_536);
    while (await conn.read(buffer) !== null);
    await conn.closeWrite();
  });
  deepStrictEqual((await visit(plan, { port: early.port, seed: SEED })).end, {
    kind: "truncated",
    received: 0,
    expected: plan.down.length + 32,
  });
  await using wrong = serveTcp(echo);
  strictEqual((await visit(plan, { port: wrong.port, seed: SEED })).end.kind, "wrong");
  await settle();
});

Deno.test("chaos transfer: an upload that ends too early, in order, is truncated for the upstream", async () => {
  const ends: End[] = [];
  await using upstream = await Upstream.listen({
    seed: SEED,
    serverFirst: false,
    onEnd: ({ end }) => ends.push(end),
  });
  // Passes on the first 1,000 bytes and finishes: what no tunnel may do.
  await using broken = serveTcp(async (conn) => {
    using onward = await Deno.connect({ port: upstream.port });
    const buffer = new Uint8Array(1000);
    for (let count = 0; count < 1000;) {
      const read = await conn.read(buffer.subarray(0, 1000 - count)) ?? 1000;
      await writeAll(onward, buffer.subarray(0, read));
      count += read;
    }
    await onward.closeWrite();
    while (await onward.read(buffer) !== null);
  });
  await visit(planOf("half-close"), { port: broken.port, seed: SEED });
  await until(() => ends.length === 1, "the upstream has seen the end");
  deepStrictEqual(ends[0], {
    kind: "truncated",
    received: 992,
    expected: planOf("half-close").up.length,
  });
  await settle();
});

Deno.test("chaos transfer: nobody at the port, and a visit that is given up", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  strictEqual((await visit(planOf("mute"), { port, seed: SEED })).end.kind, "refused");
  const released = Promise.withResolvers<void>();
  await using silent = serveTcp(() => released.promise);
  const given = await visit(planOf("probe"), {
    port: silent.port,
    seed: SEED,
    signal: AbortSignal.timeout(100),
  });
  released.resolve();
  strictEqual(given.end.kind, "interrupted");
  await settle();
});

/** The first plan of a kind that sends enough in each direction to be cut in the middle, and takes no time. */
function planOf(kind: VisitKind): VisitPlan {
  for (let id = kind === "probe" ? 2 ** 31 : 0;; id += 1) {
    const plan = planVisit(SEED, { id, serverFirst: kind === "server first" });
    if (plan.kind !== kind || plan.paceMs > 0 || plan.silentMs > 500) continue;
    if (kind === "probe" || Math.min(plan.up.length, plan.down.length) > 100_000) return plan;
  }
}
