// One connector that registers services, with the rights of the contract's ClusterRole, against a real API server.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import type { ConnectorProcess } from "../support/processes.ts";
import { refuses, roundTrip, until } from "../support/world.ts";
import { Cluster, PLACES } from "./cluster.ts";
import {
  CONTRACT_ROLE,
  expose,
  spawnRegistering,
  startLaptop,
  untilGone,
  untilThere,
  withRights,
} from "./connectors.ts";

/** A service as the list has it. */
async function listed(connector: ConnectorProcess, id: string) {
  const found = (await connector.rest.list()).find((each) => each.id === id);
  // What the list says of a registration is no key of the contract.
  return found as unknown as {
    status: string;
    message?: string;
    registration?: { state: string; name: string; message?: string };
  } | undefined;
}

Deno.test("an exposed service is a Service with the contract's selector until it goes", async () => {
  await using cluster = await Cluster.start();
  const acceptor = await spawnRegistering(await withRights(cluster));
  await using _stop = acceptor;
  await using laptop = await startLaptop();
  const { id, port } = await expose(laptop, { name: "My Web_Shop", at: acceptor.address });
  const service = await untilThere(cluster, `${PLACES.services}/my-web-shop`);
  deepStrictEqual(service.spec.selector, { app: "connector" });
  deepStrictEqual(
    service.spec.ports.map(({ port, targetPort, protocol }: Record<string, unknown>) => ({
      port,
      targetPort,
      protocol,
    })),
    [{ port, targetPort: port, protocol: "TCP" }],
  );
  strictEqual(service.metadata.labels?.["app.kubernetes.io/managed-by"], "connector");
  await until(
    async () => (await listed(acceptor, id))?.registration?.state === "registered",
    "the list says so",
  );
  deepStrictEqual((await listed(acceptor, id))?.registration, {
    scheduler: "kubernetes",
    name: "shipyard/my-web-shop",
    state: "registered",
  });
  await roundTrip(port);

  await laptop.connector.rest.request("DELETE", `/expose/${id}`);
  await untilGone(cluster, `${PLACES.services}/my-web-shop`);

  await expose(laptop, { name: "again", at: acceptor.address });
  await untilThere(cluster, `${PLACES.services}/again`);
  strictEqual((await acceptor.stop("SIGTERM")).code, 0);
  strictEqual(await cluster.get(`${PLACES.services}/again`), undefined);
});

Deno.test("a service that is removed and exposed again at once is registered again", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  let last = await expose(laptop, { name: "web", at: acceptor.address });
  await untilThere(cluster, `${PLACES.services}/web`);
  for (let round = 0; round < 20; round += 1) {
    await laptop.connector.rest.request("DELETE", `/expose/${last.id}`);
    // So that it meets its own removal at many moments.
    await delay(3 * round);
    last = await expose(laptop, { name: "web", at: acceptor.address });
    await untilThere(cluster, `${PLACES.services}/web`, {
      fits: ({ spec }) => spec.ports[0].port === last.port,
    });
  }
});

Deno.test("what others change or delete is put right, and what they add stays", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  const { port } = await expose(laptop, { name: "web", at: acceptor.address });
  const path = `${PLACES.services}/web`;
  const made = await untilThere(cluster, path);

  await cluster.patch(path, {
    metadata: { labels: { team: "shop" } },
    spec: { selector: { app: "other" }, ports: [{ name: "x", port: 1, protocol: "TCP" }] },
  });
  const mended = await untilThere(cluster, path, {
    fits: ({ spec }) => spec.selector.app === "connector",
  });
  strictEqual(mended.spec.ports[0].port, port);
  strictEqual(mended.metadata.labels?.team, "shop");
  strictEqual(mended.metadata.uid, made.metadata.uid);

  // Without the label it is out of sight, and still ours.
  await cluster.patch(path, {
    metadata: { labels: { "app.kubernetes.io/managed-by": null } },
  });
  await untilThere(cluster, path, {
    fits: ({ metadata }) => metadata.labels?.["app.kubernetes.io/managed-by"] === "connector",
  });

  await cluster.delete(path);
  const anew = await untilThere(cluster, path);
  ok(anew.metadata.uid !== made.metadata.uid);
});

Deno.test("what something else changes all the time is put right less and less often", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  const { id } = await expose(laptop, { name: "web", at: acceptor.address });
  const path = `${PLACES.services}/web`;
  await untilThere(cluster, path);
  const isMended = async () => (await cluster.get(path))?.spec.selector.app === "connector";
  let mended = 0;
  await until(
    async () => {
      if (await isMended()) {
        mended += 1;
        await cluster.patch(path, { spec: { selector: { app: "other" } } });
      }
      return (await listed(acceptor, id))?.message?.includes("all the time") ?? false;
    },
    "the list says so",
    { timeoutMs: 30_000 },
  );
  ok(mended <= 12, `it was put right ${mended} times`);
  // Once that has ended, it is put right for good.
  await until(isMended, "it is put right", { timeoutMs: 30_000 });
});

Deno.test("a name that is taken is an error of the service, until it is free", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  const path = `${PLACES.services}/web`;
  const foreign = await cluster.create(PLACES.services, {
    metadata: { name: "web" },
    spec: { ports: [{ port: 80 }] },
  });
  const { id, port } = await expose(laptop, { name: "web", at: acceptor.address });
  for (const connector of [acceptor, laptop.connector]) {
    await until(
      async () => (await listed(connector, id))?.status === "ERROR",
      "the service is in error at both ends",
    );
    match((await listed(connector, id))?.message ?? "", /the name "web" is taken/);
  }
  // Nobody is turned away because of it.
  await roundTrip(port);
  const left = await cluster.get(path);
  strictEqual(left?.metadata.resourceVersion, foreign.metadata.resourceVersion);

  await cluster.delete(path);
  for (const connector of [acceptor, laptop.connector]) {
    await until(
      async () => (await listed(connector, id))?.status === "COMPLETE",
      "the service is complete at both ends",
      { timeoutMs: 30_000 },
    );
  }
  strictEqual((await cluster.get(path))?.spec.ports[0].port, port);
});

Deno.test("two services that would have one name: the first has it, the second gets it later", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  const first = await expose(laptop, { name: "web", at: acceptor.address });
  await untilThere(cluster, `${PLACES.services}/web`);
  const second = await expose(laptop, { name: "WEB", at: acceptor.address });
  await until(
    async () => (await listed(acceptor, second.id))?.status === "ERROR",
    "the second is in error",
  );
  strictEqual((await listed(acceptor, first.id))?.status, "COMPLETE");
  await laptop.connector.rest.request("DELETE", `/expose/${first.id}`);
  await untilThere(cluster, `${PLACES.services}/web`, {
    fits: ({ spec }) => spec.ports[0].port === second.port,
  });
  await until(
    async () => (await listed(acceptor, second.id))?.status === "COMPLETE",
    "the second is complete",
  );
});

Deno.test("rights that are too narrow are an error with the reason, until they are granted", async () => {
  await using cluster = await Cluster.start();
  const narrow = CONTRACT_ROLE.replace(/verbs: .*/, "verbs: [get, list]");
  await using acceptor = await spawnRegistering(await withRights(cluster, narrow));
  await using laptop = await startLaptop();
  const { id, port } = await expose(laptop, { name: "web", at: acceptor.address });
  await until(
    async () => (await listed(acceptor, id))?.status === "ERROR",
    "the service is in error",
  );
  match((await listed(acceptor, id))?.message ?? "", /403.*cannot create resource "services"/);
  await roundTrip(port);
  await cluster.apply(CONTRACT_ROLE);
  await until(
    async () => (await listed(acceptor, id))?.registration?.state === "registered",
    "the service is registered",
    { timeoutMs: 30_000 },
  );
});

Deno.test("where watching is not allowed, what others change is put right all the same", async () => {
  await using cluster = await Cluster.start();
  const blind = CONTRACT_ROLE.replace(/verbs: .*/, "verbs: [get, list, create, update, delete]");
  await using acceptor = await spawnRegistering(await withRights(cluster, blind));
  await using laptop = await startLaptop();
  await expose(laptop, { name: "web", at: acceptor.address });
  const path = `${PLACES.services}/web`;
  await untilThere(cluster, path);
  await cluster.delete(path);
  await untilThere(cluster, path, { timeoutMs: 30_000 });
});

Deno.test("200 services are registered, and removed, within seconds", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  for (let number = 0; number < 200; number += 1) {
    await expose(laptop, { name: `service ${number}`, at: acceptor.address });
  }
  const count = async () =>
    (await cluster.list(PLACES.services)).filter(({ metadata }) =>
      metadata.labels?.["app.kubernetes.io/managed-by"] === "connector"
    ).length;
  await until(async () => await count() === 200, "all are there", { timeoutMs: 30_000 });
  const asked = await cluster.list(PLACES.services);
  const versions = new Map(asked.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
  await acceptor.stop("SIGTERM");
  strictEqual(versions.size, 200);
  strictEqual(await count(), 0);
});

Deno.test("while the API server is away for 30 s, tunnels go on, and what was missed is made up for", async () => {
  await using cluster = await Cluster.start();
  await using acceptor = await spawnRegistering(await withRights(cluster));
  await using laptop = await startLaptop();
  const kept = await expose(laptop, { name: "kept", at: acceptor.address });
  const gone = await expose(laptop, { name: "gone", at: acceptor.address });
  for (const name of ["kept", "gone"]) await untilThere(cluster, `${PLACES.services}/${name}`);
  await cluster.stop();
  const stoppedAt = performance.now();
  await laptop.connector.rest.request("DELETE", `/expose/${gone.id}`);
  await until(() => refuses(gone.port), "its port is closed");
  const late = await expose(laptop, { name: "late", at: acceptor.address });
  await until(
    async () => (await listed(acceptor, late.id))?.registration?.message !== undefined,
    "the list says what is not registered",
  );
  const said = await listed(acceptor, late.id);
  deepStrictEqual([said?.status, said?.registration?.state], ["COMPLETE", "pending"]);
  match(said?.message ?? "", /Kubernetes API/);
  while (performance.now() < stoppedAt + 30_000) {
    for (const { port } of [kept, late]) await roundTrip(port, { length: 1000 });
    await delay(500);
  }
  await cluster.restart({ compact: true });
  await untilThere(cluster, `${PLACES.services}/late`, { timeoutMs: 30_000 });
  await untilGone(cluster, `${PLACES.services}/gone`);
  await until(
    async () => (await listed(acceptor, late.id))?.registration?.state === "registered",
    "the list says so",
  );
  // It follows again what others do.
  await cluster.delete(`${PLACES.services}/kept`);
  await untilThere(cluster, `${PLACES.services}/kept`);
});

Deno.test("a token is exchanged while a connector runs", async () => {
  await using cluster = await Cluster.start();
  await cluster.apply(CONTRACT_ROLE);
  const secretPath = "/api/v1/namespaces/shipyard/secrets";
  const bound = await cluster.create(secretPath, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "bound" },
  });
  const tokenFile = `${cluster.folder}/token`;
  const first = await cluster.token("shipyard", "connector", bound);
  await Deno.writeTextFile(tokenFile, first);
  await using acceptor = await spawnRegistering(await cluster.kubeconfig({ tokenFile }));
  await using laptop = await startLaptop();
  await expose(laptop, { name: "before", at: acceptor.address });
  await untilThere(cluster, `${PLACES.services}/before`);

  // The token is worth nothing from then on, once the server's cache has forgotten it: that takes 10 s.
  await Deno.writeTextFile(tokenFile, await cluster.token("shipyard", "connector"));
  await cluster.delete(`${secretPath}/bound`);
  await until(
    async () => await cluster.statusFor(first, PLACES.services) === 401,
    "the former token is refused",
    { timeoutMs: 60_000 },
  );
  const { id } = await expose(laptop, { name: "after", at: acceptor.address });
  await untilThere(cluster, `${PLACES.services}/after`);
  strictEqual((await listed(acceptor, id))?.status, "COMPLETE");
});
