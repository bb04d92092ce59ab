// The dialling side of one stream: what is said, and counted, of a visitor that leaves before its destination is
// connected, and of a destination that cannot be reached.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Logger } from "@logtape/logtape";
import type { Address } from "../../src/address.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { OwnListeners } from "../../src/tcp/own_listeners.ts";
import { carryToDestination } from "../../src/tunnel/egress.ts";
import { Connections } from "../../src/tunnel/connections.ts";
import { network } from "../support/sockets.ts";
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

Deno.test("egress: a destination where the connector listens itself is refused, and the reason given", async () => {
  const listeners = new OwnListeners();
  const destination = { host: "localhost", port: freePort() };
  listeners.add({ host: "", port: destination.port });
  const { logged, lastClose, resets, reasons } = await carry({ destination, listeners });
  deepStrictEqual(logged, ["warn: destination refused"]);
  match(lastClose ?? "", /^Cannot connect to localhost:\d+: this connector listens there itself/);
  deepStrictEqual(resets, ["refused"]);
  deepStrictEqual(reasons, [lastClose]);
});

Deno.test("egress: refused destinations are logged within bounds, however many there are", async () => {
  const listeners = new OwnListeners();
  const destination = { host: "127.0.0.1", port: freePort() };
  listeners.add(destination);
  const { logged } = await carry({ destination, listeners, times: 100 });
  ok(logged.length <= 20, `${logged.length} lines`);
});

Deno.test("egress: destinations that cannot be reached are logged within bounds, however many there are", async () => {
  const { logged } = await carry({ times: 100 });
  ok(logged.length <= 20, `${logged.length} lines`);
});

/** Carries a stream to a port where nobody listens, or where the connector does. */
async function carry(
  {
    left = false,
    destination = { host: "127.0.0.1", port: freePort() },
    listeners = new OwnListeners(),
    times = 1,
  }: {
    left?: boolean;
    destination?: Address;
    listeners?: OwnListeners;
    times?: number;
  },
) {
  const logged: string[] = [];
  const resets: string[] = [];
  const reasons: string[] = [];
  // Only what an egress calls before it is connected.
  const logger = {
    warn: (message: string) => logged.push(`warn: ${message}`),
    debug: (message: string) => logged.push(`debug: ${message}`),
  } as unknown as Logger;
  const stream = {
    visitor: "127.0.0.1:1",
    passages: 0,
    onLost: (listener: (reason: string) => void) => left && listener("reset by peer"),
    reset(code: string, reason: string) {
      resets.push(code);
      reasons.push(reason);
    },
  } as unknown as Stream;
  using all = new Connections({
    logger,
    network,
    halfOpenMs: 1000,
    maxConnections: 10,
    maxServiceConnections: 10,
  });
  const connections = all.openService({ id: "1", name: "test" }, "egress");
  for (let time = 0; time < times; time += 1) {
    await carryToDestination(stream, {
      service: { name: "test", sourcePort: 1 },
      who: {},
      destination,
      connections,
      listeners,
      logger,
    });
  }
  strictEqual(connections.stats.open, 0);
  strictEqual(connections.stats.failed, times);
  connections.close();
  return { logged, resets, reasons, lastClose: connections.stats.lastClose };
}
