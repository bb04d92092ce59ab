// The input of many connections is taken in turns: links first, nobody for long.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { Input } from "../../src/grpc/input_turns.ts";

/** What a connection has had taken, and whether it is read. */
function connection(
  name: string,
  { log = [], linked = false, takesMs = 0 }: {
    log?: string[];
    linked?: boolean;
    takesMs?: number;
  } = {},
) {
  const state = { reading: true, taken: 0 };
  const input = new Input({
    take(bytes) {
      const until = performance.now() + takesMs;
      while (performance.now() < until);
      state.taken += bytes.length;
      log.push(name);
    },
    pause: () => state.reading = false,
    resume: () => state.reading = true,
    isLinked: () => linked,
  });
  return { input, state };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

Deno.test("what brings little work is taken at once", async () => {
  const { input, state } = connection("one");
  input.arrived(new Uint8Array(64 * 1024), 4);
  strictEqual(state.taken, 64 * 1024);
  ok(state.reading);
  await turns(2);
});

Deno.test("what brings much work is taken in pieces, and the connection is not read meanwhile", async () => {
  const log: string[] = [];
  const { input, state } = connection("one", { log });
  input.arrived(new Uint8Array(10_000), 8_000);
  input.arrived(new Uint8Array(500), 1);
  strictEqual(state.taken, 0);
  ok(!state.reading);
  await turns(40);
  strictEqual(state.taken, 10_500);
  // Of 1,000 bytes each, and what had arrived afterwards.
  strictEqual(log.length, 11);
  ok(state.reading);
});

Deno.test("once a turn has been used up, links come before others", async () => {
  const log: string[] = [];
  const busy = connection("busy", { log, takesMs: 20 });
  const strangers = Array.from(
    { length: 5 },
    (_, index) => connection(`stranger ${index}`, { log }),
  );
  const link = connection("link", { log, linked: true });
  busy.input.arrived(new Uint8Array(1), 1);
  for (const { input } of [...strangers, link]) input.arrived(new Uint8Array(1), 1);
  deepStrictEqual(log, ["busy"]);
  await turns(40);
  strictEqual(log[1], "link");
  strictEqual(log.length, 7);
});

Deno.test("of a connection that has closed nothing more is taken", async () => {
  const { input, state } = connection("one");
  input.arrived(new Uint8Array(1_000), 8_000);
  input[Symbol.dispose]();
  input.arrived(new Uint8Array(1), 1);
  await turns(40);
  strictEqual(state.taken, 0);
});
