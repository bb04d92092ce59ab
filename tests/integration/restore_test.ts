// Services of an earlier run: what may not be had any more is not had, whatever the file says.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { Service, ServiceType } from "../../src/service.ts";
import {
  echo,
  exposeThrough,
  freePort,
  refuses,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
} from "../support/world.ts";

/** A service as it is kept. */
function kept(to: string, { type, destination }: { type: ServiceType; destination: number }) {
  const service: Service = {
    id: crypto.randomUUID(),
    name: "kept",
    type,
    sourcePort: freePort(),
    remoteConnectorAddr: to,
    destinationAddr: `127.0.0.1:${destination}`,
  };
  return service;
}

Deno.test("a service that this connector may not expose any more is not offered to its peer", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  await using local = await startConnector({ disableLocalExpose: true });
  const service = kept(remote.address, { type: "local", destination: server.port });
  local.connector.restore([service]);
  strictEqual(reportOf(local, service.id)?.status, "error");
  // What follows over the same link shows that all before it was done.
  const { port } = await exposeThrough({ local, remote }, {
    type: "remote",
    destination: server.port,
  });
  await roundTrip(port);
  deepStrictEqual(remote.connector.list().map(({ type }) => type), ["remote"]);
  strictEqual(await refuses(service.sourcePort), true);
});
