// The lines that events become: their messages, fields and order, and how many of them there can be.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Logger } from "@logtape/logtape";
import { BoundedLog } from "../../src/bounded_log.ts";
import {
  type ConnectorEvent,
  EventStream,
  REFUSAL_CODES,
  type RefusalCode,
  type RefusalEvent,
} from "../../src/model/events.ts";
import type { PeerInfo } from "../../src/model/peer_identity.ts";
import { Principal } from "../../src/model/principal.ts";
import type { Service, Side } from "../../src/model/service.ts";
import { EventLog } from "../../src/tunnel/event_log.ts";
import { certificateId } from "../support/principals.ts";

const service: Service = {
  id: "7f",
  name: "web",
  sourcePort: 8080,
  remoteConnectorAddr: "peer.example:30001",
  destinationAddr: "db.example:5432",
  type: "local",
};
const KEY = "5f".repeat(32);
const peer: PeerInfo = {
  address: "192.0.2.1:30001",
  identity: { subject: "CN=a", dnsNames: ["a.example"], ipAddresses: [] },
  principal: new Principal({
    host: "192.0.2.1",
    certificate: certificateId({ name: "a.example", key: KEY }),
  }),
};
const IDENTITY = {
  principal: "a.example",
  subject: "CN=a",
  spiffe: undefined,
  dnsNames: ["a.example"],
  ipAddresses: [],
};
const destination = { host: "db.example", port: 5432 };

/** The lines that these events become. */
function linesOf(
  events: readonly ConnectorEvent[],
  { debug = false }: { debug?: boolean } = {},
): [level: string, message: string, fields: Record<string, unknown>][] {
  const lines: [string, string, Record<string, unknown>][] = [];
  const write = (level: string) => (message: string, fields: Record<string, unknown>) =>
    void lines.push([level, message, fields]);
  const [info, warn] = [write("info"), write("warn")];
  // Of a logger, this is all that is used.
  const logger = {
    info,
    warn,
    debug: write("debug"),
    isEnabledFor: () => debug,
  } as unknown as Logger;
  const stream = new EventStream((name, reason) => {
    throw new Error(`${name}: ${reason}`);
  });
  const strangers = new BoundedLog(logger);
  const log = new EventLog(stream, { logger, strangers });
  strictEqual(stream.wants("connection"), debug);
  for (const event of events) stream.publish(event);
  log[Symbol.dispose]();
  strangers[Symbol.dispose]();
  return lines;
}

Deno.test("lines about a service of ours: exposed, each status, and removed", () => {
  const about = { kind: "service", origin: "own", service, side: "egress", peer } as const;
  const since = new Date();
  const fields = { peer: "192.0.2.1:30001", service: "web", id: "7f" };
  const lines = linesOf([
    { ...about, change: "exposed", restored: false, rule: "no policy" },
    { ...about, change: "status", status: "error", message: "the port is in use", since },
    { ...about, change: "status", status: "complete", message: undefined, since },
    { ...about, change: "removed", by: "peer" },
    { ...about, change: "removed", by: "user" },
  ]);
  deepStrictEqual(lines, [
    ["info", "service exposed", {
      ...fields,
      principal: "local user",
      type: "local",
      sourcePort: 8080,
      destinationAddr: "db.example:5432",
      rule: "no policy",
    }],
    ["info", "service status", { ...fields, status: "error", message: "the port is in use" }],
    ["info", "service status", { ...fields, status: "complete", message: undefined }],
    ["info", "service removed", { ...fields, rule: "peer" }],
    ["info", "service removed", { ...fields, principal: "local user", rule: "user" }],
  ]);
});

Deno.test("lines about a peer's service: exposed, waiting for its peer, and removed, with who it is", () => {
  const about = { kind: "service", origin: "peer", service, side: "ingress", peer } as const;
  const since = new Date();
  const who = { peer: "192.0.2.1:30001", principal: "a.example", key: KEY.slice(0, 16) };
  const lines = linesOf([
    { ...about, change: "exposed", restored: false, rule: "rule 2 (line 4)" },
    { ...about, change: "status", status: "complete", message: undefined, since },
    { ...about, change: "status", status: "pending", message: "lost", since, graceMs: 10_000 },
    { ...about, change: "moved", rule: "rule 3 (line 8)" },
    { ...about, change: "removed", by: "peer" },
  ]);
  deepStrictEqual(lines, [
    ["info", "service exposed by peer", {
      ...who,
      service: "web",
      id: "7f",
      type: "local",
      sourcePort: 8080,
      destinationAddr: "db.example:5432",
      rule: "rule 2 (line 4)",
    }],
    ["info", "service waits for its peer", { service: "web", id: "7f", graceMs: 10_000 }],
    ["info", "service exposed by peer again", {
      ...who,
      service: "web",
      id: "7f",
      rule: "rule 3 (line 8)",
    }],
    ["info", "service removed", { ...who, service: "web", id: "7f", rule: "peer" }],
  ]);
});

Deno.test("lines about links: one that we have opened, and one that a peer opens and ends", () => {
  const outbound = { kind: "link", direction: "outbound", peer } as const;
  const inbound = { kind: "link", direction: "inbound", peer } as const;
  const lines = linesOf([
    { ...outbound, change: "up", dialect: "native" },
    { ...outbound, change: "leaving", reason: "the peer is shutting down" },
    { ...outbound, change: "down", reason: "reset" },
    { ...inbound, change: "up" },
    { ...inbound, change: "down", reason: "" },
    { ...inbound, change: "down", reason: "reset" },
  ]);
  const who = { peer: "192.0.2.1:30001" };
  const known = { ...who, principal: "a.example", key: KEY.slice(0, 16) };
  deepStrictEqual(lines, [
    ["info", "link opened", { ...who, dialect: "native", ...IDENTITY }],
    ["info", "peer connected", { ...known, ...IDENTITY }],
    ["info", "peer disconnected", { ...known, reason: "closed in order" }],
    ["info", "peer disconnected", { ...known, reason: "reset" }],
  ]);
});

Deno.test("lines about links that are lost and come back say who the peer is, whichever side dialled", () => {
  const lines = linesOf((["outbound", "inbound"] as const).flatMap((direction) => [
    { kind: "link", direction, peer, change: "suspended", reason: "reset", connections: 3 },
    { kind: "link", direction, peer, change: "resumed", afterMs: 1500, connections: 2 },
  ]));
  const address = { peer: "192.0.2.1:30001" };
  const each = (who: Record<string, unknown>) => [
    ["info", "link lost, connections wait", { ...who, reason: "reset", connections: 3 }],
    ["info", "link resumed", { ...who, afterMs: 1500, connections: 2, ...IDENTITY }],
  ];
  deepStrictEqual(lines, [
    ...each(address),
    ...each({ ...address, principal: "a.example", key: KEY.slice(0, 16) }),
  ]);
});

Deno.test("lines about a connection are written only at debug, and say what passed", () => {
  const about = {
    kind: "connection",
    service,
    side: "ingress",
    visitor: "198.51.100.7:1",
    peer,
    destination,
    remote: "198.51.100.7:1",
  } as const;
  const closed = { ...about, change: "closed", bytesIn: 1, bytesOut: 2, durationMs: 3 } as const;
  const events: ConnectorEvent[] = [
    { ...about, change: "opened" },
    { ...closed, reason: "" },
    { ...closed, reason: "reset by peer" },
  ];
  deepStrictEqual(linesOf(events), []);
  const fields = { serviceId: "7f", service: "web", side: "ingress", remote: "198.51.100.7:1" };
  const passed = { ...fields, bytesIn: 1, bytesOut: 2, durationMs: 3 };
  deepStrictEqual(linesOf(events, { debug: true }), [
    ["debug", "connection opened", fields],
    ["debug", "connection closed", { ...passed, reason: "both sides finished" }],
    ["debug", "connection closed", { ...passed, reason: "reset by peer" }],
  ]);
});

/** A connection that was never carried. */
function refused(code: RefusalCode, side: Side): RefusalEvent {
  return {
    kind: "refusal",
    code,
    rule: `the rule of ${code}`,
    refused: "connection",
    reason: `because of ${code}`,
    service,
    side,
    visitor: "198.51.100.7:1",
    peer,
    destination,
  };
}

Deno.test("lines about refused connections: each reason has one, but for a visitor that is another service's now", () => {
  const messageOf = (code: RefusalCode, side: Side) =>
    linesOf([refused(code, side)]).map(([level, message]) => `${level} ${message}`).join();
  for (const code of REFUSAL_CODES) {
    const expected = code === "replaced" ? "" : "info visitor turned away";
    strictEqual(messageOf(code, "ingress"), expected);
  }
  deepStrictEqual(REFUSAL_CODES.map((code) => [code, messageOf(code, "egress")]), [
    ["disabled", "info destination refused"],
    ["draining", "info visitor turned away"],
    ["limit", "info visitor turned away"],
    ["waiting", "info destination refused"],
    ["address", "info destination refused"],
    ["policy", "info destination refused"],
    ["loop", "info connection ended that leads back to itself"],
    ["no_link", "info destination refused"],
    ["unreachable", "warn destination cannot be reached"],
    ["left", "debug visitor left before its destination was connected"],
    ["removed", "info destination refused"],
    ["replaced", ""],
  ]);
  const [line] = linesOf([refused("address", "egress")]);
  deepStrictEqual(line?.[2], {
    peer: "192.0.2.1:30001",
    principal: "a.example",
    key: KEY.slice(0, 16),
    service: "web",
    remote: "198.51.100.7:1",
    rule: "the rule of address",
    reason: "because of address",
  });
  // One that is carried, and one of several addresses, have lines of their own.
  const others = (["carried", "address"] as const).flatMap((what) =>
    linesOf([{ ...refused("policy", "egress"), refused: what }])
  );
  deepStrictEqual(others.map(([level, message]) => `${level} ${message}`), [
    "info connection no longer allowed",
    "info address of destination refused",
  ]);
  const [turnedAway] = linesOf([refused("no_link", "ingress")]);
  deepStrictEqual(turnedAway?.[2], {
    peer: "192.0.2.1:30001",
    principal: "a.example",
    key: KEY.slice(0, 16),
    service: "web",
    remote: "198.51.100.7:1",
    rule: "the rule of no_link",
    reason: "because of no_link",
  });
});

Deno.test("lines that peers cause have bounds, and refusals do not use up those of changes", () => {
  const about = { kind: "service", origin: "peer", service, side: "ingress", peer } as const;
  const lines = linesOf([
    ...Array.from({ length: 30_000 }, () => refused("no_link", "ingress")),
    ...Array.from(
      { length: 5000 },
      (): ConnectorEvent => ({ ...about, change: "removed", by: "peer" }),
    ),
  ]);
  const count = (message: string) => lines.filter(([, each]) => each === message).length;
  const leftOut = (line: string) =>
    lines.filter(([, message, fields]) => message === "lines left out" && fields.line === line)
      .reduce((sum, [, , { count }]) => sum + Number(count), 0);
  // As time passes there may be some more.
  ok(count("visitor turned away") < 20);
  ok(count("service removed") < 2050);
  strictEqual(count("service removed") + leftOut("service removed"), 5000);
  strictEqual(count("visitor turned away") + leftOut("visitor turned away"), 20_000);
  // More than can wait in one turn.
  strictEqual(leftOut("refused connections"), 10_000);
});
