// A reference peer that we dial: our connector exposes its services on it.

import { deepStrictEqual, match, rejects, strictEqual } from "node:assert/strict";
import {
  type OpenData,
  type Service,
  ServiceStatus as StatusMessage,
} from "../../proto/gen/connector.ts";
import type { ServiceRequest, ServiceStatus } from "../../src/model/service.ts";
import { pick, referenceDials, sameMessage } from "../fixtures/reference_traffic/recorded.ts";
import { type ReferenceAcceptor, startReferenceAcceptor } from "../support/reference_link.ts";
import { bytesOf } from "../support/reference_peer.ts";
import { exchange, freePorts, readExactly, testRole } from "../support/reference_scenarios.ts";
import {
  echo,
  freePort,
  reportOf,
  serveTcp,
  startConnector,
  type TestConnector,
  until,
  writeAll,
} from "../support/world.ts";

testRole({ dials: "ours", listens: "ours" });
testRole({ dials: "ours", listens: "peer" });

const COMPLETE: OpenData["message"] = {
  $case: "statusUpdate",
  value: { status: StatusMessage.COMPLETE, message: "", code: 0 },
};

/** Exposes a service to a peer. */
function expose(
  { connector }: TestConnector,
  peer: Pick<ReferenceAcceptor, "address">,
  change: Partial<ServiceRequest> = {},
): Promise<string> {
  return connector.expose({
    name: "test",
    sourcePort: freePort(),
    remoteConnectorAddr: peer.address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
    ...change,
  });
}

async function untilStatus(ours: TestConnector, id: string, wanted: ServiceStatus): Promise<void> {
  await until(() => {
    const report = reportOf(ours, id);
    // Nothing leads out of an error but what a test does itself: say why instead of waiting.
    if (report?.status === "error" && wanted === "complete") throw new Error(report.message);
    return report?.status === wanted;
  }, `the service is ${wanted}`);
}

Deno.test("ping is sent once, first, and the exposes follow without waiting for an answer", async () => {
  await using peer = await startReferenceAcceptor({ passive: true });
  await using ours = await startConnector();
  const ids = [await expose(ours, peer), await expose(ours, peer, { type: "remote" })];
  const session = await peer.session();
  // The peer has sent nothing yet, not even its response headers.
  await session.receive("expose", { count: 2 });
  deepStrictEqual(session.received().map(({ serviceId, message }) => [message?.$case, serviceId]), [
    ["ping", ""],
    ["expose", ids[0]],
    ["expose", ids[1]],
  ]);
  deepStrictEqual(ours.connector.list().map(({ status }) => status), ["pending", "pending"]);
  await session.send(COMPLETE, { service: ids[0] ?? "" });
  await untilStatus(ours, ids[0] ?? "", "complete");
  strictEqual(reportOf(ours, ids[1] ?? "")?.status, "pending");
  strictEqual(session.received("ping").length, 1);
});

Deno.test("there is one link for each distinct text of an address", async () => {
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  const texts = [peer.address, `localhost:${peer.port}`, peer.address, `localhost:${peer.port}`];
  const ids: string[] = [];
  for (const address of texts) ids.push(await expose(ours, { address }));
  for (const id of ids) await untilStatus(ours, id, "complete");
  strictEqual(peer.sessions.length, 2);
  const exposed = peer.sessions.map((session) =>
    session.received("expose").map(({ serviceId }) => serviceId).sort()
  );
  deepStrictEqual(exposed.sort(), [[ids[0], ids[2]].sort(), [ids[1], ids[3]].sort()].sort());
});

Deno.test("many services share one link, each with its own destination", async () => {
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  await using stack = new AsyncDisposableStack();
  const servers = Array.from({ length: 20 }, (_, index) =>
    stack.use(serveTcp(async (conn) => {
      await conn.read(new Uint8Array(1));
      await writeAll(conn, Uint8Array.of(index));
    })));
  // Chosen only now: a server that asks for any free port could be given one of these.
  const ports = freePorts(servers.length);
  await Promise.all(servers.map(async (server, index) => {
    const id = await expose(ours, peer, {
      name: `service ${index}`,
      sourcePort: ports[index] ?? 0,
      destinationAddr: `127.0.0.1:${server.port}`,
      type: index % 2 === 0 ? "local" : "remote",
    });
    await untilStatus(ours, id, "complete");
  }));
  await Promise.all(ports.map(async (port, index) => {
    using conn = await Deno.connect({ port });
    await writeAll(conn, new Uint8Array(1));
    deepStrictEqual(await readExactly(conn, 1), Uint8Array.of(index));
  }));
  strictEqual(peer.sessions.length, 1);
});

Deno.test("after a restart of the peer everything is exposed again, and visitors are carried", async () => {
  await using server = serveTcp(echo);
  await using ours = await startConnector();
  const destinationAddr = `127.0.0.1:${server.port}`;
  const ports = { local: freePort(), remote: freePort() };
  const ids: string[] = [];
  let address: { port: number; address: string };
  {
    await using peer = await startReferenceAcceptor();
    address = { port: peer.port, address: peer.address };
    for (const type of ["local", "remote"] as const) {
      ids.push(await expose(ours, peer, { type, destinationAddr, sourcePort: ports[type] }));
    }
    for (const id of ids) await untilStatus(ours, id, "complete");
  }
  for (const id of ids) await untilStatus(ours, id, "pending");
  for (const { message } of ours.connector.list()) match(message ?? "", /^no link to the peer: /);
  await using peer = await startReferenceAcceptor({ port: address.port });
  for (const id of ids) await untilStatus(ours, id, "complete");
  const session = await peer.session();
  deepStrictEqual(session.received("ping").length, 1);
  strictEqual(session.received("expose").length, ids.length);
  deepStrictEqual(ours.connector.list().map(({ id }) => id), ids);
  for (const port of Object.values(ports)) {
    using conn = await Deno.connect({ port });
    await exchange(conn, "after the restart");
  }
});

Deno.test("a service exposed before the peer is there completes when it comes", async () => {
  await using ours = await startConnector();
  const port = freePort();
  const id = await expose(ours, { address: `127.0.0.1:${port}` });
  await until(() => reportOf(ours, id)?.message !== undefined, "the first try has failed");
  match(reportOf(ours, id)?.message ?? "", /^no link to the peer: .*refused/i);
  await using peer = await startReferenceAcceptor({ port });
  await untilStatus(ours, id, "complete");
  strictEqual(peer.sessions.length, 1);
});

Deno.test("a port that is busy at the peer is an error with the peer's own words", async () => {
  using busy = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  const id = await expose(ours, peer, { sourcePort: busy.addr.port });
  await untilStatus(ours, id, "error");
  match(reportOf(ours, id)?.message ?? "", /AddrInUse/);
});

Deno.test("destroy is sent once for its service, and the link ends with the last", async () => {
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  const ids = [await expose(ours, peer), await expose(ours, peer)];
  for (const id of ids) await untilStatus(ours, id, "complete");
  const session = await peer.session();
  const [first = "", second = ""] = ids;
  await ours.connector.destroy(first);
  const sent = await session.receive("destroy");
  deepStrictEqual(sent, {
    serviceId: first,
    connectionId: "",
    message: { $case: "destroy", value: { id: first } },
  });
  deepStrictEqual(ours.connector.list().map(({ id }) => id), [second]);
  await ours.connector.destroy(second);
  await session.ended;
  deepStrictEqual(session.received("destroy").map(({ serviceId }) => serviceId), ids);
  await rejects(ours.connector.destroy(first), { code: "not_found" });
});

Deno.test("a service that the peer destroys is listed no more, and its port is free", async () => {
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  const sourcePort = freePort();
  const id = await expose(ours, peer, { type: "remote", sourcePort });
  const kept = await expose(ours, peer);
  for (const each of [id, kept]) await untilStatus(ours, each, "complete");
  await (await peer.session()).destroy(id);
  await until(() => reportOf(ours, id) === undefined, "it is gone");
  deepStrictEqual(ours.connector.list().map((report) => report.id), [kept]);
  Deno.listen({ port: sourcePort }).close();
});

Deno.test("an acceptor that exposes is told that it cannot", async () => {
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  await untilStatus(ours, await expose(ours, peer), "complete");
  const session = await peer.session();
  const answer = await session.expose({ sourcePort: freePort() });
  strictEqual(answer.status, StatusMessage.ERROR);
  strictEqual(answer.message, "only the connector that opened the link can expose over it");
});

Deno.test("a status for a service that nobody exposed changes nothing", async () => {
  await using peer = await startReferenceAcceptor();
  await using ours = await startConnector();
  const id = await expose(ours, peer);
  await untilStatus(ours, id, "complete");
  const session = await peer.session();
  const value = { status: StatusMessage.ERROR, message: "hostile", code: 0 };
  await session.send({ $case: "statusUpdate", value }, { service: "another" });
  // In order: when the second has its effect, the first had its chance.
  const own = { status: StatusMessage.ERROR, message: "own", code: 0 };
  await session.send({ $case: "statusUpdate", value: own }, { service: id });
  await untilStatus(ours, id, "error");
  deepStrictEqual(ours.connector.list().map(({ message }) => message), ["own"]);
});

Deno.test("garbage of the peer ends its link, says why, and a new link is opened", async () => {
  await using peer = await startReferenceAcceptor();
  await using healthy = await startReferenceAcceptor();
  await using ours = await startConnector();
  const id = await expose(ours, peer);
  const other = await expose(ours, healthy);
  await untilStatus(ours, id, "complete");
  await untilStatus(ours, other, "complete");
  const reasons = new Set<string | undefined>();
  await (await peer.session()).sendRaw(new Uint8Array(64).fill(0xff));
  await until(() => {
    reasons.add(reportOf(ours, id)?.message);
    return peer.sessions.length === 2 && reportOf(ours, id)?.status === "complete";
  }, "the service is complete over a second link");
  match([...reasons].join("\n"), /no link to the peer: The peer broke the protocol: /);
  strictEqual(healthy.sessions.length, 1);
  strictEqual(reportOf(ours, other)?.status, "complete");
});

Deno.test("played what the reference was sent, we send what it sent", async () => {
  const recorded = (nth: number) => pick(referenceDials, { from: "reference", kind: "data", nth });
  const request = pick(referenceDials, { from: "peer", kind: "data" }).message;
  await using server = serveTcp(async (conn) => {
    deepStrictEqual(await readExactly(conn, bytesOf(request).length), bytesOf(request));
    await writeAll(conn, bytesOf(recorded(0).message));
  });
  await using peer = await startReferenceAcceptor({ passive: true });
  await using ours = await startConnector();
  const original = serviceOf(pick(referenceDials, { from: "reference", kind: "expose" }).message);
  const { connector } = ours;
  const service = await connector.expose({
    name: original.name,
    sourcePort: original.sourcePort,
    remoteConnectorAddr: peer.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  const session = await peer.session();

  // Ids and addresses are of this run; with those of the recording the messages are the same bytes.
  const own = (message: OpenData) => ({ ...message, serviceId: original.id });
  const exposed = await session.receive("expose");
  sameMessage(
    session.received("ping")[0] ?? exposed,
    pick(referenceDials, { from: "reference", kind: "ping" }).message,
  );
  const { remoteConnectorAddr, destinationAddr, id } = original;
  const asRecorded = { ...serviceOf(exposed), remoteConnectorAddr, destinationAddr, id };
  strictEqual(serviceOf(exposed).id, service);
  sameMessage(
    own({ ...exposed, message: { $case: "expose", value: { service: asRecorded } } }),
    pick(referenceDials, { from: "reference", kind: "expose" }).message,
  );

  for (const kind of ["statusUpdate", "newConnection", "data"] as const) {
    const { message, connectionId } = pick(referenceDials, { from: "peer", kind }).message;
    await session.send(message, { service, conn: connectionId });
  }
  const answered = await session.receive("closed");
  sameMessage(own(answered), pick(referenceDials, { from: "reference", kind: "closed" }).message);
  sameMessage(own(await session.receive("data")), recorded(0).message);

  const { message, connectionId } = pick(referenceDials, { from: "peer", kind: "closed" }).message;
  await session.send(message, { service, conn: connectionId });
  await connector.destroy(service);
  await session.ended;
  deepStrictEqual(
    session.received().map((received) => received.message?.$case),
    ["ping", "expose", "data", "closed", "destroy"],
  );
});

function serviceOf({ message }: OpenData): Service {
  if (message?.$case !== "expose" || !message.value.service) throw new TypeError("no expose");
  return message.value.service;
}
