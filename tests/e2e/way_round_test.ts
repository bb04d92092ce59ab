// No tunnel leads to a connector's own ports: a peer that exposes them as a destination gets nothing of its REST API, its
// control calls or its services, by whatever name it calls them; and what is somebody else's on the same machine it gets.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { httpsRequest } from "../support/mtls.ts";
import {
  type ConnectorProcess,
  exposeService,
  spawnConnector,
  spawnPair,
} from "../support/processes.ts";
import { secured } from "../support/security.ts";
import { echo, freePort, roundTrip, serveTcp, until } from "../support/world.ts";

/** What a visitor of the port reads once it has asked for the list of services; nothing when it was cut off. */
async function ask(port: number): Promise<string> {
  try {
    // Who is refused may be so before it has connected.
    using conn = await Deno.connect({ port });
    await conn.write(new TextEncoder().encode("GET /list HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    const buffer = new Uint8Array(1000);
    return new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
  } catch {
    return "";
  }
}

async function lastClose(connector: ConnectorProcess, id: string): Promise<string> {
  const entry = (await connector.rest.list()).find((each) => each.id === id);
  return String((entry?.connections as { last_close?: string } | undefined)?.last_close);
}

const HOSTS = [
  "127.0.0.1",
  "localhost",
  "0.0.0.0",
  "127.1.2.3",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[64:ff9b::7f00:1]",
  // The machine's own, where it has one.
  ...Deno.networkInterfaces().filter(({ address }) =>
    !/^(127\.|::1$|fe80:|169\.254\.)/.test(address)
  )
    .map(({ address, family }) => family === "IPv6" ? `[${address}]` : address),
];

Deno.test("a peer reaches neither REST, nor gRPC, nor a service's port, by any name of them", async () => {
  await using server = serveTcp(echo);
  await using victim = await spawnConnector({ grpcBind: ":0", httpBind: ":0" });
  await using peer = await spawnConnector();
  const service = await exposeService(peer, {
    to: victim.address,
    type: "local",
    destination: server.port,
  });
  for (const host of HOSTS) {
    for (const port of [victim.httpPort, victim.grpcPort, service.port]) {
      const tried = await exposeService(peer, {
        to: victim.address,
        type: "remote",
        destination: `${host}:${port}`,
      });
      strictEqual(await ask(tried.port), "", `${host}:${port}`);
      await until(
        async () =>
          /no tunnel leads to its own ports|could not be/.test(await lastClose(peer, tried.id)),
        `the visitor's side knows why ${host}:${port} is not reached`,
      );
      await peer.rest.request("DELETE", `/expose/${tried.id}`);
    }
  }
  const lines = victim.logs().split("\n").filter((line) => /destination refused/.test(line));
  ok(lines.length > 0);
  match(
    lines[0] ?? "",
    /peer=127\.0\.0\.1:\d+ principal=anonymous service=test remote=\S+ rule=address reason="Cannot connect to /,
  );
  await roundTrip(service.port);
});

Deno.test("what the user exposes does not lead to the connector's own ports, either", async () => {
  await using pair = await spawnPair();
  const { id, port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: pair.local.httpPort,
  });
  strictEqual(await ask(port), "");
  match(await lastClose(pair.local, id), /no tunnel leads to its own ports/);
});

Deno.test("with certificates, no certificate is issued through a tunnel", async () => {
  await using certificates = await secured("mTLS");
  await using pair = await spawnPair({ local: certificates.options, remote: certificates.options });
  const { port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "remote",
    destination: pair.remote.httpPort,
  });
  for (const path of ["/certificate", "/list"]) {
    const answer = httpsRequest(`https://localhost:${port}${path}`, { body: { name: "x" } });
    strictEqual(await answer.then(() => "answered", () => "cut off"), "cut off");
  }
});

Deno.test("another connector's API on the same machine is reached", async () => {
  await using pair = await spawnPair();
  await using other = await spawnConnector();
  const { port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "remote",
    destination: other.httpPort,
  });
  match(await ask(port), /^HTTP\/1\.1 200 /);
});

Deno.test("a service with a link-local destination is refused as it is exposed", async () => {
  await using pair = await spawnPair();
  const expose = (type: "local" | "remote") =>
    pair.local.rest.request("POST", "/expose?wait=10", {
      body: {
        name: "metadata",
        source_port: freePort(),
        remote_connector_addr: pair.remote.address,
        destination_addr: "169.254.169.254:80",
        type,
      },
    });
  const here = await expose("local");
  strictEqual(here.status, 403);
  match(here.body, /169\.254\.169\.254 is a link-local address, to which no tunnel leads/);
  const there = await expose("remote");
  strictEqual(there.status, 403);
  match(there.body, /169\.254\.169\.254 is a link-local address, to which no tunnel leads/);
  deepStrictEqual(await pair.local.rest.list(), []);
});
