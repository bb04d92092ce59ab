// The reserved memory makes full collections rare and does not become memory: both depend on how this version of the
// runtime counts buffers.

import { match, ok, strictEqual } from "node:assert/strict";
import { DEFAULT_RESERVED_BYTES } from "../../src/platform/external_memory.ts";
import { Child } from "../support/child.ts";

/** What may lie around as garbage, and room for what differs between two runs: far below what is reserved. */
const MAX_GROWTH_BYTES = 150e6;
const MODULE = new URL("../../src/platform/external_memory.ts", import.meta.url).href;
/**
 * Buffers of a message's size come and go, some of them under way for a while, as at full speed. The limits are
 * tight only after a first collection, which a connector has met by the time it carries anything.
 */
const PROGRAM = `
  const { reserveMemory } = await import("${MODULE}");
  const reserved = reserveMemory(Number(Deno.args[0]));
  const heap = Array.from({ length: 200_000 }, (_, index) => ({ index }));
  gc();
  const underWay = [];
  for (let count = 0; count < 10_000; count++) {
    underWay[count % 256] = new Uint8Array(64 * 1024);
    if (count % 50 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  console.log("objects", heap.length, "reserved", reserved);
  console.log("resident", Deno.memoryUsage().rss);
`;

Deno.test("with the reserved memory full collections are rare, and it does not become memory", async () => {
  const without = await run(0);
  const held = await run(DEFAULT_RESERVED_BYTES);
  ok(
    held.collections * 2 <= without.collections,
    `${held.collections} full collections, ${without.collections} without`,
  );
  ok(held.resident < without.resident + MAX_GROWTH_BYTES, `${held.resident} bytes resident`);
});

async function run(bytes: number): Promise<{ collections: number; resident: number }> {
  const args = ["eval", "--v8-flags=--trace-gc,--expose-gc", PROGRAM, String(bytes)];
  await using child = new Child(Deno.execPath(), { args });
  const { code } = await child.exited;
  strictEqual(code, 0, child.stderr);
  match(child.stdout, new RegExp(`reserved ${bytes}$`, "m"));
  return {
    collections: child.stdout.match(/Mark-Compact/g)?.length ?? 0,
    resident: Number(/^resident (\d+)$/m.exec(child.stdout)?.[1]),
  };
}
