// Opens the integration that is asked for by its name; it is loaded only then. Used by assemble.ts.

import type { Integration, IntegrationOptions, SchedulerVariables } from "./integration.ts";

/**
 * Opens an integration, if one is wanted. The scheduler need not be there yet.
 *
 * @throws {ConnectorError} when nothing says where it is, or what says so cannot be used.
 */
export async function openIntegration(
  options: IntegrationOptions | undefined,
  variables: SchedulerVariables,
): Promise<Integration | undefined> {
  if (options === undefined) return undefined;
  const { name, namespace } = options;
  if (name === "kubernetes") {
    const { KubernetesIntegration } = await import("./kubernetes/kubernetes_integration.ts");
    return await KubernetesIntegration.open({ namespace, variables });
  }
  const { NomadIntegration } = await import("./nomad/nomad_integration.ts");
  return NomadIntegration.open({ variables });
}
