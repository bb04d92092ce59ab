// A path between two processes that goes silent without closing anything, for as long as it takes to be noticed.

import { ok } from "node:assert/strict";
import { FaultRelay } from "../support/fault_relay.ts";
import {
  type ConnectorProcess,
  exposeService,
  spawnConnector,
  untilComplete,
} from "../support/processes.ts";
import { secured, SECURITIES } from "../support/security.ts";
import { echo, refuses, roundTrip, serveTcp, until } from "../support/world.ts";

for (const security of SECURITIES) {
  Deno.test(`${security}: a path that swallows everything is noticed within 15 s by both ends, and back as soon as it delivers`, async () => {
    await using certificates = await secured(security);
    const { options } = certificates;
    await using server = serveTcp(echo);
    await using local = await spawnConnector(options);
    await using remote = await spawnConnector({ ...options, args: ["--takeover-grace=1s"] });
    await using relay = new FaultRelay(remote.grpcPort);
    const services = await exposeBoth(local, relay.address, server.port);
    relay.swallow();
    const started = performance.now();
    const dialler = until(
      async () => (await local.rest.list()).every(({ status }) => status === "PENDING"),
      "the dialler shows the truth",
      { timeoutMs: 20_000 },
    ).then(() => performance.now() - started);
    const acceptor = until(
      async () => (await remote.rest.list()).every(({ status }) => status !== "COMPLETE"),
      "the acceptor shows the truth",
      { timeoutMs: 20_000 },
    ).then(() => performance.now() - started);
    const took = await Promise.all([dialler, acceptor]);
    ok(Math.max(...took) < 15_000, took.join(" and "));
    await until(async () => (await remote.rest.list()).length === 0, "nothing is listed any more");
    await until(() => refuses(services[0]?.port ?? 0), "its port is free");

    relay.deliver();
    const back = performance.now();
    for (const { id, port } of services) {
      await untilComplete(local, id);
      await roundTrip(port);
    }
    // A try over the silent path is given up after 5 s, and one that waits is not made before its time.
    ok(performance.now() - back < 10_000, `${performance.now() - back} ms`);
  });
}

/** A service of each type. */
async function exposeBoth(
  local: ConnectorProcess,
  to: string,
  destination: number,
): Promise<{ id: string; port: number }[]> {
  return [
    await exposeService(local, { to, type: "local", destination, name: "local" }),
    await exposeService(local, { to, type: "remote", destination, name: "remote" }),
  ];
}
