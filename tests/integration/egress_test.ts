// The dialling side of one stream: what is said, and counted, of a visitor that leaves before its destination is
// connected, and of a destination that cannot be reached.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import type { Logger } from "@logtape/logtape";
import type { Stream } from "../../src/mux/stream.ts";
import { carryToDestination } from "../../src/tunnel/egress.ts";
import { Visitors } from "../../src/tunnel/visitors.ts";
import { freePort } from "../support/world.ts";

Deno.test("egress: a visitor that leaves before its destination is connected is no failure of the destination", async () => {
  const { logged, lastClose, resets } = await carry({ left: true });
  deepStrictEqual(logged, ["debug: visitor left before its destination was connected"]);
  match(lastClose ?? "", /^the visitor left/);
  deepStrictEqual(resets, ["connection_reset"]);
});

Deno.test("egress: a destination that cannot be reached is said to be so", async () => {
  const { logged, lastClose, resets } = await carry({ left: false });
  deepStrictEqual(logged, ["warn: destination cannot be reached"]);
  match(lastClose ?? "", /^Cannot connect to 127\.0\.0\.1:\d+: /);
  deepStrictEqual(resets, ["refused"]);
});

/** Carries a stream to a port where nobody listens. */
async function carry({ left }: { left: boolean }) {
  const logged: string[] = [];
  const resets: string[] = [];
  // Only what an egress calls before it is connected.
  const logger = {
    warn: (message: string) => logged.push(`warn: ${message}`),
    debug: (message: string) => logged.push(`debug: ${message}`),
  } as unknown as Logger;
  const stream = {
    onLost: (listener: (reason: string) => void) => left && listener("reset by peer"),
    reset: (code: string) => resets.push(code),
  } as unknown as Stream;
  const visitors = new Visitors({
    logger,
    halfOpenMs: 1000,
    maxConnections: 10,
    maxServiceConnections: 10,
  }).openService({ id: "1", name: "test" }, "egress");
  const destination = { host: "127.0.0.1", port: freePort() };
  await carryToDestination(stream, { name: "test", destination, visitors, logger });
  strictEqual(visitors.stats.open, 0);
  strictEqual(visitors.stats.failed, 1);
  visitors.close();
  return { logged, resets, lastClose: visitors.stats.lastClose };
}
