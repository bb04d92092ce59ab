// How the gRPC server ends: in order within a time, at once, and as if it had never been where it cannot listen.

import { ok, rejects, strictEqual } from "node:assert/strict";
import { describePeer } from "../../src/certs/identity/description.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { GrpcServer } from "../../src/grpc/server.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import type { Link } from "../../src/mux/link.ts";
import { hello } from "../../src/mux/negotiation.ts";
import { soon } from "../support/soon.ts";
import { refuses, settle } from "../support/world.ts";

const greeting = hello(DEFAULT_LIMITS);

/** Listens on 127.0.0.1, or on what `hosts` stand for. */
async function listen({ port = 0, hosts }: { port?: number; hosts?: string[] } = {}) {
  const links: Link[] = [];
  const server = await GrpcServer.listen({
    bind: { host: "127.0.0.1", port },
    ...hosts && { resolveBind: () => Promise.resolve(hosts) },
    tls: undefined,
    hello: greeting,
    describePeer,
    onRefused: () => {},
    control: {
      expose: () => Promise.reject(new TypeError("nothing is exposed here")),
      destroy: () => Promise.resolve(),
      list: () => [],
    },
    onLink: (link) => links.push(link),
  });
  return { server, links };
}

/** A link that stays open. */
async function open(server: GrpcServer): Promise<Link> {
  const link = dialLink(server.address, {
    secure: secureChannels(),
    hello: greeting,
    describePeer,
  });
  strictEqual((await link.hello)?.version, greeting.version);
  return link;
}

Deno.test("gRPC server: closing it waits for links that end, and lets nobody in", async () => {
  const { server, links } = await listen();
  const link = await open(server);
  let closed = false;
  const closing = server.close({ graceMs: 60_000 }).then(() => closed = true);
  ok(await refuses(server.address.port), "nobody gets in");
  strictEqual(closed, false);
  link.close();
  links[0]?.close();
  await soon(closing, "it has closed");
  strictEqual(await link.closed, undefined);
  await settle();
});

for (const hastened of [false, true]) {
  const when = hastened ? "when the signal is aborted" : "in time";
  Deno.test(`gRPC server: what has not ended ${when} is cut`, async () => {
    const { server } = await listen();
    const link = await open(server);
    const options = hastened
      ? { graceMs: 60_000, signal: AbortSignal.timeout(50) }
      : { graceMs: 50 };
    await soon(server.close(options), "it has closed");
    ok(await soon(link.closed, "the link has ended") instanceof ConnectorError);
    await settle();
  });
}

Deno.test("gRPC server: aborting it hastens an end that waits", async () => {
  const { server } = await listen();
  const link = await open(server);
  const closing = server.close({ graceMs: 60_000 });
  server.abort();
  await soon(closing, "it has closed");
  ok(await soon(link.closed, "the link has ended") instanceof ConnectorError);
  await settle();
});

Deno.test("gRPC server: one that cannot listen on one of its addresses leaves nothing behind", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.2", port: 0 });
  const { port } = taken.addr;
  // A timer that looks after the first of them would be left.
  await rejects(listen({ port, hosts: ["127.0.0.1", "127.0.0.2"] }), /Cannot listen for gRPC/);
  await settle();
});
