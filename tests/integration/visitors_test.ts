// Bounds of tunnelled connections: of one peer, of one service, of those that wait, and of the file descriptors.

import { deepStrictEqual, match, ok, strictEqual, throws } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { OwnListeners } from "../../src/tcp/own_listeners.ts";
import { Ingress } from "../../src/tunnel/ingress.ts";
import { type ServiceVisitors, Visitors, type VisitorsOptions } from "../../src/tunnel/visitors.ts";
import { freePort, refuses } from "../support/world.ts";

function newVisitors(options: Partial<VisitorsOptions> = {}): Visitors {
  return new Visitors({
    logger: getLogger(["test"]),
    halfOpenMs: 60_000,
    maxConnections: 1000,
    maxServiceConnections: 1000,
    countDescriptors: (wanted) => wanted,
    ...options,
  });
}

/** Admits visits until one is refused. */
function admitAll(service: ServiceVisitors) {
  const admitted = [];
  for (let visit = service.admit(); visit; visit = service.admit()) admitted.push(visit);
  return admitted;
}

Deno.test("a peer that takes all connections it can leaves some for another peer, and for its own services", () => {
  const visitors = newVisitors();
  const open = (id: string, holder: string) =>
    visitors.openService({ id, name: "test" }, "egress", { holder });
  const visits = ["1", "2", "3"].flatMap((id) => admitAll(open(id, "address 192.0.2.1")));
  ok(visits.length <= 750, `${visits.length}`);
  ok(open("4", "address 192.0.2.1").admit());
  const other = admitAll(open("5", "address 192.0.2.2"));
  ok(other.length > 100, `${other.length}`);
  visits[0]?.fail("over");
});

Deno.test("connections of a service that was removed count until they have ended", () => {
  const visitors = newVisitors();
  const holder = "address 192.0.2.1";
  const open = (id: string) => visitors.openService({ id, name: "test" }, "egress", { holder });
  const removed = open("1");
  const visits = admitAll(removed);
  strictEqual(visits.length, 575);
  removed.close();
  const beside = admitAll(open("2"));
  ok(beside.length < 100, `${beside.length}`);
  for (const visit of [...visits, ...beside]) visit.fail("over");
  strictEqual(admitAll(open("3")).length, 575);
});

Deno.test("what is open keeps to the descriptors beside ports and links, which keep to half of them", async () => {
  const visitors = newVisitors({ countDescriptors: (wanted) => Math.min(wanted, 200) });
  const service = visitors.openService({ id: "1", name: "web" }, "ingress", { holder: "one" });
  const listeners = new OwnListeners();
  const listen = () => {
    const sourcePort = freePort();
    const options = {
      service: { id: "1", name: "web", sourcePort, destinationAddr: "host:1" },
      visitors: service,
      listeners,
    };
    return { ingress: Ingress.open(options), sourcePort };
  };
  const opened = Array.from({ length: 75 }, listen);
  throws(listen, /Cannot listen for service "web": 75 ports and links are open already/);
  // Another one has its share.
  const letGo = visitors.hold("two", "Cannot open a link");
  // Of 124, three quarters; an eighth is for services that have few, and of the rest seven eighths.
  const visits = admitAll(service);
  strictEqual(visits.length, 72);
  letGo();
  for (const { ingress } of opened) {
    ingress.close();
    ingress.close();
  }
  strictEqual(await refuses(opened[0]?.sourcePort ?? 0), true);
  // Now of 200.
  strictEqual(visits.length + admitAll(service).length, 116);
});

Deno.test("a port that cannot be had takes no descriptor", () => {
  const visitors = newVisitors({ countDescriptors: () => 8 });
  using taken = Deno.listen({ port: 0 });
  const service = visitors.openService({ id: "1", name: "web" }, "ingress", { holder: "one" });
  const { port: sourcePort } = taken.addr;
  const listeners = new OwnListeners();
  const options = {
    service: { id: "1", name: "web", sourcePort, destinationAddr: "host:1" },
    visitors: service,
    listeners,
  };
  for (let count = 0; count < 10; count += 1) throws(() => Ingress.open(options), /in use/);
});

Deno.test("no more descriptors are counted than are needed", () => {
  const asked: number[] = [];
  const visitors = newVisitors({
    maxConnections: 20_000,
    maxServiceConnections: 100,
    countDescriptors(wanted) {
      asked.push(wanted);
      return wanted;
    },
  });
  const service = visitors.openService({ id: "1", name: "web" }, "egress", { holder: "one" });
  strictEqual(admitAll(service).length, 100);
  strictEqual(service.admit(), undefined);
  deepStrictEqual(asked, [128, 256]);
});

Deno.test("once there are enough descriptors for all connections no more are counted", () => {
  const asked: number[] = [];
  const visitors = newVisitors({
    maxConnections: 3,
    countDescriptors(wanted) {
      asked.push(wanted);
      return wanted;
    },
  });
  const service = visitors.openService({ id: "1", name: "web" }, "egress", { holder: "one" });
  strictEqual(admitAll(service).length, 3);
  deepStrictEqual(asked, [128]);
});

Deno.test("those that wait are fewer than may be open, of one peer and in all", () => {
  const visitors = newVisitors();
  const waiting = ["1", "2"].map((holder) => {
    const service = visitors.openService({ id: holder, name: "test" }, "ingress", { holder });
    let count = 0;
    for (let visit = service.admit(); visit && service.wait(visit); visit = service.admit()) {
      count += 1;
    }
    return count;
  });
  // Of 500 in all: three quarters less an eighth, and seven eighths of that; the next of what that leaves.
  deepStrictEqual(waiting, [288, 123]);
});

Deno.test("few descriptors for many connections are logged once, and so are some of the visitors turned away", () => {
  const lines: string[] = [];
  const warn = (message: string, fields: Record<string, unknown>) =>
    lines.push(`${message} ${JSON.stringify(fields)}`);
  // Of a logger, visitors use this only.
  const logger = { warn } as unknown as VisitorsOptions["logger"];
  const visitors = newVisitors({ countDescriptors: () => 100, logger });
  const service = visitors.openService({ id: "1", name: "web" }, "egress", { holder: "one" });
  admitAll(service);
  for (let count = 0; count < 50; count += 1) {
    strictEqual(service.admit(), undefined);
    service.log.warn("visitor turned away", { service: "web" });
  }
  visitors[Symbol.dispose]();
  strictEqual(lines.length, 12);
  match(lines[0] ?? "", /fewer connections.*"maxConnections":1000,"possible":100/);
  match(lines[11] ?? "", /lines left out.*"count":40/);
});
