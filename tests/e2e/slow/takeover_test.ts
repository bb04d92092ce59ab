// A connector that comes back finds its ports as it left them: whatever killed it, under the same ids or new ones,
// and never "address already in use" because of its former self. Nobody else gets them meanwhile, nothing outlives
// the time that they are kept.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { FaultRelay } from "../../support/fault_relay.ts";
import {
  type ConnectorProcess,
  exposeService,
  spawnConnector,
  untilComplete,
} from "../../support/processes.ts";
import { tempFolder } from "../../support/mtls.ts";
import { secured } from "../../support/security.ts";
import { soon } from "../../support/soon.ts";
import { PATH_KINDS } from "../../support/tunnel_path.ts";
import { echo, freePort, roundTrip, serveTcp, until } from "../../support/world.ts";

for (const { type, security } of PATH_KINDS) {
  Deno.test(`${type}, ${security}: a connector killed and started again from its state file has its port back, and never refused`, async () => {
    await using folder = await tempFolder();
    await using certificates = await secured(security);
    const options = {
      ...certificates.options,
      args: [`--state-file=${path.join(folder.path, "services.json")}`],
    };
    await using server = serveTcp(echo);
    await using remote = await spawnConnector(certificates.options);
    await using first = await spawnConnector(options);
    const { id, port } = await exposeService(first, {
      to: remote.address,
      type,
      destination: server.port,
    });
    await roundTrip(port);
    await first.stop("SIGKILL");
    // Of type local, the port is the other side's, which is alive.
    if (type === "local") {
      await until(async () => await statusAt(remote, id) === "PENDING", "it waits for its peer");
    }
    const waiting = type === "local" ? roundTrip(port) : Promise.resolve();
    await using again = await spawnConnector(options);
    await untilComplete(again, id);
    await waiting;
    await roundTrip(port);
    deepStrictEqual((await remote.rest.list()).map((each) => each.id), [id]);
    deepStrictEqual((await again.rest.list()).map((each) => each.id), [id]);
  });
}

Deno.test("a connector without a state file takes its former port over at once, with who waits there", async () => {
  await using server = serveTcp(echo);
  await using remote = await spawnConnector();
  await using first = await spawnConnector();
  const service = { to: remote.address, type: "local" as const, destination: server.port };
  const { id: formerId, port: sourcePort } = await exposeService(first, service);
  await first.stop("SIGKILL");
  await until(async () => await statusAt(remote, formerId) === "PENDING", "it waits for its peer");
  const waiting = roundTrip(sourcePort);
  await using again = await spawnConnector();
  const { status, body: id } = await expose(again, { ...service, sourcePort, wait: 5 });
  strictEqual(status, 200, id);
  await waiting;
  deepStrictEqual((await remote.rest.list()).map((each) => each.id), [id]);
});

Deno.test("nobody else takes a port that is kept; once it is free, who has asked gets it", async () => {
  await using server = serveTcp(echo);
  const args = ["--takeover-grace=2s", "--resume-timeout=0s"];
  await using remote = await spawnConnector({ grpcBind: ":0", args });
  await using first = await spawnConnector();
  const { id: formerId, port: sourcePort } = await exposeService(first, {
    to: remote.address,
    type: "local",
    destination: server.port,
  });
  // Of another host, as the remote one sees it. It is there before the time runs for which the port is kept.
  await using other = await spawnConnector();
  await first.stop("SIGKILL");
  await until(async () => await statusAt(remote, formerId) === "PENDING", "it waits for its peer");
  const to = `[::1]:${remote.grpcPort}`;
  const service = { to, type: "local" as const, destination: server.port, sourcePort };
  const refused = await expose(other, { ...service, wait: 1 });
  strictEqual(refused.status, 409);
  match(
    refused.body,
    /the port is in use until \S+ by another service, whose link is lost/,
  );
  deepStrictEqual(await other.rest.list(), []);

  const { status, body: id } = await expose(other, service);
  strictEqual(status, 200, id);
  await until(async () => (await other.rest.statusOf(id)) === "ERROR", "it is refused");
  const entry = (await other.rest.list())[0];
  ok(entry?.retry_at, "it says when it is tried again");
  await until(async () => (await other.rest.statusOf(id)) === "COMPLETE", "it has the port");
  await roundTrip(sourcePort);
  deepStrictEqual((await remote.rest.list()).map((each) => each.id), [id]);
});

Deno.test("after its time a port is closed, whoever waits is let go, and nothing is listed", async () => {
  await using server = serveTcp(echo);
  await using remote = await spawnConnector({
    args: ["--takeover-grace=1s", "--resume-timeout=0s"],
  });
  await using first = await spawnConnector();
  const { id, port } = await exposeService(first, {
    to: remote.address,
    type: "local",
    destination: server.port,
  });
  await first.stop("SIGKILL");
  await until(async () => await statusAt(remote, id) === "PENDING", "it waits for its peer");
  const ready = await remote.rest.request("GET", "/ready");
  strictEqual(ready.status, 503);
  match(ready.body, /its port is kept until/);
  using waiting = await Deno.connect({ port });
  const end = waiting.read(new Uint8Array(1)).catch(() => null);
  strictEqual(await soon(end, "it is let go", { timeoutMs: 3000 }), null);
  await until(async () => (await remote.rest.list()).length === 0, "nothing is listed");
  Deno.listen({ port }).close();
  strictEqual((await remote.rest.request("GET", "/ready")).status, 200);
});

Deno.test("a link whose death only the dialler has noticed is taken over without a word", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector();
  await using remote = await spawnConnector();
  await using relay = new FaultRelay(remote.grpcPort);
  const { id, port } = await exposeService(local, {
    to: relay.address,
    type: "local",
    destination: server.port,
  });
  relay.halve();
  await until(() => /link opened(.|\n)*link resumed/.test(local.logs()), "a new link is open");
  await untilComplete(local, id);
  await roundTrip(port);
  deepStrictEqual((await remote.rest.list()).map((each) => each.id), [id]);
});

Deno.test("a service that was removed while the link was down is gone at the peer, too", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector();
  await using remote = await spawnConnector();
  await using relay = new FaultRelay(remote.grpcPort);
  const to = relay.address;
  const kept = await exposeService(local, { to, type: "local", destination: server.port });
  const gone = await exposeService(local, { to, type: "local", destination: server.port });
  const goneThere = await exposeService(local, { to, type: "local", destination: server.port });
  relay.refuse();
  relay.cut();
  for (const { id } of [gone, goneThere]) {
    await until(async () => await local.rest.statusOf(id) === "PENDING", "the link is down");
    await until(async () => await statusAt(remote, id) === "PENDING", "its peer has noticed");
  }
  strictEqual((await local.rest.request("DELETE", `/expose/${gone.id}`)).status, 200);
  strictEqual((await remote.rest.request("DELETE", `/expose/${goneThere.id}`)).status, 200);
  relay.admit();
  await untilComplete(local, kept.id);
  for (const each of [local, remote]) {
    await until(async () => (await each.rest.list()).length === 1, "one is left");
    deepStrictEqual((await each.rest.list()).map(({ id }) => id), [kept.id]);
  }
  for (const { port } of [gone, goneThere]) Deno.listen({ port }).close();
});

Deno.test("the last service for a peer that is removed while the link is down is gone at the peer, too", async () => {
  await using server = serveTcp(echo);
  await using local = await spawnConnector();
  await using remote = await spawnConnector({ args: ["--takeover-grace=60s"] });
  await using relay = new FaultRelay(remote.grpcPort);
  const { id, port } = await exposeService(local, {
    to: relay.address,
    type: "local",
    destination: server.port,
  });
  relay.refuse();
  relay.cut();
  await until(async () => await local.rest.statusOf(id) === "PENDING", "the link is down");
  await until(async () => await statusAt(remote, id) === "PENDING", "its peer has noticed");
  strictEqual((await local.rest.request("DELETE", `/expose/${id}`)).status, 200);
  relay.admit();
  await until(async () => (await remote.rest.list()).length === 0, "nothing is left");
  Deno.listen({ port }).close();
  // Nothing is exposed to it any more: the link that was needed to say so is closed, in order.
  await until(() => /peer disconnected.*closed/.test(remote.logs()), "the link is closed");
});

for (const at of ["dialler", "acceptor"] as const) {
  Deno.test(`a service that is removed at the ${at} over a link that only the dialler knows to be lost is gone at both`, async () => {
    await using server = serveTcp(echo);
    await using local = await spawnConnector();
    await using remote = await spawnConnector();
    await using relay = new FaultRelay(remote.grpcPort);
    const to = relay.address;
    const kept = await exposeService(local, { to, type: "local", destination: server.port });
    const gone = await exposeService(local, { to, type: "local", destination: server.port });
    relay.refuse();
    relay.halve();
    await until(async () => await local.rest.statusOf(gone.id) === "PENDING", "the link is down");
    const { rest } = at === "dialler" ? local : remote;
    strictEqual((await rest.request("DELETE", `/expose/${gone.id}`)).status, 200);
    relay.admit();
    for (const each of [local, remote]) {
      // Well before the acceptor notices that its former link is dead.
      const ids = async () => (await each.rest.list()).map(({ id }) => id).join();
      await until(async () => await ids() === kept.id, "one is left", { timeoutMs: 4000 });
    }
    await untilComplete(local, kept.id);
    Deno.listen({ port: gone.port }).close();
  });
}

async function statusAt(connector: ConnectorProcess, id: string): Promise<string | undefined> {
  return await connector.rest.statusOf(id);
}

async function expose(
  connector: ConnectorProcess,
  { to, type, destination, sourcePort = freePort(), wait }: {
    to: string;
    type: "local" | "remote";
    destination: number;
    sourcePort?: number;
    wait?: number;
  },
): Promise<{ status: number; body: string }> {
  return await connector.rest.request("POST", wait ? `/expose?wait=${wait}` : "/expose", {
    body: {
      name: "test",
      source_port: sourcePort,
      remote_connector_addr: to,
      destination_addr: `127.0.0.1:${destination}`,
      type,
    },
  });
}
