// Whose service is whose over real links: what hostile peers may do with the services of others and of the connector itself,
// what a hostile connector that was dialled may do with those exposed elsewhere, and what a proof is good for.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { ChannelCredentials, Client, Metadata, status } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import {
  OpenData,
  RemoteConnectionService,
  type Service as ServiceMessage,
  ServiceStatus,
  ServiceType,
} from "../../proto/gen/connector.ts";
import { parseAddress } from "../../src/model/address.ts";
import { InstanceSecret } from "../../src/instance_secret.ts";
import type { Service } from "../../src/model/service.ts";
import { dialHostile } from "../support/attacked_connector.ts";
import type { HostilePeer } from "../support/hostile_peer.ts";
import { makePki, pemOf } from "../support/mtls.ts";
import { startReferenceAcceptor } from "../support/reference_link.ts";
import {
  echo,
  freePort,
  refuses,
  reportOf,
  serveTcp,
  settle,
  startConnector,
  startPair,
  type TestConnector,
  until,
} from "../support/world.ts";

function message(part: Partial<ServiceMessage> & { id: string }): ServiceMessage {
  return {
    name: "hostile",
    remoteConnectorAddr: "victim:9090",
    destinationAddr: "127.0.0.1:1",
    sourcePort: freePort(),
    type: ServiceType.LOCAL,
    status: ServiceStatus.PENDING,
    ...part,
  };
}

/** Exposes a service over a hostile link, and resolves with what was answered: `complete`, or the reason. */
async function ask(peer: HostilePeer, service: ServiceMessage): Promise<string> {
  const before = peer.control.length;
  peer.sendControl({ $case: "expose", value: { service } }, { service: service.id });
  const answer = () =>
    peer.control.slice(before).find(({ serviceId, message }) =>
      serviceId === service.id && message?.$case === "statusUpdate"
    )?.message;
  await until(() => answer() !== undefined, "it is answered");
  const found = answer();
  if (found?.$case !== "statusUpdate") throw new TypeError("it was there a moment ago");
  return found.value.status === ServiceStatus.COMPLETE ? "complete" : found.value.message;
}

async function exposeLocal(from: TestConnector, to: string, destination = 1): Promise<Service> {
  const id = await from.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: `127.0.0.1:${destination}`,
    type: "local",
  });
  await until(() => reportOf(from, id)?.status === "complete", "it is complete");
  const report = reportOf(from, id);
  if (report === undefined) throw new TypeError("it was there a moment ago");
  return report;
}

Deno.test("over plaintext a peer that proves nothing neither takes nor removes another's service, on one host", async () => {
  await using pair = await startPair();
  const { id, sourcePort } = await exposeLocal(pair.local, pair.remote.address);
  await using hostile = dialHostile(pair.remote.address);
  match(await ask(hostile.peer, message({ id })), /belongs to another service$/);
  match(
    await ask(hostile.peer, message({ id, sourcePort, name: "web" })),
    /belongs to another service$/,
  );
  match(
    await ask(hostile.peer, message({ id: crypto.randomUUID(), sourcePort })),
    /the port is in use by another service$/,
  );
  hostile.peer.sendControl({ $case: "destroy", value: { id } }, { service: id });
  // What is asked afterwards is answered afterwards.
  strictEqual(await ask(hostile.peer, message({ id: crypto.randomUUID() })), "complete");
  strictEqual(reportOf(pair.remote, id)?.status, "complete");
  strictEqual(reportOf(pair.local, id)?.status, "complete");
});

Deno.test("peers that prove nothing take over and remove what was exposed without a proof, from their host", async () => {
  await using ours = await startConnector();
  await using one = dialHostile(ours.address);
  await using other = dialHostile(ours.address);
  const service = message({ id: crypto.randomUUID() });
  strictEqual(await ask(one.peer, service), "complete");
  strictEqual(await ask(other.peer, service), "complete");
  one.peer.sendControl({ $case: "destroy", value: { id: service.id } }, { service: service.id });
  await until(() => ours.connector.list().length === 0, "it is gone");
});

Deno.test("the id of a service of ours is refused to peers, and removing it removes ours", async () => {
  await using pair = await startPair();
  const ours = await exposeLocal(pair.local, pair.remote.address);
  await using hostile = dialHostile(pair.local.address);
  match(await ask(hostile.peer, message({ id: ours.id })), /belongs to another service$/);
  hostile.peer.sendControl({ $case: "destroy", value: { id: ours.id } }, { service: ours.id });
  const theirs = message({ id: crypto.randomUUID() });
  strictEqual(await ask(hostile.peer, theirs), "complete");
  strictEqual(reportOf(pair.local, ours.id)?.name, "web");
  await pair.local.connector.destroy(ours.id);
  deepStrictEqual(pair.local.connector.list().map(({ id }) => id), [theirs.id]);
});

for (
  const [host, bind] of [["127.0.0.1", "127.0.0.1:0"], ["127.0.0.1", ":0"], ["localhost", ":0"]]
) {
  for (const secured of [false, true]) {
    const how = `as ${host}, listening on ${bind}, ${
      secured ? "with certificates" : "in plaintext"
    }`;
    Deno.test(`a connector may expose to itself, and removes what it has: ${how}`, async () => {
      const pki = secured ? await makePki() : undefined;
      await using server = serveTcp(echo);
      await using ours = await startConnector({
        ...(bind && { bind }),
        ...(pki && { tls: pemOf(pki.root, pki.leaf) }),
      });
      const { port } = ours.server.address;
      const { id, sourcePort } = await exposeLocal(ours, `${host}:${port}`, server.port);
      // One service, one id.
      deepStrictEqual(ours.connector.list().map((each) => each.id), [id]);
      {
        using visitor = await Deno.connect({ port: sourcePort });
        await visitor.write(new Uint8Array([7]));
        const byte = new Uint8Array(1);
        await visitor.read(byte);
        strictEqual(byte[0], 7);
      }
      await ours.connector.destroy(id);
      await until(() => ours.connector.list().length === 0, "it is gone");
      await until(() => refuses(sourcePort), "its port is closed");
    });
  }
}

Deno.test("what a connector proves to an acceptor does not give that one the id of the service exposed to it", async () => {
  const instance = InstanceSecret.random();
  await using hostile = await startReferenceAcceptor({ passive: true });
  await using ours = await startConnector({ instance });
  const id = await ours.connector.expose({
    name: "web",
    sourcePort: freePort(),
    remoteConnectorAddr: hostile.address,
    destinationAddr: "127.0.0.1:1",
    type: "local",
  });
  const session = await hostile.session();
  await session.receive("expose");
  const proof = instance.proofFor(parseAddress(hostile.address));
  await using back = dialHostile(ours.address, { proof });
  match(await ask(back.peer, message({ id })), /belongs to another service$/);
  deepStrictEqual(ours.connector.list().map((each) => [each.id, each.name]), [[id, "web"]]);
  await ours.connector.destroy(id);
  deepStrictEqual(ours.connector.list(), []);
});

for (const same of [true, false]) {
  Deno.test(`an instance of ${same ? "the same" : "another"} secret ${same ? "takes" : "does not take"} a service whose link lives`, async () => {
    const instance = InstanceSecret.random();
    await using remote = await startConnector();
    await using first = await startConnector({ instance });
    const service = await exposeLocal(first, remote.address);
    await using second = await startConnector(same ? { instance } : {});
    const { id, name, type, sourcePort, remoteConnectorAddr, destinationAddr } = service;
    second.connector.restore([{
      id,
      name,
      type,
      sourcePort,
      remoteConnectorAddr,
      destinationAddr,
    }]);
    const expected = same ? "complete" : "error";
    await until(() => reportOf(second, id)?.status === expected, `it is ${expected}`);
    strictEqual(reportOf(first, id)?.status, same ? "error" : "complete");
    match(
      reportOf(same ? first : second, id)?.message ?? "",
      same ? /exposed anew/ : /belongs to another service/,
    );
  });
}

Deno.test("a connector that was dialled touches only what was exposed to it", async () => {
  const dialled: string[] = [];
  await using server = serveTcp((conn) => {
    dialled.push("a visitor");
    return echo(conn);
  });
  await using hostile = await startReferenceAcceptor({ passive: true });
  await using remote = await startConnector();
  await using ours = await startConnector();
  const good = await exposeLocal(ours, remote.address, server.port);
  const theirs = await ours.connector.expose({
    name: "theirs",
    sourcePort: freePort(),
    remoteConnectorAddr: hostile.address,
    destinationAddr: `127.0.0.1:${server.port}`,
    type: "local",
  });
  const session = await hostile.session();
  await session.receive("expose");
  const { id } = good;
  session.send({ $case: "destroy", value: { id } }, { service: id });
  const wrong = { status: ServiceStatus.ERROR, message: "hostile", code: 7 };
  session.send({ $case: "statusUpdate", value: wrong }, { service: id });
  session.send({ $case: "data", value: { id: 0, data: new Uint8Array(1) } }, {
    service: id,
    conn: "x",
  });
  session.send({ $case: "expose", value: { service: message({ id }) } }, { service: id });
  // What was sent before has been dealt with once this one is gone.
  session.send({ $case: "destroy", value: { id: theirs } }, { service: theirs });
  await until(() => reportOf(ours, theirs) === undefined, "its own is removed");
  deepStrictEqual(ours.connector.list().map(({ id, status }) => [id, status]), [[id, "complete"]]);
  deepStrictEqual(dialled, []);
  strictEqual(reportOf(remote, id)?.status, "complete");
});

Deno.test("a link with a damaged proof is refused, and nothing that came with it is done", async () => {
  await using ours = await startConnector();
  const client = new Client(ours.address, ChannelCredentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const metadata = new Metadata();
  metadata.set("connector-instance", "not a proof");
  const call = client.makeBidiStreamRequest(
    RemoteConnectionService.openStream.path,
    (bytes: Uint8Array) => Buffer.from(bytes),
    (bytes: Uint8Array) => bytes,
    metadata,
  );
  call.on("error", () => {});
  call.on("data", () => {});
  const ended = new Promise<{ code: status; details: string }>((resolve) => {
    call.on("status", resolve);
  });
  const service = message({ id: crypto.randomUUID() });
  const data: OpenData = {
    serviceId: service.id,
    connectionId: "",
    message: { $case: "expose", value: { service } },
  };
  call.write(OpenData.encode(data).finish());
  const { code, details } = await ended;
  strictEqual(code, status.INVALID_ARGUMENT);
  match(details, /^Cannot tell who the peer is: The proof of an instance has 11 characters/);
  deepStrictEqual(ours.connector.list(), []);
  strictEqual(await refuses(service.sourcePort), true);
  client.close();
  await settle();
});
