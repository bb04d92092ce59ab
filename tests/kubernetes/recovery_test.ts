// What a connector that was killed has left in the cluster, and how one finds the API as every pod does.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { KubernetesIntegration } from "../../src/integrations/kubernetes/kubernetes_integration.ts";
import { Child } from "../support/child.ts";
import { makePki } from "../support/mtls.ts";
import { commandLine, exposeService, spawnConnector } from "../support/processes.ts";
import { exchangePorts, freePorts } from "../support/readme_commands.ts";
import { echo, roundTrip, serveTcp, startConnector } from "../support/world.ts";
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
    variables: { KUBECONFIG: kubeconfig, HOSTNAME: "here" },
    // The laptop is to be back by then, on a busy machine, too.
    times: { sweepMs: 2000 },
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
    variables: { KUBECONFIG: kubeconfig, HOSTNAME: "here" },
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

Deno.test("the known deployment of the Go connector runs as it is, in a pod, with its rights", async () => {
  await using cluster = await Cluster.start();
  await cluster.create("/api/v1/namespaces", { metadata: { name: "jumppad" } });
  await cluster.apply(CONTRACT_ROLE);
  const { root, leaf } = await makePki();
  const files = {
    "token": await cluster.token("shipyard", "connector"),
    "namespace": "shipyard",
    "ca.crt": await Deno.readTextFile(cluster.caFile),
    "root.crt": root.certificate,
    "tls.crt": leaf.certificate,
    "tls.key": leaf.key,
  };
  const folder = `${cluster.folder}/pod`;
  await Deno.mkdir(folder);
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
  await createPod(cluster, "connector-0");
  const args = [
    "--grpc-bind=:60000",
    "--http-bind=:60001",
    "--root-cert-path=/etc/connector/tls/root.crt",
    "--server-cert-path=/etc/connector/tls/tls.crt",
    "--server-key-path=/etc/connector/tls/tls.key",
    "--namespace=jumppad",
    "--log-level=info",
    "--integration=kubernetes",
  ];
  const ports = freePorts(60000, 60001);
  const here = (arg: string) => exchangePorts(arg.replace("/etc/connector/tls", folder), ports);
  // Mounts of its own: what is there for a pod is not there for this machine.
  const script = [
    "set -e",
    "mount -t tmpfs tmpfs /run",
    "mkdir -p /run/secrets/kubernetes.io/serviceaccount",
    `mount --bind ${folder} /run/secrets/kubernetes.io/serviceaccount`,
    'exec "$@"',
  ].join("\n");
  const line = commandLine(["run", ...args.map(here)]);
  const url = new URL(cluster.server);
  await using acceptor = new Child("unshare", {
    ...line.options,
    args: [
      ...["--map-root-user", "--mount", "sh", "-c", script, "sh", line.command],
      ...line.options.args,
    ],
    env: {
      ...line.options.env,
      KUBERNETES_SERVICE_HOST: url.hostname,
      KUBERNETES_SERVICE_PORT: url.port,
      HOSTNAME: "connector-0",
    },
  });
  await acceptor.waitFor(/connector started/);
  match(acceptor.stderr, /namespace=jumppad owner=pod\/shipyard\/connector-0 replicas=false/);

  await using server = serveTcp(echo);
  const tlsFlags = args.slice(2, 5).map(here);
  await using laptop = await spawnConnector({ tls: { flags: tlsFlags, root: root.certificate } });
  const { port } = await exposeService(laptop, {
    to: here("localhost:60000"),
    type: "local",
    destination: server.port,
    name: "My Web",
  });
  const service = await untilThere(cluster, "/api/v1/namespaces/jumppad/services/my-web");
  deepStrictEqual(service.spec.selector, { app: "connector" });
  strictEqual(
    service.metadata.annotations?.["connector.jumppad.dev/owner"],
    "pod/shipyard/connector-0",
  );
  await roundTrip(port);
});
