// Who is let in: each rule alone, their order, and what a refusal is for whoever is refused.

import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import { Principal } from "../../src/model/principal.ts";
import { OwnListeners } from "../../src/net/own_listeners.ts";
import {
  Admission,
  notDisabled,
  notDraining,
  notOwnAddress,
  resetOf,
  type Rule,
  type Subject,
  withinLimits,
} from "../../src/tunnel/admission.ts";
import { certificateId } from "../support/principals.ts";
import { subject } from "../support/subjects.ts";

function request({ destinationAddr = "db.example:5432" } = {}) {
  return {
    name: "web",
    sourcePort: 8080,
    remoteConnectorAddr: "192.0.2.1:30001",
    destinationAddr,
    type: "local" as const,
  };
}

Deno.test("admission: the first rule that refuses decides, and the ones after it are not asked", () => {
  const asked: string[] = [];
  const rule = (name: string, refuses: boolean): Rule => () => {
    asked.push(name);
    return refuses ? { code: "address", reason: name } : undefined;
  };
  const admission = new Admission([rule("one", false), rule("two", true), rule("three", true)]);
  deepStrictEqual(admission.decide(subject()), { code: "address", reason: "two" });
  deepStrictEqual(asked, ["one", "two"]);
  strictEqual(new Admission([rule("one", false)]).decide(subject()), undefined);
});

Deno.test("admission: a rule may look at who is at the other end, who comes, and what is dialled", () => {
  const key = "5f".repeat(32);
  const rule: Rule = ({ action, principal, from, ip }) => {
    if (action === "dial") return ip === "10.0.0.1" ? refusal("address") : undefined;
    if (principal?.certificate?.key !== key) return refusal("key");
    return from.startsWith("198.51.100.") ? undefined : refusal("visitor");
  };
  const refusal = (reason: string) => ({ code: "address", reason }) as const;
  const admission = new Admission([rule]);
  const certificate = certificateId({ name: "11", key });
  const principal = new Principal({ host: "192.0.2.1", certificate });
  const reasonOf = (given: Partial<Subject>) => admission.decide(subject(given))?.reason;
  strictEqual(reasonOf({ principal }), undefined);
  strictEqual(reasonOf({}), "key");
  strictEqual(reasonOf({ principal, from: "203.0.113.1:1" }), "visitor");
  strictEqual(reasonOf({ principal, action: "dial", ip: "10.0.0.1" }), "address");
  strictEqual(reasonOf({ principal, action: "dial", ip: "10.0.0.2" }), undefined);
});

Deno.test("admission: each flag turns one side of every service off", () => {
  for (const disableLocalExpose of [false, true]) {
    for (const disableRemoteExpose of [false, true]) {
      const rule = notDisabled({ disableLocalExpose, disableRemoteExpose });
      for (const action of ["expose", "connect"] as const) {
        strictEqual(
          rule(subject({ action, side: "egress" }))?.reason,
          disableLocalExpose ? "this connector runs with --disable-local-expose" : undefined,
        );
        strictEqual(
          rule(subject({ action, side: "ingress" }))?.reason,
          disableRemoteExpose ? "this connector runs with --disable-remote-expose" : undefined,
        );
      }
    }
  }
});

Deno.test("admission: once the connector closes nothing begins, and what was let in may dial", () => {
  const closing = new AbortController();
  const rule = notDraining(closing.signal);
  strictEqual(rule(subject()), undefined);
  closing.abort();
  strictEqual(rule(subject())?.code, "draining");
  strictEqual(rule(subject({ action: "expose" }))?.code, "draining");
  strictEqual(rule(subject({ action: "dial", ip: "192.0.2.9" })), undefined);
  const place = { take: () => undefined, counted: undefined, count: () => {} };
  strictEqual(rule(subject({ place: { ...place, carried: false } }))?.code, "draining");
  strictEqual(rule(subject({ place: { ...place, carried: true } })), undefined);
});

Deno.test("admission: addresses are judged as they are dialled, and ranges that no tunnel leads to when they are asked for", () => {
  const listeners = new OwnListeners();
  listeners.add({ host: "127.0.0.1", port: 5432 });
  const rule = notOwnAddress(listeners);
  const own = { host: "127.0.0.1", port: 5432 };
  const metadata = { host: "169.254.169.254", port: 80 };
  strictEqual(rule(subject({ action: "expose", destination: own })), undefined);
  strictEqual(rule(subject({ action: "expose", destination: metadata }))?.code, "address");
  // There the peer dials.
  const ingress = subject({ action: "expose", side: "ingress", destination: metadata });
  strictEqual(rule(ingress), undefined);
  strictEqual(rule(subject({ destination: own })), undefined);
  strictEqual(rule(subject({ action: "dial", ip: "127.0.0.1" }))?.code, "address");
  strictEqual(rule(subject({ action: "dial", ip: "fe80::1" }))?.code, "address");
  strictEqual(rule(subject({ action: "dial", ip: "192.0.2.9" })), undefined);
});

Deno.test("admission: the bounds are asked last, so that what another rule refuses takes no place", () => {
  let taken = 0;
  const place = {
    take() {
      taken += 1;
      return taken > 1 ? { code: "limit", reason: "too many" } as const : undefined;
    },
    carried: false,
    counted: undefined,
    count: () => {},
  };
  const rule: Rule = ({ from }) => from === "" ? { code: "address", reason: "nobody" } : undefined;
  const admission = new Admission([rule, withinLimits]);
  strictEqual(admission.decide(subject({ from: "", place }))?.reason, "nobody");
  strictEqual(taken, 0);
  strictEqual(admission.decide(subject({ place })), undefined);
  strictEqual(admission.decide(subject({ place }))?.code, "limit");
});

Deno.test("admission: a service that is refused is an error with its reason, and a peer is told what it may know", () => {
  const rule: Rule = ({ principal }) => ({
    code: principal === undefined ? "draining" : "address",
    reason: "the log's reason",
    told: "the peer's reason",
  });
  const admission = new Admission([rule]);
  const thrown = (of: () => void) => {
    let error: unknown;
    throws(of, (caught) => (error = caught) instanceof ConnectorError);
    return error as ConnectorError;
  };
  const own = thrown(() => admission.expose(request(), { side: "egress", peer: undefined }));
  deepStrictEqual([own.code, own.message], [
    "unavailable",
    'Cannot expose service "web": the log\'s reason',
  ]);
  const peer = { address: "192.0.2.1:1", principal: new Principal({ host: "192.0.2.1" }) };
  const theirs = thrown(() => admission.expose(request(), { side: "egress", peer }));
  deepStrictEqual([theirs.code, theirs.message], [
    "permission_denied",
    'Cannot expose service "web": the peer\'s reason',
  ]);
});

Deno.test("admission: a refused stream is reset with a code that its peer knows, and a text that has a bound", () => {
  deepStrictEqual(resetOf({ code: "limit", reason: "full" }), ["limit", "full"]);
  deepStrictEqual(resetOf({ code: "draining", reason: "stops" }), ["closing", "stops"]);
  deepStrictEqual(resetOf({ code: "address", reason: "all", told: "some" }), ["refused", "some"]);
  strictEqual(resetOf({ code: "address", reason: "x".repeat(5000) })[1].length, 1000);
});

Deno.test("admission: what the policy refuses is counted by what was asked, and nothing else is", () => {
  const rule: Rule = ({ from }) => ({ code: from === "" ? "policy" : "address", reason: "no" });
  const admission = new Admission([rule]);
  admission.decide(subject({ action: "connect", from: "" }));
  admission.decide(subject({ action: "dial", from: "", ip: "192.0.2.1" }));
  admission.decide(subject({ action: "dial", from: "", ip: "192.0.2.2" }));
  admission.decide(subject({ action: "dial" }));
  throws(() => admission.expose(request(), { side: "egress", peer: undefined }));
  deepStrictEqual(admission.policyRefusals, { expose: 1, connect: 1, dial: 2 });
});
