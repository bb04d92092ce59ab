// Connectors that are held to a policy: what peers and users are told, what is dialled and listened on, and what ends when
// another policy is in force.

import { deepStrictEqual, match, ok, rejects, strictEqual } from "node:assert/strict";
import { ConnectorError } from "../../src/model/errors.ts";
import type { RefusalEvent } from "../../src/model/events.ts";
import type { TlsIdentity } from "../../src/grpc/credentials.ts";
import type { Rule } from "../../src/tunnel/admission.ts";
import type { Policy } from "../../src/policy/policy.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import { makeCertificate } from "../support/certificates.ts";
import { LOOPBACK, makePki, pemOf } from "../support/mtls.ts";
import { anonymousPolicy, policyOf } from "../support/policies.ts";
import {
  echo,
  exposeThrough,
  freePort,
  refuses,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  type TestConnector,
  turnsAway,
  until,
} from "../support/world.ts";

const ALL = "reach: [{ cidr: 127.0.0.0/8, ports: [1-65535] }], listen: { ports: [1-65535] }";
const NOTHING = policyOf("version: 1\nrules: []");

type Pair = { local: TestConnector; remote: TestConnector };

/** A request for a service between the two. */
function request({ remote }: Pair, given: { type: "local" | "remote"; destination: string }) {
  return {
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: remote.address,
    destinationAddr: given.destination,
    type: given.type,
  };
}

/** Exposes, and what the user is told when that is refused. */
async function refusal(
  pair: Pair,
  given: { type: "local" | "remote"; destination: string },
): Promise<string> {
  try {
    await pair.local.connector.expose(request(pair, given), { waitMs: 5000 });
  } catch (error) {
    if (error instanceof ConnectorError) return error.message;
    throw error;
  }
  return "";
}

function refusalsAt({ connector }: TestConnector): { seen: RefusalEvent[] } & Disposable {
  const seen: RefusalEvent[] = [];
  const subscription = connector.events.subscribe(
    "test",
    { kinds: ["refusal"], capacity: 100 },
    (event) => {
      if (event.kind === "refusal") seen.push(event);
    },
  );
  return { seen, [Symbol.dispose]: () => subscription[Symbol.dispose]() };
}

Deno.test("policy: what no rule allows is refused at expose, and the user of the peer reads why", async () => {
  await using local = await startConnector();
  await using remote = await startConnector({ policy: new PolicyGuard(NOTHING) });
  const pair = { local, remote };
  match(
    await refusal(pair, { type: "local", destination: "127.0.0.1:80" }),
    /the policy does not let anonymous listen on port \d+ of every interface$/,
  );
  match(
    await refusal(pair, { type: "remote", destination: "127.0.0.1:80" }),
    /the policy does not let anonymous reach 127\.0\.0\.1:80$/,
  );
  deepStrictEqual(remote.connector.list(), []);
});

Deno.test("policy: what a rule allows is carried, both ways", async () => {
  await using server = serveTcp(echo);
  await using local = await startConnector({ policy: new PolicyGuard(anonymousPolicy(ALL)) });
  await using remote = await startConnector({ policy: new PolicyGuard(anonymousPolicy(ALL)) });
  for (const type of ["local", "remote"] as const) {
    const { port } = await exposeThrough({ local, remote }, { type, destination: server.port });
    await roundTrip(port, { length: 1000 });
  }
});

Deno.test("policy: the address that is dialled decides, whatever the name", async () => {
  await using server = serveTcp(echo);
  const ports = `ports: [${server.port}]`;
  await using local = await startConnector();
  const reach = async (allowed: string) => {
    await using remote = await startConnector({
      policy: new PolicyGuard(anonymousPolicy(`reach: [{ ${allowed}, ${ports} }]`)),
    });
    const service = request({ local, remote }, {
      type: "remote",
      destination: `localhost:${server.port}`,
    });
    using refusals = refusalsAt(remote);
    await local.connector.expose(service, { waitMs: 5000 });
    const carried = await roundTrip(service.sourcePort, { length: 10 }).then(
      () => true,
      () => false,
    );
    if (!carried) await until(() => refusals.seen.length > 0, "the refusal is published");
    return carried ? "carried" : `${refusals.seen[0]?.code}: ${refusals.seen[0]?.reason}`;
  };
  strictEqual(await reach("host: localhost"), "carried");
  strictEqual(await reach("cidr: 127.0.0.0/8"), "carried");
  for (
    const allowed of ["cidr: 10.0.0.0/8", 'host: "*"', "cidr: 0.0.0.0/0, except: [127.0.0.1/32]"]
  ) {
    const refused = await reach(allowed);
    match(
      refused,
      /^policy: .*the policy does not let anonymous reach localhost:\d+ at (::1|127\.0\.0\.1)$/,
    );
  }
});

Deno.test("policy: each side decides for itself, about what its own user exposes as well", async () => {
  await using server = serveTcp(echo);
  await using local = await startConnector({
    policy: new PolicyGuard(anonymousPolicy("reach: [{ cidr: 127.0.0.0/8, ports: [1] }]")),
  });
  await using remote = await startConnector();
  await rejects(
    local.connector.expose(
      request({ local, remote }, { type: "local", destination: `127.0.0.1:${server.port}` }),
    ),
    {
      code: "permission_denied",
      message: 'Cannot expose service "web": the policy lets no peer ' +
        `reach 127.0.0.1:${server.port}`,
    },
  );
});

Deno.test("policy: a verified certificate says who a peer is, and each gets what its rule allows", async () => {
  await using server = serveTcp(echo);
  const { root, leaf } = await makePki();
  const identityOf = async (spiffe: string): Promise<TlsIdentity> =>
    pemOf(
      root,
      await makeCertificate({ names: [...LOOPBACK, { type: "url", value: spiffe }] }, root),
    );
  const policy = policyOf(`version: 1
rules:
  - peer: { spiffe: "spiffe://example/laptop/*" }
    listen: { ports: [1-65535], addresses: [127.0.0.1] }
`);
  await using remote = await startConnector({
    tls: pemOf(root, leaf),
    policy: new PolicyGuard(policy),
  });
  await using laptop = await startConnector({ tls: await identityOf("spiffe://example/laptop/a") });
  const { port } = await exposeThrough({ local: laptop, remote }, {
    type: "local",
    destination: server.port,
  });
  await roundTrip(port, { length: 1000 });
  // It listens where the rule says, and nowhere else.
  using taken = Deno.listen({ hostname: "127.0.0.2", port });
  ok(taken);
  await using other = await startConnector({ tls: await identityOf("spiffe://example/server/a") });
  match(
    await refusal({ local: other, remote }, {
      type: "local",
      destination: `127.0.0.1:${server.port}`,
    }),
    /does not let spiffe:\/\/example\/server\/a listen on port \d+ of every interface$/,
  );
});

Deno.test("policy: another one ends what it does not allow, with its connections, and the peer's user reads why", async () => {
  await using server = serveTcp(echo);
  for (const type of ["local", "remote"] as const) {
    const guard = new PolicyGuard(anonymousPolicy(ALL));
    await using local = await startConnector();
    await using remote = await startConnector({ policy: guard });
    const { port, id } = await exposeThrough({ local, remote }, {
      type,
      destination: server.port,
    });
    using visitor = await Deno.connect({ port });
    await visitor.write(new Uint8Array(1));
    await visitor.read(new Uint8Array(1));
    guard.replace(NOTHING);
    remote.connector.readmit();
    const end = await visitor.read(new Uint8Array(1)).catch(() => null);
    strictEqual(end, null);
    await until(() => reportOf(local, id)?.status === "error", "the user is told");
    match(
      reportOf(local, id)?.message ?? "",
      /the policy does not let anonymous (listen on port|reach) /,
    );
    deepStrictEqual(remote.connector.list(), []);
    if (type === "local") strictEqual(await refuses(port), true);
  }
});

Deno.test("policy: a peer's service comes up by itself once another policy allows it", async () => {
  await using server = serveTcp(echo);
  const guard = new PolicyGuard(NOTHING);
  await using local = await startConnector();
  await using remote = await startConnector({ policy: guard });
  const service = request({ local, remote }, {
    type: "local",
    destination: `127.0.0.1:${server.port}`,
  });
  const id = await local.connector.expose(service);
  await until(() => reportOf(local, id)?.status === "error", "it is refused");
  ok(reportOf(local, id)?.retryAt, "it is known when it is tried again");
  guard.replace(anonymousPolicy(ALL));
  remote.connector.readmit();
  await until(() => reportOf(local, id)?.status === "complete", "it is complete");
  await roundTrip(service.sourcePort, { length: 10 });
});

Deno.test("policy: another one that allows the service and not the address ends that connection alone", async () => {
  await using server = serveTcp(echo);
  const ports = `ports: [${server.port}]`;
  const guard = new PolicyGuard(
    anonymousPolicy(`reach: [{ cidr: 127.0.0.0/8, ${ports} }, { cidr: "::1/128", ${ports} }]`),
  );
  await using local = await startConnector();
  await using remote = await startConnector({ policy: guard });
  const service = request({ local, remote }, {
    type: "remote",
    destination: `localhost:${server.port}`,
  });
  const id = await local.connector.expose(service, { waitMs: 5000 });
  using visitor = await Deno.connect({ port: service.sourcePort });
  await visitor.write(new Uint8Array(1));
  await visitor.read(new Uint8Array(1));
  guard.replace(anonymousPolicy(`reach: [{ cidr: 127.0.0.1/32, ${ports} }]`));
  remote.connector.readmit();
  await visitor.write(new Uint8Array(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  guard.replace(anonymousPolicy(`reach: [{ cidr: 10.0.0.0/8, ${ports} }]`));
  remote.connector.readmit();
  strictEqual(await visitor.read(new Uint8Array(1)).catch(() => null), null);
  strictEqual(reportOf(local, id)?.status, "complete");
  await until(() => reportOf(local, id)?.connections.open === 0, "the connection is over");
  match(
    reportOf(local, id)?.connections.lastClose ?? "",
    /the policy does not let anonymous reach localhost:\d+$/,
  );
});

Deno.test("policy: a service of the user's own ends, and is there again when it is allowed again", async () => {
  await using server = serveTcp(echo);
  for (const type of ["local", "remote"] as const) {
    const guard = new PolicyGuard(anonymousPolicy(ALL));
    await using local = await startConnector({ policy: guard });
    await using remote = await startConnector();
    const { port, id } = await exposeThrough({ local, remote }, {
      type,
      destination: server.port,
    });
    await roundTrip(port, { length: 10 });
    guard.replace(NOTHING);
    local.connector.readmit();
    strictEqual(reportOf(local, id)?.status, "error");
    match(reportOf(local, id)?.message ?? "", /the policy lets no peer /);
    strictEqual(type === "remote" ? await refuses(port) : await turnsAway(port), true);
    // Nothing of it changes when it is asked again.
    local.connector.readmit();
    guard.replace(anonymousPolicy(ALL));
    local.connector.readmit();
    await until(() => reportOf(local, id)?.status === "complete", "it is complete again");
    await roundTrip(port, { length: 10 });
  }
});

Deno.test("policy: after a change a service listens where that is allowed now", async () => {
  await using server = serveTcp(echo);
  const guard = new PolicyGuard(anonymousPolicy("listen: { ports: [1-65535] }"));
  await using local = await startConnector();
  await using remote = await startConnector({ policy: guard });
  const { port, id } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  guard.replace(anonymousPolicy("listen: { ports: [1-65535], addresses: [127.0.0.1] }"));
  remote.connector.readmit();
  // The port is free elsewhere once the sockets are closed.
  await until(() => {
    try {
      Deno.listen({ hostname: "127.0.0.2", port }).close();
      return true;
    } catch {
      return false;
    }
  }, "nobody listens elsewhere");
  // Over Deno's sockets that is so a moment before there is a listener again.
  await until(async () => !await refuses(port), "it listens where it may");
  await roundTrip(port, { length: 10 });
  strictEqual(reportOf(local, id)?.status, "complete");
});

Deno.test("policy: a peer's service that cannot be listened for where that is allowed now ends, and its user reads why", async () => {
  const guard = new PolicyGuard(anonymousPolicy("listen: { ports: [1-65535] }"));
  await using remote = await startConnector({ policy: guard });
  await using local = await startConnector();
  const pair = { local, remote };
  const id = await local.connector.expose(
    request(pair, { type: "local", destination: "127.0.0.1:1" }),
    { waitMs: 5000 },
  );
  // Of TEST-NET-1, which no machine has.
  guard.replace(anonymousPolicy("listen: { ports: [1-65535], addresses: [192.0.2.1] }"));
  remote.connector.readmit();
  deepStrictEqual(remote.connector.list(), []);
  await until(() => reportOf(local, id)?.status === "error", "the user has heard of it");
  match(
    reportOf(local, id)?.message ?? "",
    /no interface of this machine has the address 192\.0\.2\.1/,
  );
  // It is asked for again, and had once that can be done.
  guard.replace(anonymousPolicy("listen: { ports: [1-65535] }"));
  remote.connector.readmit();
  await until(() => reportOf(local, id)?.status === "complete", "the peer has it again", {
    timeoutMs: 20_000,
  });
});

/** One that takes its time over each question. */
function slowGuard(policy: Policy): PolicyGuard {
  const guard = new PolicyGuard(policy);
  const { rule } = guard;
  const slowly: Rule = (subject) => {
    const began = performance.now();
    while (performance.now() - began < 2);
    return rule(subject);
  };
  return Object.assign(guard, { rule: slowly });
}

Deno.test("policy: after a change many services are looked at in turns with other work, anew if it changes again", async () => {
  const guard = slowGuard(anonymousPolicy(ALL));
  await using local = await startConnector();
  await using remote = await startConnector({ policy: guard });
  const request = { type: "remote", destination: 80 } as const;
  await Promise.all(
    Array.from({ length: 30 }, () => exposeThrough({ local, remote }, request)),
  );
  const count = () => remote.connector.list().length;
  guard.replace(NOTHING);
  const first = remote.connector.readmit();
  ok(count() > 0, "not all at once");
  guard.replace(anonymousPolicy(ALL));
  await Promise.all([first, remote.connector.readmit()]);
  const left = count();
  ok(left > 0 && left < 30, `${left} are left`);
  guard.replace(NOTHING);
  await remote.connector.readmit();
  strictEqual(count(), 0);
  guard.replace(anonymousPolicy(ALL));
});

Deno.test("policy: limits of services and connections hold, and what ends makes room", async () => {
  await using server = serveTcp(echo);
  const limited = `${ALL}, limits: { services: 1, connections: 2 }`;
  await using local = await startConnector();
  await using remote = await startConnector({ policy: new PolicyGuard(anonymousPolicy(limited)) });
  const pair = { local, remote };
  const { port, id } = await exposeThrough(pair, { type: "local", destination: server.port });
  const destination = `127.0.0.1:${server.port}`;
  match(
    await refusal(pair, { type: "local", destination }),
    /The policy allows the peer no more services than 1$/,
  );
  {
    using one = await Deno.connect({ port });
    using two = await Deno.connect({ port });
    await until(() => reportOf(remote, id)?.connections.open === 2, "both are open");
    strictEqual(await turnsAway(port), true);
    ok(one && two);
  }
  await until(() => reportOf(remote, id)?.connections.open === 0, "both are over");
  await roundTrip(port, { length: 10 });
  await local.connector.destroy(id);
  await until(() => remote.connector.list().length === 0, "the peer has removed it");
  await exposeThrough(pair, { type: "local", destination: server.port });
});

Deno.test("policy: a peer at its limit that was started anew has the port of its former service again", async () => {
  const guard = new PolicyGuard(anonymousPolicy(`${ALL}, limits: { services: 1 }`));
  await using remote = await startConnector({ policy: guard });
  const sourcePort = freePort();
  const expose = async (connector: TestConnector) => {
    const pair = { local: connector, remote };
    const asked = { ...request(pair, { type: "local", destination: "127.0.0.1:1" }), sourcePort };
    await connector.connector.expose(asked, { waitMs: 5000 });
  };
  {
    // It says that it will be back.
    await using first = await startConnector({ save: () => Promise.resolve() });
    await expose(first);
  }
  deepStrictEqual(remote.connector.list().map(({ status }) => status), ["pending"]);
  await using second = await startConnector();
  await expose(second);
  deepStrictEqual(remote.connector.list().map(({ status }) => status), ["complete"]);
});

Deno.test("policy: while a connector drains, another policy ends what it does not allow, and nothing else", async () => {
  await using server = serveTcp(echo);
  const all = anonymousPolicy(ALL);
  for (const type of ["local", "remote"] as const) {
    const guard = new PolicyGuard(all);
    await using local = await startConnector();
    await using remote = await startConnector({ policy: guard });
    const { port } = await exposeThrough({ local, remote }, { type, destination: server.port });
    using visitor = await Deno.connect({ port });
    const echoes = async () => {
      await visitor.write(Uint8Array.of(7));
      return await visitor.read(new Uint8Array(1)) === 1;
    };
    strictEqual(await echoes(), true);
    const closed = remote.running.close({ drainMs: 60_000 });
    guard.replace(anonymousPolicy("control: list, " + ALL));
    remote.connector.readmit();
    strictEqual(await echoes(), true);
    guard.replace(NOTHING);
    remote.connector.readmit();
    strictEqual(await echoes().catch(() => false), false);
    await closed;
  }
});
