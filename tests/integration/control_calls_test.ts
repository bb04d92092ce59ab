// Who may do what by gRPC's control API: the local user everything, a peer only with what it has exposed itself. With three
// certificates of one root, and over plaintext from this machine's other address, as a stranger would.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import {
  ChannelCredentials,
  type ChannelOptions,
  Metadata,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { RemoteConnectionClient, type Service, ServiceType } from "../../proto/gen/connector.ts";
import type { TlsIdentity } from "../../src/grpc/credentials.ts";
import { makeCertificate } from "../support/certificates.ts";
import { LOOPBACK, pemOf } from "../support/mtls.ts";
import { policyOf } from "../support/policies.ts";
import { PolicyGuard } from "../../src/tunnel/policy_guard.ts";
import {
  freePort,
  reportOf,
  settle,
  startConnector,
  type TestConnector,
  until,
} from "../support/world.ts";

const root = await makeCertificate({ ca: true });
const leafFor = async (name: string) =>
  pemOf(root, await makeCertificate({ names: [...LOOPBACK, { type: "dns", value: name }] }, root));
const [b, a, m] = [
  await leafFor("b.example"),
  await leafFor("a.example"),
  await leafFor("m.example"),
];
/** With a's names, and another key. */
const twin = await leafFor("a.example");

/** The control API, called with a certificate, or over plaintext. */
class Caller implements AsyncDisposable {
  readonly #client: RemoteConnectionClient;

  constructor(address: string, tls?: TlsIdentity, options: ChannelOptions = {}) {
    const credentials = tls === undefined
      ? ChannelCredentials.createInsecure()
      : ChannelCredentials.createSsl(
        Buffer.from(tls.root),
        Buffer.from(tls.key),
        Buffer.from(tls.certificate),
      );
    this.#client = new RemoteConnectionClient(
      address.replace("127.0.0.1", tls ? "localhost" : "127.0.0.1"),
      credentials,
      {
        "grpc.use_local_subchannel_pool": 1,
        // Of the addresses of localhost one may be refused, and the wait after that outlives the client.
        "grpc.initial_reconnect_backoff_ms": 1,
        ...options,
      },
    );
  }

  list(metadata = new Metadata()): Promise<string[]> {
    return new Promise((resolve, reject) =>
      this.#client.listServices(
        {},
        metadata,
        (error, { services } = { services: [] }) =>
          error ? reject(error) : resolve(services.map(({ id }) => id)),
      )
    );
  }

  destroy(id: string): Promise<void> {
    return new Promise((resolve, reject) =>
      this.#client.destroyService({ id }, (error) => error ? reject(error) : resolve())
    );
  }

  expose(service: Partial<Service> = {}): Promise<string> {
    const whole: Service = {
      id: "",
      name: "pivot",
      remoteConnectorAddr: "127.0.0.1:1",
      destinationAddr: "127.0.0.1:1",
      sourcePort: freePort(),
      type: ServiceType.REMOTE,
      status: 0,
      ...service,
    };
    return new Promise((resolve, reject) =>
      this.#client.exposeService(
        { service: whole },
        (error, answer) => error ? reject(error) : resolve(answer.id),
      )
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.close();
    await settle();
  }
}

Deno.test("with a policy a peer calls what its rule lets it, as the local user does, and the local user everything", async () => {
  const policy = new PolicyGuard(policyOf(`version: 1
rules:
  - { peer: { dns: a.example }, control: list }
  - { peer: { dns: m.example }, control: expose }
  - peer: { dns: "*.example" }
    listen: { ports: [1-65535] }
    reach: [{ cidr: 127.0.0.0/8, ports: [1-65535] }]
`));
  await using connector = await startConnector({ tls: b, policy });
  const service = await connector.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: "127.0.0.1:1",
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  const other = await leafFor("c.example");
  await using nobody = new Caller(connector.address, other);
  await rejects(nobody.list(), {
    code: status.PERMISSION_DENIED,
    details: /^The policy does not let \S+c\.example\S+ call ListServices$/,
  });
  await using lists = new Caller(connector.address, a);
  deepStrictEqual(await lists.list(), [service]);
  await rejects(lists.destroy(service), { code: status.PERMISSION_DENIED });
  await rejects(lists.expose({ type: ServiceType.REMOTE }), { code: status.PERMISSION_DENIED });
  await using drives = new Caller(connector.address, m);
  const added = await drives.expose({ type: ServiceType.REMOTE });
  deepStrictEqual(await drives.list(), [service, added]);
  await drives.destroy(service);
  await using user = new Caller(connector.address, b);
  deepStrictEqual(await user.list(), [added]);
  await user.destroy(added);
  // Who was refused by which rule, who was let in by which, and the local user by none.
  deepStrictEqual(
    connector.controlCalls.map((
      { method, rule, refused },
    ) => [method, rule, refused === undefined]),
    [
      ["ListServices", "rule 3 (line 5) is for this peer and does not allow it", false],
      ["DestroyService", RULES_OF_A, false],
      ["ExposeService", RULES_OF_A, false],
      ["ExposeService", "rule 2 (line 4)", true],
      ["DestroyService", "rule 2 (line 4)", true],
      ["DestroyService", "open", true],
    ],
  );
});

const RULES_OF_A = "none of the 2 rules for this peer allows it: rule 1 (line 3), rule 3 (line 5)";

/** Exposes a service to another connector and resolves with its id. */
async function exposeTo(from: TestConnector, to: string): Promise<string> {
  const id = await from.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  await until(() => reportOf(from, id)?.status === "complete", "it is complete");
  return id;
}

function refusal(code: status): (error: ServiceError) => boolean {
  return (error) => {
    strictEqual(error.code, code);
    return true;
  };
}

Deno.test("with certificates, a peer sees and removes what it has exposed itself, and nothing else", async () => {
  await using victim = await startConnector({ tls: b });
  await using good = await startConnector({ tls: a });
  await using bad = await startConnector({ tls: m });
  const theirs = await exposeTo(good, victim.address.replace("127.0.0.1", "localhost"));
  const mine = await exposeTo(bad, victim.address.replace("127.0.0.1", "localhost"));
  const ours = await victim.connector.expose({
    name: "ours",
    sourcePort: freePort(),
    remoteConnectorAddr: "127.0.0.1:1",
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  await using caller = new Caller(victim.address, m);
  deepStrictEqual(await caller.list(), [mine]);
  const unknown = crypto.randomUUID();
  // What is another's is not there: the answer is that of an id that nobody has.
  const messages = await Promise.all([theirs, ours, unknown].map(async (id) => {
    try {
      await caller.destroy(id);
    } catch (error) {
      const { code, details } = error as ServiceError; // Calls reject with nothing else.
      strictEqual(code, status.NOT_FOUND);
      return details.replace(id, "ID");
    }
    return "removed";
  }));
  deepStrictEqual(new Set(messages), new Set(['There is no service with the id "ID"']));
  await rejects(caller.expose(), refusal(status.PERMISSION_DENIED));
  deepStrictEqual(
    new Set(victim.connector.list().map(({ id }) => id)),
    new Set([theirs, mine, ours]),
  );
  strictEqual(reportOf(good, theirs)?.status, "complete");
  await caller.destroy(mine);
  await until(() => bad.connector.list().length === 0, "its owner has heard of it");

  // Each is told of, with who it was.
  const told = victim.controlCalls.map(({ method, peer, local, id, refused }) => {
    strictEqual(local, false);
    match(peer.address, /^127\.0\.0\.1:\d+$/);
    strictEqual(peer.identity?.dnsNames.at(-1), "m.example");
    return [method, id, refused !== undefined];
  });
  deepStrictEqual(
    told.sort(),
    [
      ["DestroyService", mine, false],
      ["DestroyService", ours, true],
      ["DestroyService", theirs, true],
      ["DestroyService", unknown, true],
      ["ExposeService", undefined, true],
    ].sort(),
  );
});

Deno.test("a certificate with the same names and another key removes nothing of a link that lives", async () => {
  await using victim = await startConnector({ tls: b });
  await using good = await startConnector({ tls: a });
  const id = await exposeTo(good, victim.address.replace("127.0.0.1", "localhost"));
  await using caller = new Caller(victim.address, twin);
  deepStrictEqual(await caller.list(), []);
  await rejects(caller.destroy(id), refusal(status.NOT_FOUND));
  await using owner = new Caller(victim.address, a);
  deepStrictEqual(await owner.list(), [id]);
  await owner.destroy(id);
});

Deno.test("with our own certificate, from this machine, it is the local user who calls", async () => {
  await using victim = await startConnector({ tls: b });
  await using good = await startConnector({ tls: a });
  const id = await exposeTo(good, victim.address.replace("127.0.0.1", "localhost"));
  await using caller = new Caller(victim.address, b);
  const own = await caller.expose();
  deepStrictEqual(new Set(await caller.list()), new Set([id, own]));
  await caller.destroy(id);
  await caller.destroy(own);
  deepStrictEqual(victim.connector.list(), []);
  deepStrictEqual(victim.controlCalls.map(({ method, local }) => [method, local]), [
    ["ExposeService", true],
    ["DestroyService", true],
    ["DestroyService", true],
  ]);
});

const other = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !/^(127|169\.254)\./.test(address)
)?.address;

Deno.test({
  name: "over plaintext, a caller from elsewhere is a peer that has proven nothing",
  ignore: other === undefined,
  async fn() {
    await using victim = await startConnector({ bind: ":0" });
    await using good = await startConnector();
    const { port } = victim.server.address;
    // One of ours, which proves itself, through the very address that the caller has.
    const id = await exposeTo(good, `${other}:${port}`);
    await using caller = new Caller(`${other}:${port}`);
    deepStrictEqual(await caller.list(), []);
    await rejects(caller.destroy(id), refusal(status.NOT_FOUND));
    await rejects(caller.expose(), refusal(status.PERMISSION_DENIED));
    await using user = new Caller(`127.0.0.1:${port}`);
    deepStrictEqual(await user.list(), [id]);
    await user.destroy(id);
  },
});

for (
  const [what, values] of [
    ["too short", ["AAAA"]],
    ["of another alphabet", ["+".repeat(43)]],
    ["there twice", ["A".repeat(43), "A".repeat(43)]],
  ] as const
) {
  Deno.test(`a call whose proof is ${what} is refused`, async () => {
    await using victim = await startConnector();
    await using caller = new Caller(victim.address);
    const metadata = new Metadata();
    for (const value of values) metadata.add("connector-instance", value);
    await rejects(caller.list(metadata), refusal(status.INVALID_ARGUMENT));
    strictEqual(victim.controlCalls[0]?.refused !== undefined, true);
  });
}
