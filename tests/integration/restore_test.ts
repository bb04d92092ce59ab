// Services of an earlier run: what may not be had any more is not had, whatever the file says.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type { Service, ServiceType } from "../../src/model/service.ts";
import {
  echo,
  exposeThrough,
  freePort,
  refuses,
  reportOf,
  roundTrip,
  serveTcp,
  startConnector,
  until,
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

Deno.test("a restored service whose port comes free while its connector stops does not listen any more", async () => {
  await using server = serveTcp(echo);
  await using remote = await startConnector();
  await using local = await startConnector();
  const { port } = await exposeThrough({ local, remote }, {
    type: "local",
    destination: server.port,
  });
  using visitor = await Deno.connect({ port });
  await visitor.write(new Uint8Array(1));
  strictEqual(await visitor.read(new Uint8Array(1)), 1);
  const service = kept(remote.address, { type: "remote", destination: server.port });
  const squatter = Deno.listen({ hostname: "0.0.0.0", port: service.sourcePort });
  local.connector.restore([service]);
  await until(() => reportOf(local, service.id)?.status === "error", "its port is taken");
  const due = reportOf(local, service.id)?.retryAt?.getTime() ?? Date.now() + 500;
  const hurried = new AbortController();
  const closed = local.connector.close({ drainMs: 60_000, signal: hurried.signal });
  squatter.close();
  // What was to be tried again has been, or is not any more.
  await until(() => Date.now() > due + 200, "it would have been tried");
  ok(await refuses(service.sourcePort), "it does not listen");
  hurried.abort();
  await closed;
});
