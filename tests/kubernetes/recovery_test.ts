// What a connector that was killed has left in the cluster, and how one finds the API as every pod does.

import { ok, strictEqual } from "node:assert/strict";
import { KubernetesIntegration } from "../../src/integrations/kubernetes/kubernetes_integration.ts";
import { startConnector, until } from "../support/world.ts";
import { Cluster, PLACES } from "./cluster.ts";
import {
  CONTRACT_ROLE,
  createPod,
  deletePod,
  expose,
  spawnRegistering,
  startLaptop,
  untilGone,
  untilThere,
  withRights,
} from "./connectors.ts";
import { LinkBalancer, startReplicas, untilAt } from "./replicas.ts";

/** How often it is looked for what others have left, in milliseconds: in the program it is a minute. */
const SWEEP_MS = 500;

Deno.test("after a crash, the next start takes up what is exposed again and removes the rest", async () => {
  await using cluster = await Cluster.start();
  const kubeconfig = await withRights(cluster);
  const killed = await spawnRegistering(kubeconfig);
  await using _killed = killed;
  await using laptop = await startLaptop();
  await expose(laptop, { name: "kept", at: killed.address });
  const left = await expose(laptop, { name: "left", at: killed.address });
  const kept = await untilThere(cluster, `${PLACES.services}/kept`);
  await untilThere(cluster, `${PLACES.services}/left`);
  await killed.stop("SIGKILL");
  await laptop.connector.rest.request("DELETE", `/expose/${left.id}`);

  const integration = await KubernetesIntegration.open({
    namespace: "shipyard",
    variables: { KUBECONFIG: kubeconfig },
    times: { sweepMs: SWEEP_MS },
  });
  await using _next = await startConnector({ bind: killed.address, integration });
  await untilGone(cluster, `${PLACES.services}/left`);
  const found = await untilThere(cluster, `${PLACES.services}/kept`);
  strictEqual(found.metadata.uid, kept.metadata.uid);
});

Deno.test("what others have made stays, whatever its labels say of other tools", async () => {
  await using cluster = await Cluster.start();
  const kubeconfig = await withRights(cluster);
  for (const tool of ["Helm", "connector"]) {
    await cluster.create(PLACES.services, {
      metadata: { name: tool.toLowerCase(), labels: { "app.kubernetes.io/managed-by": tool } },
      spec: { ports: [{ port: 80 }] },
    });
  }
  // A connector that is not a pod, of another machine.
  await cluster.create(PLACES.services, {
    metadata: {
      name: "elsewhere",
      labels: { "app.kubernetes.io/managed-by": "connector" },
      annotations: { "connector.jumppad.dev/owner": "host/elsewhere" },
    },
    spec: { ports: [{ port: 80 }] },
  });
  await createPod(cluster, "living");
  await cluster.create(PLACES.services, {
    metadata: {
      name: "of-a-living-pod",
      labels: { "app.kubernetes.io/managed-by": "connector" },
      annotations: { "connector.jumppad.dev/owner": "pod/shipyard/living" },
    },
    spec: { ports: [{ port: 80 }] },
  });
  const integration = await KubernetesIntegration.open({
    namespace: "shipyard",
    variables: { KUBECONFIG: kubeconfig },
    times: { sweepMs: 100 },
  });
  await using _connector = await startConnector({ integration });
  // Of a pod that is no more: once it is gone, everything was looked at more than once.
  await cluster.create(PLACES.services, {
    metadata: {
      name: "of-a-lost-pod",
      labels: { "app.kubernetes.io/managed-by": "connector" },
      annotations: { "connector.jumppad.dev/owner": "pod/shipyard/lost" },
    },
    spec: { ports: [{ port: 80 }] },
  });
  await untilGone(cluster, `${PLACES.services}/of-a-lost-pod`);
  const names = (await cluster.list(PLACES.services)).map(({ metadata }) => metadata.name);
  strictEqual(names.sort().join(" "), "connector elsewhere helm of-a-living-pod");
});

Deno.test("what a replica has left that was lost with its pod, another one removes", async () => {
  await using cluster = await Cluster.start();
  await using world = await startReplicas(cluster, 1);
  const [lost] = world.replicas;
  ok(lost);
  await using balancer = new LinkBalancer([lost.host]);
  {
    await using laptop = await startLaptop();
    await expose(laptop, { name: "web", at: balancer.address });
    await untilAt(cluster, "web", lost);
    await untilThere(cluster, `${PLACES.services}/web`);
    await lost.connector.stop("SIGKILL");
  }
  const integration = await KubernetesIntegration.open({
    namespace: "shipyard",
    variables: { KUBECONFIG: world.kubeconfig, POD_NAME: "other", POD_IP: "10.0.0.99" },
    times: { sweepMs: SWEEP_MS },
  });
  await using _other = await startConnector({ integration });
  ok(await cluster.get(`${PLACES.services}/web`), "its pod is there still");
  await deletePod(cluster, lost.pod);
  await untilGone(cluster, `${PLACES.services}/web`);
  await untilGone(cluster, `${PLACES.slices}/web-connector`);
  await untilGone(cluster, `${PLACES.leases}/web`);
});

Deno.test("in a pod, the API is found and trusted by what every pod has", async () => {
  await using cluster = await Cluster.start();
  await cluster.apply(CONTRACT_ROLE);
  const account = `${cluster.folder}/account`;
  await Deno.mkdir(account);
  await Deno.writeTextFile(`${account}/token`, await cluster.token("shipyard", "connector"));
  await Deno.writeTextFile(`${account}/namespace`, "shipyard");
  await Deno.copyFile(cluster.caFile, `${account}/ca.crt`);
  const url = new URL(cluster.server);
  await createPod(cluster, "connector-0");
  // Mounts of its own: what is there for a pod is not there for this machine.
  const script = [
    "set -e",
    "mount -t tmpfs tmpfs /run",
    "mkdir -p /run/secrets/kubernetes.io/serviceaccount",
    `mount --bind ${account} /run/secrets/kubernetes.io/serviceaccount`,
    'exec "$@"',
  ].join("\n");
  await using acceptor = await spawnRegistering("", {
    through: ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"],
    env: {
      KUBERNETES_SERVICE_HOST: url.hostname,
      KUBERNETES_SERVICE_PORT: url.port,
      HOSTNAME: "connector-0",
    },
  });
  await using laptop = await startLaptop();
  await expose(laptop, { name: "web", at: acceptor.address });
  const service = await untilThere(cluster, `${PLACES.services}/web`);
  strictEqual(
    service.metadata.annotations?.["connector.jumppad.dev/owner"],
    "pod/shipyard/connector-0",
  );
  await until(() => acceptor.logs().includes("owner=pod/shipyard/connector-0"), "its log says so");
});
