// A whole connector with a peer that breaks the protocol over real gRPC: the breach ends that peer's session, takes
// its services away, and nothing else.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { ServiceStatus, ServiceType } from "../../proto/gen/connector.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { MAX_PASSAGES } from "../../src/tunnel/passages.ts";
import { dialHostile, GREETING, startWorld } from "../support/attacked_connector.ts";
import { startAnsweringAcceptor } from "../support/answering_acceptor.ts";
import { type Attack, ATTACKED_LIMITS, BREACHES } from "../support/breaches.ts";
import { listenForLinks } from "../support/grpc_links.ts";
import { finish, goodByeAfterBreach, HostilePeer, open } from "../support/hostile_peer.ts";
import { soon } from "../support/soon.ts";
import { echo, freePort, reportOf, serveTcp, type TestConnector, until } from "../support/world.ts";

/** Exposes a service over a hostile peer's link. */
async function expose(
  peer: HostilePeer,
  { type, destination = 1, port = 1 }: { type: ServiceType; destination?: number; port?: number },
): Promise<string> {
  const id = crypto.randomUUID();
  const service = {
    id,
    name: "hostile",
    remoteConnectorAddr: "127.0.0.1:1",
    destinationAddr: `127.0.0.1:${destination}`,
    sourcePort: port,
    type,
    status: ServiceStatus.PENDING,
  };
  peer.sendControl({ $case: "expose", value: { service } }, { service: id });
  const complete = () =>
    peer.control.some(({ serviceId, message }) =>
      serviceId === id && message?.$case === "statusUpdate" &&
      message.value.status === ServiceStatus.COMPLETE
    );
  await until(complete, "the hostile service is complete");
  return id;
}

for (const { name, act, mentions } of BREACHES) {
  Deno.test(`over gRPC: ${name}`, async () => {
    await using world = await startWorld();
    // It takes no bytes until its connection is closed.
    const closing = Promise.withResolvers<void>();
    await using sink = serveTcp(() => closing.promise);
    await using hostile = dialHostile(world.victim.address);
    const { peer } = hostile;
    const port = freePort();
    const service = await expose(peer, { type: ServiceType.REMOTE, destination: sink.port });
    await expose(peer, { type: ServiceType.LOCAL, port });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => closing.resolve());
    const attack: Attack = {
      peer,
      service,
      own: (n) => 1 + 2 * n,
      others: (n) => 2 + 2 * n,
      async beVisited() {
        stack.use(await Deno.connect({ port }));
        return (await peer.receive("open")).stream;
      },
    };
    await act(attack);
    match(await goodByeAfterBreach(peer), mentions);
    await world.unharmed();
  });
}

Deno.test("over gRPC: a peer that tells of more passages than a number holds does no harm", async () => {
  await using world = await startWorld();
  await using sink = serveTcp(echo);
  await using hostile = dialHostile(world.victim.address);
  const { peer } = hostile;
  const [inward, port] = [freePort(), freePort()];
  const dialled = await expose(peer, {
    type: ServiceType.REMOTE,
    destination: sink.port,
    port: inward,
  });
  await expose(peer, { type: ServiceType.LOCAL, destination: inward, port });
  // Only now is it of interest where a visitor leads.
  peer.send(open(1, dialled));
  await peer.receive("opened", { stream: 1 });
  using _visitor = await Deno.connect({ port });
  const visited = (await peer.receive("open")).stream;
  const visitor = "192.0.2.1:5";
  // The destination is being dialled as it turns out that the connection has passed others.
  peer.send(
    { stream: 3, body: { $case: "open", value: { serviceId: dialled, visitor, passages: 1 } } },
    {
      stream: visited,
      body: { $case: "opened", value: { local: visitor, passages: 2 ** 32 - 1 } },
    },
  );
  const { body } = await peer.receive("opened", { stream: 3 });
  ok(body?.$case === "opened" && body.value.passages === MAX_PASSAGES + 1);
  peer.send(finish(99));
  await goodByeAfterBreach(peer);
  await world.unharmed();
});

Deno.test("over gRPC: who is told of a loop is not told which services others have", async () => {
  await using world = await startWorld();
  await using hostile = dialHostile(world.victim.address);
  const { peer } = hostile;
  const serviceId = await expose(peer, { type: ServiceType.REMOTE });
  const visitor = "192.0.2.1:5";
  peer.send({ stream: 1, body: { $case: "open", value: { serviceId, visitor, passages: 17 } } });
  const { body } = await peer.receive("reset", { stream: 1 });
  ok(body?.$case === "reset");
  strictEqual(body.value.reason, "a loop: the connection has passed 16 services");
});

Deno.test("over gRPC: an offer that is none is refused with INVALID_ARGUMENT, and the value in words", async () => {
  await using world = await startWorld();
  const { limits } = GREETING;
  for (
    const [greeting, mentions] of [
      [{ version: "zero", limits }, /"zero"/],
      [{ version: "NaN", limits }, /"NaN"/],
      [{ version: "-1", limits }, /"-1"/],
      [{ version: "1", limits: "streams=none" }, /"streams" is "none"/],
      [{ version: "1", limits, features: "x,".repeat(1_000) }, /features are 2000 characters long/],
      [{ version: "2", limits, features: "x".repeat(2_000) }, /features are 2000 characters long/],
    ] as const
  ) {
    await using hostile = dialHostile(world.victim.address, { greeting });
    const end = await soon(hostile.peer.link.closed, "the call has ended");
    strictEqual(end?.code, "invalid_argument");
    match(end.message, mentions);
  }
  await world.unharmed();
});

Deno.test("over gRPC: an offer of a later version is answered with ours", async () => {
  await using world = await startWorld();
  await using hostile = dialHostile(world.victim.address, {
    greeting: { ...GREETING, version: "7" },
  });
  deepStrictEqual(await hostile.peer.link.hello, hello(ATTACKED_LIMITS));
  await hostile.peer.receive("ping");
  await world.unharmed();
});

Deno.test("over gRPC: an acceptor that answers what was not offered is given up with the reason", async () => {
  await using world = await startWorld();
  for (
    const [answer, mentions] of [
      [{ ...GREETING, version: "0" }, /version "0"/],
      [{ ...GREETING, version: "2" }, /version "2"/],
      [{ ...GREETING, limits: "" }, /"streams"/],
    ] as const
  ) {
    await using acceptor = await startAnsweringAcceptor({
      "connector-protocol": answer.version,
      "connector-limits": answer.limits,
    });
    const id = await exposeTo(world.victim, acceptor.address);
    await until(
      () => mentions.test(reportOf(world.victim, id)?.message ?? ""),
      `the service says why: ${mentions}`,
    );
    strictEqual(reportOf(world.victim, id)?.status, "pending");
    await world.victim.connector.destroy(id);
  }
  await world.unharmed();
});

Deno.test("over gRPC: an acceptor that breaks the protocol is told, and dialled again", async () => {
  await using world = await startWorld();
  await using acceptor = await listenForLinks({ answer: GREETING });
  const id = await exposeTo(world.victim, acceptor.address);
  const first = new HostilePeer(await acceptor.next());
  await first.receive("ping");
  first.sendRaw(new Uint8Array([0xa2, 0x01, 0x00]));
  match(await goodByeAfterBreach(first), /empty batch/);
  const message = () => reportOf(world.victim, id)?.message ?? "";
  await until(() => /empty batch/.test(message()), "the service says why");
  const second = new HostilePeer(await acceptor.next());
  await second.receive("ping");
  await world.victim.connector.destroy(id);
  await world.unharmed();
});

function exposeTo({ connector }: TestConnector, address: string): Promise<string> {
  return connector.expose({
    name: "outward",
    sourcePort: freePort(),
    remoteConnectorAddr: address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
}
