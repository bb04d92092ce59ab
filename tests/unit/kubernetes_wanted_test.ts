// What is to be in the cluster for a list of services.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import {
  isAsWanted,
  isMade,
  leaseOf,
  podOf,
  serviceNameOf,
  serviceOf,
  sliceOf,
  wantedOf,
} from "../../src/integrations/kubernetes/wanted.ts";
import type { ServiceReport } from "../../src/model/service.ts";
import { NO_CONNECTIONS } from "../support/no_connections.ts";

const MAKER = { owner: "pod/n/connector-1", pod: undefined };
const POD = { name: "connector-1", namespace: "n", ip: "10.0.0.1" };
const WANTED = {
  name: "web",
  id: "id-1",
  serviceName: "Web",
  port: 8080,
  takenUpAt: Date.UTC(2026, 0, 2),
  claim: "c",
};

function report(name: string, rest: Partial<ServiceReport> = {}): ServiceReport {
  return {
    id: `id of ${name}`,
    name,
    sourcePort: 8080,
    remoteConnectorAddr: "a:1",
    destinationAddr: "b:1",
    type: "local",
    origin: "peer",
    status: "complete",
    since: new Date(1000),
    connections: NO_CONNECTIONS,
    listening: true,
    takenUpAt: new Date(5),
    claimKey: "k",
    ...rest,
  };
}

function wantedFrom(reports: ServiceReport[], held: Record<string, string> = {}) {
  return wantedOf(reports, { holds: (name) => held[name], ownClaim: "mine" });
}

Deno.test("names of Services: lower case, one hyphen for other characters, none at the ends", () => {
  for (
    const [name, wanted] of [
      ["web", "web"],
      ["My Web_Shop", "my-web-shop"],
      ["--a..b--", "a-b"],
      ["Über", "ber"],
      ["1st", "1st"],
      ["äöü", ""],
    ] as const
  ) strictEqual(serviceNameOf(name), wanted);
});

Deno.test("services that listen here are wanted, the others are not", () => {
  const { takenUpAt: _at, claimKey: _key, ...own } = report("own");
  const { wanted, unfit } = wantedFrom([
    report("web"),
    report("not here", { listening: false }),
    own,
  ]);
  deepStrictEqual(unfit, []);
  deepStrictEqual([...wanted.keys()], ["web", "own"]);
  deepStrictEqual(wanted.get("web"), {
    name: "web",
    id: "id of web",
    serviceName: "web",
    port: 8080,
    takenUpAt: 5,
    claim: "k",
  });
  deepStrictEqual([wanted.get("own")?.takenUpAt, wanted.get("own")?.claim], [0, "mine"]);
});

Deno.test("of several with one name the holder keeps it, otherwise the first gets it", () => {
  const reports = [report("web"), report("WEB"), report("Web!")];
  const first = wantedFrom(reports);
  strictEqual(first.wanted.get("web")?.id, "id of web");
  deepStrictEqual(first.unfit.map(({ id, code }) => [id, code]), [
    ["id of WEB", "already_exists"],
    ["id of Web!", "already_exists"],
  ]);
  const held = wantedFrom(reports, { web: "id of WEB" });
  strictEqual(held.wanted.get("web")?.id, "id of WEB");
});

Deno.test("names that no Service can have are refused, and say why", () => {
  const { wanted, unfit } = wantedFrom([report("äöü"), report("a".repeat(64))]);
  strictEqual(wanted.size, 0);
  deepStrictEqual(unfit.map(({ code }) => code), ["invalid_argument", "invalid_argument"]);
  match(unfit[0]?.reason ?? "", /no letter or digit/);
  match(unfit[1]?.reason ?? "", /over 63 characters/);
});

Deno.test("a Service alone has the contract's selector; a replica's has none, and a slice", () => {
  const alone = serviceOf(WANTED, MAKER);
  deepStrictEqual(alone.spec?.selector, { app: "connector" });
  deepStrictEqual(alone.spec?.ports, [
    { name: "tcp", protocol: "TCP", port: 8080, targetPort: 8080 },
  ]);
  ok(isMade(alone));
  const replica = { ...MAKER, pod: POD };
  const service = serviceOf(WANTED, replica, {
    ...alone,
    // What the cluster adds is none of the members that a connector looks at.
    spec: { ...alone.spec, ...{ clusterIP: "10.96.0.9" } },
    metadata: { ...alone.metadata, labels: { ...alone.metadata.labels, team: "x" } },
  });
  strictEqual(service.spec?.selector, undefined);
  deepStrictEqual(service.metadata.labels, {
    "app.kubernetes.io/managed-by": "connector",
    team: "x",
  });
  ok(isAsWanted(service, { spec: { clusterIP: "10.96.0.9" } }), "what the cluster gave stays");
  const slice = sliceOf(WANTED, replica);
  strictEqual(slice.metadata.name, "web-connector");
  strictEqual(slice.metadata.labels?.["kubernetes.io/service-name"], "web");
  deepStrictEqual(slice.endpoints.map(({ addresses }) => addresses), [["10.0.0.1"]]);
  strictEqual(slice.ports?.[0]?.name, service.spec?.ports?.[0]?.name);
  const six = { ...POD, ip: "2001:db8::1" };
  strictEqual(sliceOf(WANTED, { ...MAKER, pod: six }).addressType, "IPv6");
  deepStrictEqual(serviceOf(WANTED, { ...MAKER, pod: six }).spec?.ipFamilies, ["IPv6"]);
});

Deno.test("a lease says who has a service, since when, and how often it has moved", () => {
  const lease = leaseOf(WANTED, { maker: MAKER, epoch: 3, now: Date.UTC(2026, 0, 3) });
  deepStrictEqual(lease.spec, {
    holderIdentity: "pod/n/connector-1",
    acquireTime: "2026-01-02T00:00:00.000000Z",
    renewTime: "2026-01-03T00:00:00.000000Z",
    leaseTransitions: 3,
  });
});

Deno.test("what is made is known by its annotations, and pods by their owner", () => {
  const named = (metadata: Record<string, unknown>) =>
    isMade({ metadata: { name: "x", ...metadata } });
  strictEqual(named({}), false);
  strictEqual(named({ labels: { "app.kubernetes.io/managed-by": "Helm" } }), false);
  // By hand, for a Service that leads to a connector.
  strictEqual(named({ labels: { "app.kubernetes.io/managed-by": "connector" } }), false);
  for (const name of ["owner", "service", "service-id", "claim"]) {
    strictEqual(named({ annotations: { [`connector.jumppad.dev/${name}`]: "x" } }), true);
  }
  deepStrictEqual(podOf("pod/n/a"), { namespace: "n", name: "a" });
  for (const none of ["host/a", "pod/../a", "pod/n/..", "pod/n/a/b", "pod/N/a", "pod/n/a?x"]) {
    strictEqual(podOf(none), undefined, none);
  }
});

Deno.test("what is as it should be is left alone, whatever else is there", () => {
  ok(isAsWanted({ a: 1, b: { c: [{ d: 1, e: 2 }] } }, { b: { c: [{ d: 1 }] } }));
  ok(!isAsWanted({ b: { c: [{ d: 1 }, { d: 2 }] } }, { b: { c: [{ d: 1 }] } }), "one too many");
  ok(!isAsWanted({ b: { c: [] } }, { b: { c: [{ d: 1 }] } }));
  ok(!isAsWanted({ b: undefined }, { b: { c: 1 } }));
  ok(!isAsWanted({ a: "1" }, { a: 1 }));
});
