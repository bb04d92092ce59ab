// `connector wait` where an API takes the connection and then says nothing.

import { match, ok, strictEqual } from "node:assert/strict";
import { startCommand } from "../../support/processes.ts";
import { serveTcp } from "../../support/world.ts";

Deno.test("wait does not wait much longer than it is told for an API that does not answer", async () => {
  await using server = serveTcp(async (conn) => {
    for await (const _ of conn.readable) { /* It only listens. */ }
  });
  const began = performance.now();
  await using child = startCommand([
    ...["wait", "--for", "500ms", "--api", `http://127.0.0.1:${server.port}`],
  ]);
  const { code } = await child.exited;
  strictEqual(code, 1);
  match(child.stderr, /^error: Cannot reach the API at .*: timed out\n/);
  const took = performance.now() - began;
  ok(took < 8000, `${took} ms`);
});
