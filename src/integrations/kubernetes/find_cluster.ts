// Finds the Kubernetes API: by the variables and files that every pod has, or by a kubeconfig.

import * as path from "node:path";
import { ConnectorError } from "../../model/errors.ts";
import type { SchedulerVariables } from "../integration.ts";
import { type Cluster, readText } from "./cluster.ts";

/** Where Kubernetes puts what a pod needs. https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * Finds the cluster: `KUBECONFIG` comes first, then the pod's own.
 *
 * @throws {ConnectorError} when there is neither, or the kubeconfig cannot be used.
 */
export async function findCluster(variables: SchedulerVariables): Promise<Cluster> {
  if (variables.KUBECONFIG) {
    // Nobody needs a parser of YAML in a cluster.
    const { readKubeconfig } = await import("./kubeconfig.ts");
    return readKubeconfig(variables.KUBECONFIG, await readText(variables.KUBECONFIG));
  }
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = variables;
  if (!host || !port) {
    throw new ConnectorError(
      "failed_precondition",
      "Cannot find the Kubernetes API: neither KUBECONFIG nor KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are set",
      { hint: "run in a pod, or set KUBECONFIG to the path of a kubeconfig" },
    );
  }
  const read = (name: string) =>
    readText(path.join(SERVICE_ACCOUNT, name), {
      hint: "let the pod have its token: automountServiceAccountToken: true",
    });
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: (await read("namespace").catch(() => undefined))?.trim(),
    async credentials() {
      const [ca, token] = await Promise.all([read("ca.crt"), read("token")]);
      return { ca, token: token.trim(), certificate: undefined };
    },
  };
}
