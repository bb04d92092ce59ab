// What a policy refuses when Admission asks, in which words, and how limits count.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { Principal } from "../../src/model/principal.ts";
import type { PeerCount, Place, Subject } from "../../src/tunnel/admission.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { anonymousPolicy, certified, policyOf } from "../support/policies.ts";
import { subject as subjectOf } from "../support/subjects.ts";

const ANONYMOUS = new Principal({ host: "192.0.2.1" });

/** A peer whose certificate has this DNS name. */
function named(name: string): Principal {
  const certificate = { ...certified({ dnsNames: [name], displayName: name }), name };
  return new Principal({ host: "192.0.2.1", certificate });
}

/** A connection at the egress for a peer without a certificate, but for what is said. */
const subject = (given: Partial<Subject> = {}) => subjectOf({ principal: ANONYMOUS, ...given });

/** The place of a connection that was let in by Admission. */
class TestPlace implements Place {
  readonly carried = false;
  counted: PeerCount | undefined;
  #onLeave: (peer: PeerCount) => void = () => {};

  take() {
    return undefined;
  }

  count(peer: PeerCount, onLeave: (peer: PeerCount) => void): void {
    this.end();
    peer.connections += 1;
    this.counted = peer;
    this.#onLeave = onLeave;
  }

  end(): void {
    if (this.counted === undefined) return;
    this.counted.connections -= 1;
    this.#onLeave(this.counted);
    this.counted = undefined;
  }
}

Deno.test("policy guard: the egress asks about the name first, and then about each address", () => {
  const { rule } = new PolicyGuard(
    anonymousPolicy("reach: [{ host: db.example, ports: [5432], except: [10.0.0.0/8] }]"),
  );
  strictEqual(rule(subject()), undefined);
  strictEqual(rule(subject({ action: "dial", ip: "198.51.100.1" })), undefined);
  // What a name leads to here is not for the peer.
  const told = "the policy does not let anonymous reach db.example:5432";
  deepStrictEqual(rule(subject({ action: "dial", ip: "10.0.0.1" })), {
    code: "policy",
    reason: `${told} at 10.0.0.1`,
    told,
    rule: "rule 1 (line 3) is for this peer and does not allow it",
  });
  const destination = { host: "other.example", port: 5432 };
  deepStrictEqual(rule(subject({ destination })), {
    code: "policy",
    reason: "the policy does not let anonymous reach other.example:5432",
    rule: "rule 1 (line 3) is for this peer and does not allow it",
  });
  const ip = "192.0.2.9";
  deepStrictEqual(rule(subject({ action: "dial", ip, destination: { host: ip, port: 5432 } })), {
    code: "policy",
    reason: "the policy does not let anonymous reach 192.0.2.9:5432",
    rule: "rule 1 (line 3) is for this peer and does not allow it",
  });
});

Deno.test("policy guard: the ingress asks about every address that is listened on", () => {
  const { rule } = new PolicyGuard(
    anonymousPolicy("listen: { ports: [8080], addresses: [127.0.0.1] }"),
  );
  const ingress = (listensOn: string[], given: Partial<Subject> = {}) =>
    rule(subject({ side: "ingress", listensOn, ...given }))?.reason;
  const refused = "the policy does not let anonymous listen on";
  for (const action of ["expose", "connect"] as const) {
    strictEqual(ingress(["127.0.0.1"], { action }), undefined);
    strictEqual(ingress([], { action }), `${refused} port 8080 of every interface`);
    strictEqual(ingress(["127.0.0.1", "::1"], { action }), `${refused} [::1]:8080`);
  }
  strictEqual(
    ingress(["127.0.0.1"], { service: { name: "web", sourcePort: 8081 } }),
    `${refused} 127.0.0.1:8081`,
  );
});

Deno.test("policy guard: what the user exposes is allowed if it is for some peer, and refused to each other one", () => {
  const { rule } = new PolicyGuard(policyOf(`version: 1
rules:
  - peer: { dns: a.example }
    listen: { ports: [8080] }
    reach: [{ host: db.example, ports: [5432] }]
`));
  for (const side of ["ingress", "egress"] as const) {
    strictEqual(rule(subject({ side, action: "expose", principal: undefined })), undefined);
    strictEqual(rule(subject({ side, principal: named("a.example") })), undefined);
    strictEqual(rule(subject({ side, principal: named("b.example") }))?.code, "policy");
    strictEqual(rule(subject({ side }))?.code, "policy");
  }
  // A visitor that waits for a link has no peer yet; a connection that is dialled for nobody is not dialled.
  strictEqual(rule(subject({ side: "ingress", principal: undefined })), undefined);
  const unknown = { code: "policy", reason: "it is not known who the peer is", rule: "no rule" };
  deepStrictEqual(rule(subject({ principal: undefined })), unknown);
  const dialled = subject({ action: "dial", principal: undefined, ip: "192.0.2.9" });
  deepStrictEqual(rule(dialled), unknown);
  const destination = { host: "other.example", port: 5432 };
  const nobody = rule(subject({ action: "expose", principal: undefined, destination }));
  strictEqual(nobody?.reason, "the policy lets no peer reach other.example:5432");
});

Deno.test("policy guard: a service without an address listens where it may", () => {
  const guard = new PolicyGuard(policyOf(`version: 1
rules:
  - { peer: { dns: a.example }, listen: { ports: [80], addresses: [127.0.0.1, "::1"] } }
  - { peer: { dns: b.example }, listen: { ports: [80] } }
  - { peer: { dns: d.example }, listen: { ports: [80], addresses: [127.0.0.1, 0.0.0.0] } }
`));
  const at = (principal: Principal | undefined, bind: string[], sourcePort = 80) =>
    guard.listensOn({ sourcePort }, { principal, bind });
  deepStrictEqual(at(named("a.example"), []), ["127.0.0.1", "::1"]);
  deepStrictEqual(at(named("a.example"), ["127.0.0.1"]), ["127.0.0.1"]);
  deepStrictEqual(at(named("b.example"), []), []);
  deepStrictEqual(at(named("b.example"), ["192.0.2.1"]), ["192.0.2.1"]);
  deepStrictEqual(at(undefined, []), []);
  // A port is not listened on twice.
  deepStrictEqual(at(named("d.example"), []), ["0.0.0.0"]);
  // It is refused there.
  deepStrictEqual(at(named("a.example"), [], 81), []);
  deepStrictEqual(at(named("c.example"), ["192.0.2.1"]), ["192.0.2.1"]);
});

Deno.test("policy guard: of several limits for a peer the lowest counts, on both sides together", () => {
  const guard = new PolicyGuard(policyOf(`version: 1
rules:
  - { peer: { dns: "*.example" }, reach: [{ cidr: 0.0.0.0/0, ports: [5432] }], limits: { connections: 3 } }
  - { peer: { dns: a.example }, listen: { ports: [8080] }, limits: { connections: 2, services: 5 } }
  - { peer: { anonymous: true }, listen: { ports: [8080] } }
`));
  const destination = { host: "192.0.2.9", port: 5432 };
  const connect = (principal: Principal, place: Place, side: "ingress" | "egress" = "egress") =>
    guard.rule(subject({ principal, place, side, destination }))?.reason;
  const places = Array.from({ length: 4 }, () => new TestPlace());
  const [one, two, three, four] = places;
  if (!one || !two || !three || !four) throw new TypeError("there are four");
  strictEqual(connect(named("a.example"), one), undefined);
  // Asked again, it has its place; another link of the same peer is the same peer.
  strictEqual(connect(named("a.example"), one), undefined);
  strictEqual(connect(named("a.example"), two, "ingress"), undefined);
  const refused = "the policy allows the peer no more connections than 2";
  strictEqual(connect(named("a.example"), three), refused);
  strictEqual(three.counted, undefined);
  strictEqual(connect(named("b.example"), three), undefined);
  one.end();
  strictEqual(connect(named("a.example"), four), undefined);
  // It waited for a link, and that is to another peer.
  strictEqual(connect(named("b.example"), four), undefined);
  strictEqual(connect(named("a.example"), one), undefined);
  deepStrictEqual(guard.maxServices(named("a.example")), { most: 5, rule: "rule 2 (line 4)" });
  strictEqual(guard.maxServices(named("b.example")).most, Infinity);
  strictEqual(guard.maxServices(ANONYMOUS).most, Infinity);
});

Deno.test("policy guard: another policy holds at once, and the count of connections stays", () => {
  const limited = (connections: number) =>
    anonymousPolicy(
      `reach: [{ host: "*", ports: [5432] }], control: list, limits: { connections: ${connections} }`,
    );
  const guard = new PolicyGuard(limited(1));
  strictEqual(guard.rule(subject({ place: new TestPlace() })), undefined);
  strictEqual(guard.rule(subject({ place: new TestPlace() }))?.code, "limit");
  strictEqual(guard.mayControl(ANONYMOUS, "list").allowed, true);
  strictEqual(guard.mayControl(ANONYMOUS, "expose").allowed, false);
  guard.replace(limited(2));
  strictEqual(guard.rule(subject({ place: new TestPlace() })), undefined);
  strictEqual(guard.rule(subject({ place: new TestPlace() }))?.code, "limit");
  guard.replace(policyOf("version: 1\nrules: []"));
  strictEqual(guard.rule(subject())?.code, "policy");
  strictEqual(guard.mayControl(ANONYMOUS, "list").allowed, false);
});
