// Connectors that register with a test's cluster, as processes: outside of it by a kubeconfig, and as pods, whose objects
// the test makes because nothing runs pods there.

import {
  type ConnectorProcess,
  type ConnectorProcessOptions,
  spawnConnector,
} from "../support/processes.ts";
import { echo, freePort, serveTcp, until } from "../support/world.ts";
import { type Cluster, PLACES, type Thing } from "./cluster.ts";

/** The reference's ClusterRole, of the contract: no other right is to be needed without replicas. */
export const CONTRACT_ROLE = `
apiVersion: v1
kind: ServiceAccount
metadata: { name: connector, namespace: shipyard }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: service-creator }
rules:
  - apiGroups: [""]
    resources: [services, endpoints, pods]
    verbs: [get, list, watch, create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: service-creator }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: service-creator }
subjects: [{ kind: ServiceAccount, name: connector, namespace: shipyard }]
`;

/** Applies rights, and returns the path of a kubeconfig of the service account that has them. */
export async function withRights(cluster: Cluster, manifest = CONTRACT_ROLE): Promise<string> {
  await cluster.apply(manifest);
  return await cluster.kubeconfig({ token: await cluster.token("shipyard", "connector") });
}

/** Starts a connector that registers in `shipyard`. */
export function spawnRegistering(
  kubeconfig: string,
  { args = [], env = {}, ...options }: ConnectorProcessOptions = {},
): Promise<ConnectorProcess> {
  return spawnConnector({
    ...options,
    args: ["--integration=kubernetes", "--namespace=shipyard", ...args],
    env: { KUBECONFIG: kubeconfig, HOSTNAME: "here", ...env },
  });
}

/** Makes the Pod object of a connector: with it one is a replica. */
export async function createPod(cluster: Cluster, name: string): Promise<Thing> {
  return await cluster.create(PLACES.pods, {
    metadata: { name, labels: { app: "connector" } },
    spec: {
      serviceAccountName: "connector",
      automountServiceAccountToken: false,
      containers: [{ name: "connector", image: "connector" }],
    },
  });
}

/** Deletes it at once, as when a node is lost. */
export async function deletePod(cluster: Cluster, name: string): Promise<void> {
  await cluster.delete(`${PLACES.pods}/${name}?gracePeriodSeconds=0`);
}

/** An echo, and a connector that exposes it. */
export async function startLaptop(): Promise<
  { connector: ConnectorProcess; echoPort: number } & AsyncDisposable
> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(serveTcp(echo));
  const connector = stack.use(await spawnConnector());
  const kept = stack.move();
  return {
    connector,
    echoPort: server.port,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Exposes the echo under a name at another connector; returns the id and the port. */
export async function expose(
  laptop: { connector: ConnectorProcess; echoPort: number },
  { name, at, port = freePort() }: { name: string; at: string; port?: number },
): Promise<{ id: string; port: number }> {
  const { status, body } = await laptop.connector.rest.request("POST", "/expose", {
    body: JSON.stringify({
      name,
      source_port: port,
      remote_connector_addr: at,
      destination_addr: `127.0.0.1:${laptop.echoPort}`,
      type: "local",
    }),
  });
  if (status !== 200) throw new Error(`POST /expose: ${status} ${body}`);
  return { id: body, port };
}

/** Waits until an object is there and as wanted; returns it. */
export async function untilThere(
  cluster: Cluster,
  path: string,
  {
    fits = () => true,
    timeoutMs = 15_000,
  }: { fits?: (thing: Thing) => boolean; timeoutMs?: number } = {},
): Promise<Thing> {
  let found: Thing | undefined;
  await until(
    async () => {
      found = await cluster.get(path);
      return found !== undefined && fits(found);
    },
    `${path} is there and as wanted`,
    { timeoutMs },
  ).catch((error) => {
    throw new Error(`${error.message}; it is ${JSON.stringify(found)}`);
  });
  if (found === undefined) throw new TypeError("it was there");
  return found;
}

/** Waits until an object is gone. */
export async function untilGone(cluster: Cluster, path: string): Promise<void> {
  await until(async () => await cluster.get(path) === undefined, `${path} is gone`, {
    timeoutMs: 15_000,
  });
}
