// Destinations that Nomad knows, resolved for each connection, against a double of its API.

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import {
  NomadIntegration,
  type NomadTimes,
} from "../../src/integrations/nomad/nomad_integration.ts";
import type { Policy } from "../../src/policy/policy.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { NomadDouble } from "../support/nomad_double.ts";
import { anonymousPolicy, policyOf } from "../support/policies.ts";
import {
  echo,
  freePort,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  type TestConnector,
  turnsAway,
  until,
} from "../support/world.ts";

const SIGNAL = new AbortController().signal;
const DESTINATION = { host: "shop.web.server", port: 0, portLabel: "http" };

function open(nomad: NomadDouble, times: NomadTimes = {}, variables: Record<string, string> = {}) {
  return NomadIntegration.open({ variables: { NOMAD_ADDR: nomad.address, ...variables }, times });
}

function resolve(integration: NomadIntegration, signal = SIGNAL) {
  const resolver = integration.resolverOf(DESTINATION);
  if (resolver === undefined) throw new TypeError("Nomad resolves it");
  return resolver(DESTINATION, { signal });
}

/** Exposes a destination of an acceptor that works with Nomad; visitors come to the returned port. */
async function exposeRemote(
  { local, remote, to = "shop.web.server:http" }: {
    local: TestConnector;
    remote: TestConnector;
    to?: string;
  },
): Promise<number> {
  const port = freePort();
  const id = await local.connector.expose({
    name: "shop",
    sourcePort: port,
    remoteConnectorAddr: remote.address,
    destinationAddr: to,
    type: "remote",
  });
  await until(() => reportOf(local, id)?.status === "complete", "the service is complete");
  return port;
}

Deno.test("visitors reach a task of Nomad by its job, group, name and port label", async () => {
  await using server = serveTcp(echo);
  await using nomad = new NomadDouble();
  nomad.allocations = [{ ports: { http: server.port } }];
  await using remote = await startConnector({ integration: open(nomad) });
  await using local = await startConnector();
  const port = await exposeRemote({ local, remote });
  await roundTrip(port);
  await Promise.all(Array.from({ length: 20 }, () => roundTrip(port, { length: 1000 })));
  // Two requests for all of them.
  deepStrictEqual(nomad.asked.map((path) => path.replace(/allocation\/.*/, "allocation/ID")), [
    "/v1/job/shop/allocations",
    "/v1/allocation/ID",
  ]);
});

Deno.test("a task that moves is found where it runs, once what was found is a little older", async () => {
  await using first = serveTcp(echo);
  await using second = serveTcp(echo);
  await using nomad = new NomadDouble();
  nomad.allocations = [{ id: "one", ports: { http: first.port } }];
  await using integration = open(nomad, { freshMs: 50 });
  strictEqual((await resolve(integration)).port, first.port);
  nomad.allocations = [
    { id: "one", ports: { http: first.port }, clientStatus: "complete" },
    { id: "two", ports: { http: second.port } },
  ];
  await until(async () => (await resolve(integration)).port === second.port, "it is found");
});

Deno.test("of several allocations each is taken, at random", async () => {
  await using nomad = new NomadDouble();
  nomad.allocations = [1, 2, 3].map((number) => ({ id: `${number}`, ports: { http: number } }));
  await using integration = open(nomad);
  const ports = new Set<number>();
  for (let count = 0; count < 200; count += 1) ports.add((await resolve(integration)).port);
  deepStrictEqual([...ports].sort(), [1, 2, 3]);
});

Deno.test("what cannot be found is said, and visitors are turned away at once", async () => {
  await using nomad = new NomadDouble();
  nomad.token = "secret";
  await using integration = open(nomad, { failedMs: 0 });
  await rejects(resolve(integration), { code: "permission_denied", message: /NOMAD_TOKEN/ });
  nomad.token = undefined;
  await rejects(resolve(integration), {
    code: "not_found",
    message: /^Cannot find shop\.web\.server:http: no running and healthy allocation/,
  });
  nomad.allocations = [{ ports: { http: 80 }, healthy: false }];
  await rejects(resolve(integration), { message: /no running and healthy allocation/ });
  nomad.allocations = [{ ports: { other: 80 } }];
  await rejects(resolve(integration), { message: /the task has no port "http"$/ });
  nomad.broken = () => new Response("upset", { status: 500 });
  await rejects(resolve(integration), {
    code: "unavailable",
    message: /Nomad answers 500, upset$/,
  });
  nomad.broken = () => new Response("<html>");
  await rejects(resolve(integration), { message: /Nomad has answered with no JSON$/ });
  nomad.broken = () => new Response("{}");
  await rejects(resolve(integration), { message: /cannot read Nomad's answer/ });

  await using remote = await startConnector({ integration: open(nomad) });
  await using local = await startConnector();
  strictEqual(await turnsAway(await exposeRemote({ local, remote })), true);
});

Deno.test("while Nomad is away, what it said last counts for a minute", async () => {
  await using nomad = new NomadDouble();
  nomad.allocations = [{ ports: { http: 80 } }];
  await using integration = open(nomad, { freshMs: 0, failedMs: 0 });
  strictEqual((await resolve(integration)).port, 80);
  nomad.broken = () => new Response("no leader", { status: 500 });
  strictEqual((await resolve(integration)).port, 80);
  // What it says counts, whatever it said before.
  nomad.broken = undefined;
  nomad.allocations = [];
  await rejects(resolve(integration), { code: "not_found" });

  await using short = open(nomad, { freshMs: 0, failedMs: 0, staleMs: 0 });
  nomad.allocations = [{ ports: { http: 80 } }];
  await resolve(short);
  nomad.broken = () => new Response("no leader", { status: 500 });
  await rejects(resolve(short), { code: "unavailable" });
});

Deno.test("a visitor that leaves does not wait for Nomad, and takes nothing from others", async () => {
  await using nomad = new NomadDouble();
  nomad.allocations = [{ ports: { http: 80 } }];
  const answer = Promise.withResolvers<void>();
  nomad.broken = async () => {
    await answer.promise;
    nomad.broken = undefined;
    return new Response(JSON.stringify([]));
  };
  await using integration = open(nomad, { failedMs: 0 });
  const leaving = new AbortController();
  const [one, other] = [resolve(integration, leaving.signal), resolve(integration)];
  const left = rejects(one, { code: "deadline_exceeded" });
  leaving.abort();
  await left;
  const told = rejects(other, { code: "not_found" });
  answer.resolve();
  await told;
  strictEqual((await resolve(integration)).port, 80);
});

Deno.test("requests carry the token and the namespace, and other addresses are asked nothing", async () => {
  await using nomad = new NomadDouble();
  nomad.token = "secret";
  nomad.allocations = [{ ports: { http: 80 } }];
  const variables = { NOMAD_TOKEN: "secret", NOMAD_NAMESPACE: "blue" };
  await using integration = open(nomad, {}, variables);
  await resolve(integration);
  ok(nomad.asked.every((path) => path.endsWith("?namespace=blue")), nomad.asked.join());
  strictEqual(integration.resolverOf({ host: "shop.web.server", port: 80 }), undefined);
  strictEqual(integration.resolverOf({ host: "localhost", port: 80 }), undefined);
});

Deno.test("an address of Nomad that cannot be used is refused in a sentence", () => {
  for (const address of ["nomad:4646", "unix:///nomad.sock", "http://a b", "http://nomad/v1"]) {
    let message = "";
    try {
      NomadIntegration.open({ variables: { NOMAD_ADDR: address } });
    } catch (error) {
      message = String(error);
    }
    match(message, /NOMAD_ADDR cannot be ".*", want http:\/\/host:port or https:\/\/host:port/);
  }
});

Deno.test("without Nomad, a port that has a name is refused where it would be dialled", async () => {
  await using remote = await startConnector();
  await using local = await startConnector();
  const request = {
    name: "shop",
    sourcePort: freePort(),
    remoteConnectorAddr: remote.address,
    destinationAddr: "shop.web.server:http",
  };
  await rejects(local.connector.expose({ ...request, type: "local" }), {
    code: "permission_denied",
    message: /only a connector with --integration=nomad finds the port of that name/,
  });
  // Whether the peer can, it says itself.
  const id = await local.connector.expose({ ...request, type: "remote" });
  await until(() => reportOf(local, id)?.status === "error", "the peer refuses it");
  match(reportOf(local, id)?.message ?? "", /--integration=nomad/);
});

Deno.test("of a job with very many allocations some are asked about, each time others", async () => {
  await using nomad = new NomadDouble();
  nomad.allocations = Array.from({ length: 300 }, (_, number) => ({
    id: `allocation-${number}`,
    ports: { http: 1000 + number },
  }));
  await using integration = open(nomad, { freshMs: 0 });
  await resolve(integration);
  strictEqual(nomad.asked.length, 1 + 64);
  await resolve(integration);
  ok(nomad.asked.length > 1 + 64 + 1, "others are asked about");
});

Deno.test("an allocation that cannot be read takes nothing from the others", async () => {
  await using nomad = new NomadDouble();
  nomad.allocations = [
    { id: "bad", ports: { http: 70_000 } },
    { id: "good", ports: { http: 80 } },
  ];
  await using integration = open(nomad, { freshMs: 0 });
  for (let count = 0; count < 20; count += 1) strictEqual((await resolve(integration)).port, 80);
  nomad.allocations = [{ id: "worse", ports: { http: 70_000 } }];
  // It is Nomad that has said it: nothing is known to run.
  await using other = open(nomad);
  await rejects(resolve(other), { message: /cannot read Nomad's answer, an allocation$/ });
});

Deno.test("however many jobs peers ask for, few requests are made at once, and those that wait have a bound", async () => {
  await using nomad = new NomadDouble();
  const answer = Promise.withResolvers<void>();
  let now = 0;
  let most = 0;
  nomad.broken = async () => {
    now += 1;
    most = Math.max(most, now);
    await answer.promise;
    now -= 1;
    return new Response("[]");
  };
  await using integration = open(nomad);
  const results = Promise.allSettled(Array.from({ length: 1100 }, (_, number) => {
    const destination = { host: `job-${number}.web.server`, port: 0, portLabel: "http" };
    return integration.resolverOf(destination)?.(destination, { signal: SIGNAL });
  }));
  await until(() => now === 16, "as many as may be are asked");
  answer.resolve();
  const reasons = (await results).map((each) => each.status === "rejected" && each.reason.code);
  strictEqual(most, 16);
  strictEqual(reasons.filter((code) => code === "resource_exhausted").length, 1100 - 16 - 1000);
  strictEqual(reasons.filter((code) => code === "not_found").length, 1016);
});

Deno.test("the address that Nomad gives is judged as it is dialled: by reach, never_reach and the own ports", async () => {
  await using server = serveTcp(echo);
  await using nomad = new NomadDouble();
  nomad.allocations = [{ ports: { http: server.port } }];
  await using local = await startConnector();
  const carries = async (policy?: Policy) => {
    await using remote = await startConnector({
      integration: open(nomad),
      ...(policy && { policy: new PolicyGuard(policy) }),
    });
    // Without a policy of the test's: to its own port.
    if (policy === undefined) nomad.allocations = [{ ports: { http: remote.server.address.port } }];
    const port = await exposeRemote({ local, remote });
    return await roundTrip(port, { length: 10 }).then(() => true, () => false);
  };
  const reach = (cidr: string, port: number) =>
    anonymousPolicy(`reach: [{ cidr: ${cidr}, ports: [${port}] }]`);
  strictEqual(await carries(reach("127.0.0.0/8", server.port)), true);
  strictEqual(await carries(reach("127.0.0.0/8", server.port - 1)), false);
  strictEqual(await carries(reach("10.0.0.0/8", server.port)), false);
  const never = policyOf(
    "version: 1\nnever_reach: [127.0.0.1/32]\nrules:\n" +
      "  - { peer: { anonymous: true }, reach: [{ cidr: 0.0.0.0/0, ports: [1-65535] }] }\n",
  );
  strictEqual(await carries(never), false);
  strictEqual(await carries(), false);
});

Deno.test("a token that cannot be sent is refused, and told to nobody", async () => {
  await using nomad = new NomadDouble();
  for (const token of ["secret\nx", "secret\u0000", "secret€", "secret x"]) {
    throws(
      () => open(nomad, {}, { NOMAD_TOKEN: token }),
      (error) => !Deno.inspect(error).includes("secret"),
    );
  }
  nomad.token = "secret";
  nomad.allocations = [{ ports: { http: 80 } }];
  await using integration = open(nomad, {}, { NOMAD_TOKEN: "secret\n" });
  strictEqual((await resolve(integration)).port, 80);
});
