// A reference peer that dials us: it exposes its services on our connector.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { status } from "@grpc/grpc-js";
import {
  type OpenData,
  type Service,
  ServiceStatus,
  ServiceType,
} from "../../proto/gen/connector.ts";
import { pick, referenceAccepts, sameMessage } from "../fixtures/reference_traffic/recorded.ts";
import { dialAsReference } from "../support/reference_link.ts";
import { bytesOf, type ReferenceSession } from "../support/reference_peer.ts";
import { exchange, freePorts, readExactly, testRole } from "../support/reference_scenarios.ts";
import { closedCounts, startReferenceTunnel } from "../support/reference_tunnel.ts";
import {
  echo,
  freePort,
  readAll,
  serveTcp,
  startConnector,
  until,
  writeAll,
} from "../support/world.ts";

testRole({ dials: "peer", listens: "ours" });
testRole({ dials: "peer", listens: "peer" });

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (from: string) => new TextEncoder().encode(from);
const data = (from: string): OpenData["message"] => ({
  $case: "data",
  value: { id: 0, data: bytes(from) },
});
const CLOSED: OpenData["message"] = { $case: "closed", value: {} };
const PING: OpenData["message"] = { $case: "ping", value: {} };

/** Whether nothing listens on a port. */
function refuses(port: number): Promise<boolean> {
  return Deno.connect({ port }).then((conn) => {
    conn.close();
    return false;
  }, () => true);
}

Deno.test("`closed` of a reference egress ends its bytes only", async () => {
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "ours",
    destination: 1,
    passive: true,
  });
  const { session, serviceId } = tunnel;
  const visitor = await Deno.connect({ port: tunnel.port });
  const { connectionId: conn } = await session.receive("data");
  await session.send(data("answer"), { service: serviceId, conn });
  await session.send(CLOSED, { service: serviceId, conn });
  strictEqual(text(await readAll(visitor)), "answer");
  await writeAll(visitor, bytes("still heard"));
  await until(() => text(session.receivedBytes(conn)) === "still heard", "the rest was sent");
  strictEqual(session.received("closed").length, 0);
  visitor.close();
  await session.receive("closed", { conn });
  deepStrictEqual([...closedCounts(session)], [[conn, 1]]);
});

Deno.test("`closed` of a reference ingress ends its bytes only", async () => {
  await using server = serveTcp(async (conn) => {
    await writeAll(conn, bytes(`heard ${text(await readAll(conn))}`));
  });
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "peer",
    destination: server.port,
    passive: true,
  });
  const { session, serviceId } = tunnel;
  await session.send(data("request"), { service: serviceId, conn: "c" });
  await session.send(CLOSED, { service: serviceId, conn: "c" });
  await session.receive("closed");
  strictEqual(text(session.receivedBytes("c")), "heard request");
  deepStrictEqual([...closedCounts(session)], [["c", 1]]);
});

Deno.test("late data of an ended connection does not dial again", async () => {
  let accepted = 0;
  await using server = serveTcp(async (conn) => {
    accepted += 1;
    await conn.read(new Uint8Array(1));
    await writeAll(conn, bytes("bye"));
  });
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "peer",
    destination: server.port,
    passive: true,
  });
  const { session, serviceId } = tunnel;
  await session.send(data("x"), { service: serviceId, conn: "first" });
  await session.receive("closed", { conn: "first" });
  for (let count = 0; count < 20; count += 1) {
    await session.send(data("late"), { service: serviceId, conn: "first" });
  }
  await session.send(data("x"), { service: serviceId, conn: "second" });
  await session.receive("closed", { conn: "second" });
  strictEqual(accepted, 2);
  deepStrictEqual([...closedCounts(session)], [["first", 1], ["second", 1]]);
});

Deno.test("late data of a refused connection does not dial again", async () => {
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "peer",
    destination: 1,
    passive: true,
  });
  const { session, serviceId } = tunnel;
  await session.send(data("x"), { service: serviceId, conn: "first" });
  await session.receive("closed", { conn: "first" });
  await session.send(data("late"), { service: serviceId, conn: "first" });
  await session.send(data("x"), { service: serviceId, conn: "second" });
  await session.receive("closed", { conn: "second" });
  deepStrictEqual([...closedCounts(session)], [["first", 1], ["second", 1]]);
});

Deno.test("data for a service that we do not connect to is answered with `closed`", async () => {
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "ours",
    destination: 1,
    passive: true,
  });
  const { session, serviceId } = tunnel;
  await session.send(data("x"), { service: "nobody knows it", conn: "a" });
  await session.receive("closed", { conn: "a" });
  await session.send(data("x"), { service: serviceId, conn: "b" });
  await session.receive("closed", { conn: "b" });
  deepStrictEqual([...closedCounts(session)], [["a", 1], ["b", 1]]);
});

Deno.test("a busy port is answered with ERROR and a message that names it", async () => {
  using busy = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address);
  const sourcePort = busy.addr.port;
  const answer = await peer.session.expose({ type: ServiceType.LOCAL, sourcePort });
  strictEqual(answer.status, ServiceStatus.ERROR);
  strictEqual(answer.message, `Cannot listen on port ${sourcePort}: the port is already in use`);
  deepStrictEqual(ours.connector.list(), []);
});

const HOSTILE: [string, Partial<Service>, RegExp][] = [
  ["port 0", { sourcePort: 0 }, /^source_port: 0 /],
  ["port 70000", { sourcePort: 70_000 }, /^source_port: 70000 /],
  ["a negative port", { sourcePort: -9090 }, /^source_port: -9090 /],
  [
    "a destination without a port",
    { destinationAddr: "127.0.0.1" },
    /^destination_addr: "127\.0\.0\.1" /,
  ],
  ["no destination", { destinationAddr: "" }, /^destination_addr: /],
  ["a name of 10,000 characters", { name: "n".repeat(10_000) }, /^name: want 1 to 255/],
  ["no name", { name: "" }, /^name: want 1 to 255/],
  ["an unknown type", { type: 9 as 0 }, /^type: 9 is neither/], // Any number can be sent.
];

Deno.test("hostile exposes are answered with ERROR that names the field, and nothing else changes", async () => {
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address, { passive: true });
  for (const type of [ServiceType.LOCAL, ServiceType.REMOTE]) {
    for (const [what, change, expected] of HOSTILE) {
      const service = { type, sourcePort: freePort(), ...change };
      const answer = await exposeByHand(peer.session, service);
      strictEqual(answer.status, ServiceStatus.ERROR, what);
      match(answer.message, expected, what);
    }
  }
  await peer.session.send({ $case: "expose", value: { service: undefined } }, { service: "s" });
  await until(() => peer.session.received("statusUpdate").at(-1)?.serviceId === "s", "an answer");
  const last = peer.session.received("statusUpdate").at(-1)?.message;
  deepStrictEqual(last, {
    $case: "statusUpdate",
    value: { status: ServiceStatus.ERROR, message: "service: it is missing", code: 3 },
  });
  deepStrictEqual(ours.connector.list(), []);
  const good = await exposeByHand(peer.session, { sourcePort: freePort() });
  strictEqual(good.status, ServiceStatus.COMPLETE);
});

function exposed(service: Partial<Service>): Service {
  return {
    id: crypto.randomUUID(),
    name: "test",
    remoteConnectorAddr: "",
    destinationAddr: "127.0.0.1:1",
    sourcePort: 1,
    type: ServiceType.LOCAL,
    status: ServiceStatus.PENDING,
    ...service,
  };
}

/** Exposes without listening here, whatever the service says. */
async function exposeByHand(
  session: ReferenceSession,
  service: Partial<Service>,
): Promise<{ status: ServiceStatus; message: string }> {
  const count = session.received("statusUpdate").length;
  const whole = exposed(service);
  await session.send({ $case: "expose", value: { service: whole } }, { service: whole.id });
  const { message } = await session.receive("statusUpdate", { count: count + 1 });
  if (message?.$case !== "statusUpdate") throw new TypeError("it was asked for by its kind");
  return message.value;
}

Deno.test("an id that differs from service_id does not count", async () => {
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address);
  const answer = await peer.session.expose({ id: "another", sourcePort: freePort() }, {
    id: "this",
  });
  strictEqual(answer.status, ServiceStatus.COMPLETE);
  deepStrictEqual(ours.connector.list().map(({ id }) => id), ["this"]);
});

Deno.test("an id that cannot be one is refused", async () => {
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address);
  const id = "i".repeat(10_000);
  const answer = await peer.session.expose({ sourcePort: freePort() }, { id });
  strictEqual(answer.status, ServiceStatus.ERROR);
  strictEqual(answer.message, "id: want 1 to 128 characters");
});

Deno.test("the same expose again is COMPLETE, and open connections live on", async () => {
  await using server = serveTcp(echo);
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "ours",
    destination: server.port,
  });
  const { session, serviceId, ours, port } = tunnel;
  using conn = await Deno.connect({ port });
  await exchange(conn, "before");
  const again = await session.expose({
    id: serviceId,
    sourcePort: port,
    destinationAddr: `127.0.0.1:${server.port}`,
  });
  strictEqual(again.status, ServiceStatus.COMPLETE);
  strictEqual(ours.connector.list().length, 1);
  await exchange(conn, "after");
  using another = await Deno.connect({ port });
  await exchange(another, "another");
});

Deno.test("destroy closes the port and the connections of its service, and only those", async () => {
  await using server = serveTcp(echo);
  await using tunnel = await startReferenceTunnel({
    dials: "peer",
    listens: "ours",
    destination: server.port,
  });
  const { session, ours } = tunnel;
  const destinationAddr = `127.0.0.1:${server.port}`;
  const other = { sourcePort: freePort(), destinationAddr };
  const { id: otherId } = await session.expose(other);
  using conn = await Deno.connect({ port: tunnel.port });
  using otherConn = await Deno.connect({ port: other.sourcePort });
  await exchange(conn, "before");
  await exchange(otherConn, "before");
  await session.destroy(tunnel.serviceId);
  await until(() => refuses(tunnel.port), "the port refuses");
  strictEqual(await conn.read(new Uint8Array(1)).catch(() => null), null);
  deepStrictEqual(ours.connector.list().map(({ id }) => id), [otherId]);
  await exchange(otherConn, "after");
});

Deno.test("many services share one link, each with its own destination", async () => {
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address);
  await using stack = new AsyncDisposableStack();
  const servers = Array.from({ length: 20 }, (_, index) =>
    stack.use(serveTcp(async (conn) => {
      await writeAll(conn, bytes(`service ${index}`));
      await readAll(conn);
    })));
  // Chosen only now: a server that asks for any free port could be given one of these.
  const ports = freePorts(servers.length);
  await Promise.all(servers.map(async (server, index) => {
    const type = index % 2 === 0 ? ServiceType.LOCAL : ServiceType.REMOTE;
    const answer = await peer.session.expose({
      type,
      sourcePort: ports[index] ?? 0,
      destinationAddr: `127.0.0.1:${server.port}`,
    });
    strictEqual(answer.status, ServiceStatus.COMPLETE);
  }));
  await Promise.all(ports.map(async (port, index) => {
    using conn = await Deno.connect({ port });
    await writeAll(conn, new Uint8Array(1));
    const expected = `service ${index}`;
    strictEqual(text(await readExactly(conn, expected.length)), expected);
  }));
});

Deno.test("a link has a bounded number of services", async () => {
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address, { passive: true });
  const service = exposed({ type: ServiceType.REMOTE });
  for (let count = 0; count <= 2000; count += 1) {
    peer.session.send({ $case: "expose", value: { service } }, { service: `service ${count}` });
  }
  const last = await peer.session.receive("statusUpdate", { count: 2001 });
  deepStrictEqual(last.message, {
    $case: "statusUpdate",
    value: { status: ServiceStatus.ERROR, message: "The link has 2000 services already", code: 8 },
  });
  strictEqual(ours.connector.list().length, 2000);
});

const GARBAGE: [string, Uint8Array][] = [
  ["bytes that are no message", new Uint8Array(64).fill(0xff)],
  ["a message that is cut off", Uint8Array.of(0x0a, 0x24, 0x31)],
  ["groups within groups", new Uint8Array(100_000).fill(0x6b)],
];

for (const [what, garbage] of GARBAGE) {
  Deno.test(`garbage ends its own session with a status: ${what}`, async () => {
    await using server = serveTcp(echo);
    await using tunnel = await startReferenceTunnel({
      dials: "peer",
      listens: "ours",
      destination: server.port,
    });
    using conn = await Deno.connect({ port: tunnel.port });
    await exchange(conn, "before");
    await using hostile = dialAsReference(tunnel.ours.address);
    const sourcePort = freePort();
    await hostile.session.expose({ sourcePort });
    await hostile.session.sendRaw(garbage);
    const { code, details } = await hostile.session.ended;
    strictEqual(code, status.INTERNAL);
    match(details, /^The peer broke the protocol: Cannot read a message of the peer: /);
    await until(() => refuses(sourcePort), "its service is gone");
    await exchange(conn, "after");
  });
}

Deno.test("a message above the limit ends its own session with a status", async () => {
  await using ours = await startConnector();
  await using hostile = dialAsReference(ours.address);
  await hostile.session.sendRaw(new Uint8Array(4 * 1024 * 1024 + 1));
  strictEqual((await hostile.session.ended).code, status.RESOURCE_EXHAUSTED);
});

Deno.test("a peer that ends its link in order is answered in order, and leaves nothing", async () => {
  await using ours = await startConnector({ graceMs: 100 });
  await using peer = dialAsReference(ours.address);
  const sourcePort = freePort();
  await peer.session.expose({ sourcePort });
  peer.session.end();
  deepStrictEqual(await peer.session.ended, { code: status.OK, details: "OK" });
  await until(() => ours.connector.list().length === 0, "nothing is listed");
  strictEqual(await refuses(sourcePort), true);
});

Deno.test("a peer whose link is lost leaves nothing", async () => {
  await using ours = await startConnector({ graceMs: 100 });
  const sourcePort = freePort();
  {
    await using peer = dialAsReference(ours.address);
    await peer.session.expose({ sourcePort });
  }
  await until(() => ours.connector.list().length === 0, "nothing is listed");
  strictEqual(await refuses(sourcePort), true);
});

Deno.test("played what the reference was sent, we answer what it answered", async () => {
  const answer = bytesOf(
    pick(referenceAccepts, { from: "reference", kind: "data", nth: 1 }).message,
  );
  const request = pick(referenceAccepts, { from: "peer", kind: "data", nth: 1 }).message;
  await using server = serveTcp(async (conn) => {
    strictEqual(text(await readExactly(conn, bytesOf(request).length)), text(bytesOf(request)));
    await writeAll(conn, answer);
  });
  using busy = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  await using ours = await startConnector();
  await using peer = dialAsReference(ours.address, { passive: true });
  const { session } = peer;

  // The recorded ports are those of another machine; all else is sent as it was.
  const port = freePort();
  const expose = (nth: number, change: Partial<Service>) => {
    const { serviceId, message } =
      pick(referenceAccepts, { from: "peer", kind: "expose", nth }).message;
    if (message?.$case !== "expose" || !message.value.service) throw new TypeError("no expose");
    const service = { ...message.value.service, ...change };
    return session.send({ $case: "expose", value: { service } }, { service: serviceId });
  };
  const recordedStatus = (nth: number) =>
    pick(referenceAccepts, { from: "reference", kind: "statusUpdate", nth }).message;

  await expose(0, { sourcePort: port });
  sameMessage(await session.receive("statusUpdate"), recordedStatus(0));

  // A visitor that half-closes: ours announces it at once, and keeps `closed` back while the answer may come.
  const hello = pick(referenceAccepts, { from: "reference", kind: "data" }).message;
  const reply = pick(referenceAccepts, { from: "peer", kind: "data" }).message;
  using visitor = await Deno.connect({ port });
  const { connectionId: conn, serviceId: service } = await session.receive("data");
  strictEqual(service, hello.serviceId);
  await writeAll(visitor, bytesOf(hello));
  await visitor.closeWrite();
  sameMessage(await session.receive("data", { count: 2 }), { ...hello, connectionId: conn });
  await session.send(reply.message, { service, conn });
  strictEqual(text(await readExactly(visitor, 5)), "reply");
  const closed = pick(referenceAccepts, { from: "reference", kind: "closed" }).message;
  sameMessage(await session.receive("closed"), { ...closed, connectionId: conn });

  await expose(1, { destinationAddr: `127.0.0.1:${server.port}` });
  sameMessage(await session.receive("statusUpdate", { count: 2 }), recordedStatus(1));
  const { serviceId, connectionId } = request;
  await session.send(request.message, { service: serviceId, conn: connectionId });
  sameMessage(
    await session.receive("closed", { conn: connectionId }),
    pick(referenceAccepts, { from: "reference", kind: "closed", nth: 1 }).message,
  );
  strictEqual(text(session.receivedBytes(connectionId)), text(answer));

  const destroy = pick(referenceAccepts, { from: "peer", kind: "destroy" }).message;
  await session.send(destroy.message, { service: destroy.serviceId });
  await until(() => ours.connector.list().length === 1, "the destroyed service is gone");
  strictEqual(await refuses(port), true);

  await expose(2, { sourcePort: busy.addr.port });
  const refused = await session.receive("statusUpdate", { count: 3 });
  const recorded = recordedStatus(2);
  strictEqual(refused.serviceId, recorded.serviceId);
  if (refused.message?.$case !== "statusUpdate" || recorded.message?.$case !== "statusUpdate") {
    throw new TypeError("no status");
  }
  strictEqual(refused.message.value.status, recorded.message.value.status);
  // The words are our own, and name the port as the reference's do.
  match(refused.message.value.message, new RegExp(`${busy.addr.port}.*already in use`));

  // Nothing beyond what was compared: the ping and the destroy have no answers.
  await session.send(PING);
  deepStrictEqual(
    session.received().map(({ message }) => message?.$case),
    ["statusUpdate", "data", "data", "closed", "statusUpdate", "data", "closed", "statusUpdate"],
  );
});
