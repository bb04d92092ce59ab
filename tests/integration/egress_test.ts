// The dialling side of one stream: what is said, and counted, of a visitor that leaves before its destination is
// connected, and of a destination that cannot be reached.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import type { Logger } from "@logtape/logtape";
import { type Address, formatAddress } from "../../src/model/address.ts";
import type { Stream } from "../../src/mux/stream.ts";
import { OwnListeners } from "../../src/net/own_listeners.ts";
import { notOwnAddress, type Rule, type Subject } from "../../src/tunnel/admission.ts";
import { Connections } from "../../src/tunnel/connections.ts";
import { carryToDestination } from "../../src/tunnel/egress.ts";
import { EventLog } from "../../src/tunnel/event_log.ts";
import { network } from "../support/sockets.ts";
import { connectionParts, freePort } from "../support/world.ts";

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
  deepStrictEqual(logged, ["info: destination refused"]);
  match(lastClose ?? "", /^Cannot connect to localhost:\d+: this connector listens there itself/);
  deepStrictEqual(resets, ["refused"]);
  deepStrictEqual(reasons, [lastClose]);
});

Deno.test("egress: a rule refuses a visitor before anything is dialled, and an address once it is known", async () => {
  const asked: string[] = [];
  const destination = { host: "localhost", port: freePort() };
  const refuseBy = (refuses: (subject: Subject) => boolean): Rule => (subject) => {
    asked.push(subject.action);
    return refuses(subject) ? { code: "address", reason: "it is not allowed" } : undefined;
  };
  const visitor = refuseBy(({ from }) => from === "127.0.0.1:1");
  deepStrictEqual((await carry({ rules: [visitor] })).lastClose, "it is not allowed");
  deepStrictEqual(asked, ["connect"]);
  const address = refuseBy(({ ip }) => ip === "127.0.0.1" || ip === "::1");
  const { logged, lastClose, resets } = await carry({ destination, rules: [address] });
  deepStrictEqual(asked.slice(1, 3), ["connect", "dial"]);
  match(lastClose ?? "", /^Cannot connect to localhost:\d+: it is not allowed$/);
  deepStrictEqual([logged, resets], [["info: destination refused"], ["refused"]]);
});

Deno.test("egress: what a rule knows and the peer may not is told to the log alone", async () => {
  const rule: Rule = ({ ip }) =>
    ip === undefined
      ? { code: "address", reason: "rule 7 of /etc/policy", told: "it is not allowed" }
      : undefined;
  const { lastClose, reasons } = await carry({ rules: [rule] });
  deepStrictEqual([lastClose, reasons], ["rule 7 of /etc/policy", ["it is not allowed"]]);
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
    rules = [notOwnAddress(listeners)],
    times = 1,
  }: {
    left?: boolean;
    destination?: Address;
    listeners?: OwnListeners;
    rules?: Rule[];
    times?: number;
  },
) {
  const logged: string[] = [];
  const resets: string[] = [];
  const reasons: string[] = [];
  // Only what is called before it is connected.
  const logger = {
    isEnabledFor: () => false,
    info: (message: string) => logged.push(`info: ${message}`),
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
  }, connectionParts({ rules }));
  const log = new EventLog(all.events, { logger, strangers: all.log });
  const service = {
    id: "1",
    name: "test",
    sourcePort: 1,
    destinationAddr: formatAddress(destination),
  };
  const connections = all.openService(service, "egress");
  const peer = { address: "127.0.0.1:2" };
  for (let time = 0; time < times; time += 1) {
    await carryToDestination(stream, { connections, peer });
  }
  log[Symbol.dispose]();
  strictEqual(connections.stats.open, 0);
  strictEqual(connections.stats.failed, times);
  connections.close();
  return { logged, resets, reasons, lastClose: connections.stats.lastClose };
}
