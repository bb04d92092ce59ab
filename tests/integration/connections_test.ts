// Bounds of tunnelled connections: of one peer, of one service, of those that wait, and of the file descriptors.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { OwnListeners } from "../../src/net/own_listeners.ts";
import type { Refusal } from "../../src/tunnel/admission.ts";
import { Connections, type ConnectionsOptions } from "../../src/tunnel/connections.ts";
import { EventLog } from "../../src/tunnel/event_log.ts";
import { Ingress } from "../../src/tunnel/ingress.ts";
import type { ServiceConnections } from "../../src/tunnel/service_connections.ts";
import { network } from "../support/sockets.ts";
import { connectionParts, freePort, refuses, until } from "../support/world.ts";

/** Who comes. */
const ENDS = { visitor: "198.51.100.1:40000", peer: undefined };

/** Why a connection is over. */
const OVER: Refusal = { code: "left", reason: "over" };

function newConnections(options: Partial<ConnectionsOptions> = {}): Connections {
  return new Connections({
    logger: getLogger(["test"]),
    network,
    halfOpenMs: 60_000,
    maxConnections: 1000,
    maxServiceConnections: 1000,
    countDescriptors: (wanted) => wanted,
    ...options,
  }, connectionParts());
}

/** A service to carry connections of. */
function service(id: string, sourcePort = 1) {
  return { id, name: "web", sourcePort, destinationAddr: "host:1" };
}

/** Admits connections until one is refused. */
function admitAll(connections: ServiceConnections) {
  const admitted = [];
  for (;;) {
    const connection = connections.admit(ENDS);
    if (connection.refusal) return admitted;
    admitted.push(connection);
  }
}

Deno.test("a peer that takes all connections it can leaves some for another peer, and for its own services", () => {
  const connections = newConnections();
  const open = (id: string, shareKey: string) =>
    connections.openService(service(id), "egress", { shareKey });
  const opened = ["1", "2", "3"].flatMap((id) => admitAll(open(id, "address 192.0.2.1")));
  ok(opened.length <= 750, `${opened.length}`);
  strictEqual(open("4", "address 192.0.2.1").admit(ENDS).refusal, undefined);
  const other = admitAll(open("5", "address 192.0.2.2"));
  ok(other.length > 100, `${other.length}`);
  opened[0]?.fail(OVER);
});

Deno.test("connections of a service that was removed count until they have ended", () => {
  const connections = newConnections();
  const shareKey = "address 192.0.2.1";
  const open = (id: string) => connections.openService(service(id), "egress", { shareKey });
  const removed = open("1");
  const opened = admitAll(removed);
  strictEqual(opened.length, 575);
  removed.abort();
  const beside = admitAll(open("2"));
  ok(beside.length < 100, `${beside.length}`);
  for (const connection of [...opened, ...beside]) connection.fail(OVER);
  strictEqual(admitAll(open("3")).length, 575);
});

Deno.test("what is open keeps to the descriptors beside ports and links, which keep to half of them", async () => {
  const connections = newConnections({ countDescriptors: (wanted) => Math.min(wanted, 200) });
  const web = connections.openService(service("1"), "ingress", { shareKey: "one" });
  const listeners = new OwnListeners();
  const listen = () => {
    const sourcePort = freePort();
    const one = connections.openService(service("1", sourcePort), "ingress", { shareKey: "one" });
    return { ingress: Ingress.open({ connections: one, listeners }), sourcePort };
  };
  const ports = Array.from({ length: 75 }, listen);
  throws(listen, /Cannot listen for service "web": 75 ports and links are open already/);
  // Another one has its share.
  const held = connections.hold("two", "Cannot open a link");
  // Of 124, three quarters; an eighth is for services that have few, and of the rest seven eighths.
  const opened = admitAll(web);
  strictEqual(opened.length, 72);
  held[Symbol.dispose]();
  for (const { ingress } of ports) {
    ingress.close();
    ingress.close();
  }
  await until(() => refuses(ports[0]?.sourcePort ?? 0), "the port is closed");
  // Now of 200.
  strictEqual(opened.length + admitAll(web).length, 116);
});

Deno.test("where no descriptor is left for any link, the reason is not that others have them", () => {
  const connections = newConnections({ countDescriptors: () => 0 });
  throws(
    () => connections.hold("one", "Cannot open a link"),
    /^ConnectorError: Cannot open a link: too few files may be open \(ulimit -n\)$/,
  );
});

Deno.test("a port that cannot be had takes no descriptor", () => {
  const connections = newConnections({ countDescriptors: () => 8 });
  using taken = Deno.listen({ port: 0 });
  const asked = service("1", taken.addr.port);
  const web = connections.openService(asked, "ingress", { shareKey: "one" });
  const options = { connections: web, listeners: new OwnListeners() };
  for (let count = 0; count < 10; count += 1) throws(() => Ingress.open(options), /in use/);
});

Deno.test("no more descriptors are counted than are needed", () => {
  const asked: number[] = [];
  const connections = newConnections({
    maxConnections: 20_000,
    maxServiceConnections: 100,
    countDescriptors(wanted) {
      asked.push(wanted);
      return wanted;
    },
  });
  const web = connections.openService(service("1"), "egress", { shareKey: "one" });
  strictEqual(admitAll(web).length, 100);
  strictEqual(web.admit(ENDS).refusal?.code, "limit");
  deepStrictEqual(asked, [128, 256]);
});

Deno.test("once there are enough descriptors for all connections no more are counted", () => {
  const asked: number[] = [];
  const connections = newConnections({
    maxConnections: 3,
    countDescriptors(wanted) {
      asked.push(wanted);
      return wanted;
    },
  });
  const web = connections.openService(service("1"), "egress", { shareKey: "one" });
  strictEqual(admitAll(web).length, 3);
  deepStrictEqual(asked, [128]);
});

Deno.test("those that wait are fewer than may be open, of one peer and in all", () => {
  const connections = newConnections();
  const waiting = ["1", "2"].map((shareKey) => {
    const web = connections.openService(service(shareKey), "ingress", { shareKey });
    let count = 0;
    for (let next = web.admit(ENDS); !(next.refusal ?? next.wait()); next = web.admit(ENDS)) {
      count += 1;
    }
    return count;
  });
  // Of 500 in all: three quarters less an eighth, and seven eighths of that; the next of what that leaves.
  deepStrictEqual(waiting, [288, 123]);
});

Deno.test("few descriptors for many connections are logged once, and so are some of the visitors turned away", () => {
  const lines: string[] = [];
  const write = (message: string, fields: Record<string, unknown>) =>
    lines.push(`${message} ${JSON.stringify(fields)}`);
  // Of a logger, this is all that is used here.
  const logger = {
    info: write,
    warn: write,
    isEnabledFor: () => false,
  } as unknown as ConnectionsOptions["logger"];
  const connections = newConnections({ countDescriptors: () => 100, logger });
  const log = new EventLog(connections.events, { logger, strangers: connections.log });
  const web = connections.openService(service("1"), "egress", { shareKey: "one" });
  admitAll(web);
  for (let count = 1; count < 50; count += 1) {
    strictEqual(web.admit(ENDS).refusal?.reason, "too many connections are open");
  }
  log[Symbol.dispose]();
  connections[Symbol.dispose]();
  strictEqual(lines.length, 12);
  match(lines[0] ?? "", /fewer connections.*"maxConnections":1000,"possible":100/);
  match(lines[11] ?? "", /lines left out.*"count":40/);
});
