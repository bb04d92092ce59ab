// Several replicas behind one address, with the rights of install/kubernetes/replicas.yaml, against a real API server: who
// has a service, and what becomes of it when that one is killed, drains, or comes back late. No other tests start replicas:
// they listen on the same ports.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { runProgram } from "../support/child.ts";
import { spawnConnector } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import { refuses, until, writeAll } from "../support/world.ts";
import { Cluster, PLACES } from "./cluster.ts";
import { deletePod, expose, startLaptop, untilGone, untilThere } from "./connectors.ts";
import {
  endpointsOf,
  LinkBalancer,
  type Replica,
  startReplicas,
  untilAllAt,
  untilAt,
  visit,
} from "./replicas.ts";

/** Where a service stands, as a replica's list says. */
async function registrationAt({ connector }: Replica, id: string): Promise<string | undefined> {
  const found = (await connector.rest.list()).find((each) => each.id === id);
  return (found as unknown as { registration?: { state: string } } | undefined)?.registration
    ?.state;
}

/**
 * Visitors of a service at four places, one after the other at each. Whoever looks the endpoint up goes there up to a
 * second later, as with kube-proxy.
 */
class Visitors implements AsyncDisposable {
  readonly failures: string[] = [];
  /** How many have come at each place, served or not. */
  readonly #come = [0, 0, 0, 0];
  readonly #ended = new AbortController();
  readonly #coming: Promise<void>[];

  constructor(cluster: Cluster, { name, port }: { name: string; port: number }) {
    this.#coming = this.#come.map(async (_, place) => {
      while (!this.#ended.signal.aborted) {
        const [podIp = "no endpoint"] = await endpointsOf(cluster, name);
        await delay(Math.random() * 1000);
        await visit(podIp, port).catch((error) => this.failures.push(`${podIp}: ${error}`));
        this.#come[place] = (this.#come[place] ?? 0) + 1;
      }
    });
  }

  /** Resolves when two more have come at each place: the second one has looked the endpoint up since. */
  async untilMore(): Promise<void> {
    const before = [...this.#come];
    await until(
      () => this.#come.every((count, place) => count >= (before[place] ?? 0) + 2),
      "visitors have come",
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.all(this.#coming);
  }
}

Deno.test("a Service leads to the replica that has the link, and to no other", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 3);
  const { replicas } = world;
  await using balancer = new LinkBalancer(replicas.map(({ host }) => host));
  await using laptop = await startLaptop();
  const { id, port } = await expose(laptop, { name: "web", at: balancer.address });
  const service = await untilThere(cluster, `${PLACES.services}/web`);
  strictEqual(service.spec.selector, undefined);
  const [first, ...others] = replicas;
  ok(first);
  await untilAt(cluster, "web", first);
  const [slice] = await cluster.list(
    PLACES.slices + "?labelSelector=kubernetes.io%2Fservice-name%3Dweb",
  );
  deepStrictEqual(
    [slice?.endpoints[0].targetRef.name, slice?.ports[0].name, slice?.ports[0].port],
    [first.pod, service.spec.ports[0].name, port],
  );
  const lease = await cluster.get(`${PLACES.leases}/web`);
  strictEqual(lease?.spec.holderIdentity, `pod/shipyard/${first.pod}`);
  await until(async () => await registrationAt(first, id) === "registered", "its list says so");
  for (const other of others) deepStrictEqual(await other.connector.rest.list(), []);
  await visit(first.podIp, port);

  await laptop.connector.rest.request("DELETE", `/expose/${id}`);
  await untilGone(cluster, `${PLACES.services}/web`);
  deepStrictEqual(await endpointsOf(cluster, "web"), []);
  await untilGone(cluster, `${PLACES.leases}/web`);
});

Deno.test("a replica that is killed: its services lead to another one within 3 s", async () => {
  await killOwner({ services: 10, withinMs: 3000 });
});

Deno.test("a replica that is killed with 200 services: all of them lead to another one soon", async () => {
  // Most of the time the API server writes.
  await killOwner({ services: 200, withinMs: 10_000 });
});

async function killOwner({ services, withinMs }: { services: number; withinMs: number }) {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 3);
  const { replicas } = world;
  await using balancer = new LinkBalancer(replicas.map(({ host }) => host));
  await using laptop = await startLaptop();
  const names = Array.from({ length: services }, (_, number) => `service-${number}`);
  const ports = new Map<string, number>();
  for (const name of names) {
    ports.set(name, (await expose(laptop, { name, at: balancer.address })).port);
  }
  const [killed, successor] = replicas;
  ok(killed && successor);
  await untilAllAt(cluster, names, killed);
  const uidsNow = async () => {
    const made = new Map(
      (await cluster.list(PLACES.services)).map(({ metadata }) => [metadata.name, metadata.uid]),
    );
    return names.map((name) => made.get(name));
  };
  await until(async () => !(await uidsNow()).includes(undefined), "all Services are there");
  const uids = await uidsNow();
  const [[name, port] = ["", 0]] = ports;
  await using visitors = new Visitors(cluster, { name, port });
  await visitors.untilMore();
  deepStrictEqual(visitors.failures, []);
  await killed.connector.stop("SIGKILL");
  const tookMs = await untilAllAt(cluster, names, successor);
  ok(tookMs < withinMs, `it took ${tookMs} ms`);
  // Those who looked the endpoint up before it had followed.
  await visitors.untilMore();
  visitors.failures.length = 0;
  await visitors.untilMore();
  deepStrictEqual(visitors.failures, [], "whoever comes now is served");
  for (const port of ports.values()) await visit(successor.podIp, port);
  // The very same Services, with the addresses that visitors know.
  deepStrictEqual(await uidsNow(), uids);
}

Deno.test("a replica that drains: no visitor is refused, and its port closes last", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 2);
  const { replicas } = world;
  await using balancer = new LinkBalancer(replicas.map(({ host }) => host));
  await using laptop = await startLaptop();
  const { id, port } = await expose(laptop, { name: "web", at: balancer.address });
  const [leaving, successor] = replicas;
  ok(leaving && successor);
  await untilAt(cluster, "web", leaving);
  await until(async () => await registrationAt(leaving, id) === "registered", "it is registered");

  await using visitors = new Visitors(cluster, { name: "web", port });
  const stopped = leaving.connector.stop("SIGTERM", { timeoutMs: 30_000 });
  await untilAt(cluster, "web", successor);
  // Its port is open still.
  await visit(leaving.podIp, port);
  strictEqual((await stopped).code, 0);
  await visitors.untilMore();
  deepStrictEqual(visitors.failures, []);
  await untilAt(cluster, "web", successor);
});

Deno.test("a lost link that comes back at another replica: connections at the former one end soon", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 2);
  const { replicas } = world;
  await using balancer = new LinkBalancer(replicas.map(({ host }) => host));
  await using laptop = await startLaptop();
  const { id, port } = await expose(laptop, { name: "web", at: balancer.address });
  const [former, successor] = replicas;
  ok(former && successor);
  await untilAt(cluster, "web", former);
  await until(async () => await registrationAt(former, id) === "registered", "it is registered");
  using visitor = await Deno.connect({ hostname: former.host, port });
  await writeAll(visitor, new TextEncoder().encode("hello"));
  await visitor.read(new Uint8Array(5));
  const ended = visitor.read(new Uint8Array(1)).catch(() => null);
  balancer.order = [successor.host];
  balancer.cut();
  // It would wait for the laptop for 75 s.
  strictEqual(await soon(ended, "it has ended"), null);
  match(former.connector.logs(), /link lost, connections wait/);
  await untilAt(cluster, "web", successor);
  await visit(successor.podIp, port);
});

Deno.test("a replica that comes back late takes nothing from its successor", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 2);
  const { replicas } = world;
  await using balancer = new LinkBalancer(replicas.map(({ host }) => host));
  await using laptop = await startLaptop();
  const { id, port } = await expose(laptop, { name: "web", at: balancer.address });
  const [late, successor] = replicas;
  ok(late && successor);
  await untilAt(cluster, "web", late);
  late.connector.signal("SIGSTOP");
  balancer.order = [successor.host];
  balancer.cut();
  await untilAt(cluster, "web", successor);
  const lease = await cluster.get(`${PLACES.leases}/web`);
  late.connector.signal("SIGCONT");
  await until(
    async () => ["moved", undefined].includes(await registrationAt(late, id)),
    "the late one knows that it is another's",
  );
  // Something that a connector puts right, if it takes the service for its own.
  await cluster.patch(`${PLACES.services}/web`, { spec: { publishNotReadyAddresses: false } });
  await untilThere(cluster, `${PLACES.services}/web`, {
    fits: ({ spec }) => spec.publishNotReadyAddresses === true,
  });
  deepStrictEqual(await endpointsOf(cluster, "web"), [successor.podIp]);
  deepStrictEqual((await cluster.get(`${PLACES.leases}/web`))?.spec, lease?.spec);
  await visit(successor.podIp, port);

  // Once the peer has come back to it, it is its turn again.
  balancer.order = [late.host];
  balancer.cut();
  await untilAt(cluster, "web", late);
  await until(async () => await registrationAt(late, id) === "registered", "its list says so");
});

Deno.test("a name that another peer has at another replica is taken", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 2);
  const [first, second] = world.replicas;
  ok(first && second);
  await using mine = await startLaptop();
  await using theirs = await startLaptop();
  const held = await expose(mine, { name: "web", at: first.connector.address });
  await untilAt(cluster, "web", first);
  const asked = await expose(theirs, { name: "web", at: second.connector.address });
  await until(
    async () => await theirs.connector.rest.statusOf(asked.id) === "ERROR",
    "the second peer's is in error",
  );
  const [listed] = await theirs.connector.rest.list();
  match(listed?.message ?? "", /the name "web" is taken/);
  deepStrictEqual(await endpointsOf(cluster, "web"), [first.podIp]);

  // When the first goes, it is the second's.
  await mine.connector.rest.request("DELETE", `/expose/${held.id}`);
  await untilAt(cluster, "web", { ...second, timeoutMs: 30_000 });
  await until(
    async () => await theirs.connector.rest.statusOf(asked.id) === "COMPLETE",
    "the second peer's is complete",
    { timeoutMs: 30_000 },
  );
});

Deno.test("a Service that somebody else has made gets no endpoint of ours, then or later", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 1);
  const [replica] = world.replicas;
  ok(replica);
  await using laptop = await startLaptop();
  const foreign = { metadata: { name: "web" }, spec: { ports: [{ port: 80 }] } };
  await cluster.create(PLACES.services, foreign);
  const { id } = await expose(laptop, { name: "web", at: replica.connector.address });
  await until(
    async () => await laptop.connector.rest.statusOf(id) === "ERROR",
    "the service is in error",
  );
  deepStrictEqual(await endpointsOf(cluster, "web"), []);
  await cluster.delete(`${PLACES.services}/web`);
  await untilAt(cluster, "web", { ...replica, timeoutMs: 30_000 });

  // Somebody takes the name while the connector does not look.
  replica.connector.signal("SIGSTOP");
  await cluster.delete(`${PLACES.services}/web`);
  await cluster.create(PLACES.services, foreign);
  replica.connector.signal("SIGCONT");
  await until(async () => (await endpointsOf(cluster, "web")).length === 0, "it leads nowhere");
  await until(
    async () => await laptop.connector.rest.statusOf(id) === "ERROR",
    "the service is in error",
  );
});

Deno.test("a name whose replica was lost with its pod is anybody's", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 2);
  const [lost, other] = world.replicas;
  ok(lost && other);
  {
    await using laptop = await startLaptop();
    await expose(laptop, { name: "web", at: lost.connector.address });
    await untilAt(cluster, "web", lost);
    await lost.connector.stop("SIGKILL");
  }
  await deletePod(cluster, lost.pod);
  await using laptop = await startLaptop();
  await expose(laptop, { name: "web", at: other.connector.address });
  await untilAt(cluster, "web", other);
});

Deno.test("without POD_IP a connector makes the contract's Services, whatever it is called", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 0);
  await using acceptor = await spawnConnector({
    args: ["--integration=kubernetes", "--namespace=shipyard"],
    env: { KUBECONFIG: world.kubeconfig, POD_NAME: "connector-1" },
  });
  await using laptop = await startLaptop();
  const { port } = await expose(laptop, { name: "web", at: acceptor.address });
  const { spec } = await untilThere(cluster, `${PLACES.services}/web`);
  deepStrictEqual(spec.selector, { app: "connector" });
  strictEqual(await refuses(port), false);
});

Deno.test("kubectl reads what a replica makes, as one would to find the owner", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 1);
  const [replica] = world.replicas;
  ok(replica);
  await using balancer = new LinkBalancer([replica.host]);
  await using laptop = await startLaptop();
  const { port } = await expose(laptop, { name: "web", at: balancer.address });
  await untilAt(cluster, "web", replica);
  await untilThere(cluster, `${PLACES.services}/web`);
  const kubectl = async (...args: string[]) => {
    const { code, stdout, stderr } = await runProgram("kubectl", {
      args: ["--kubeconfig", await cluster.kubeconfig({ token: "admin" }), ...args],
    });
    strictEqual(code, 0, stderr);
    return stdout;
  };
  match(await kubectl("get", "service", "web"), new RegExp(`web +ClusterIP .*${port}/TCP`));
  match(
    await kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=web"),
    new RegExp(`web-connector +IPv4 +${port} +${replica.podIp}`),
  );
  match(await kubectl("get", "lease", "web"), new RegExp(`web +pod/shipyard/${replica.pod}`));
  match(
    await kubectl("get", "services", "-l", "app.kubernetes.io/managed-by=connector"),
    /^web /m,
  );
});
