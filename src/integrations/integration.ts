// The one seam between a connector and a scheduler: what an integration is given, and what may be asked of it. It
// subscribes to the connector's events and says where services stand; it may resolve destinations. No connection ever
// waits for it, except one to a destination that only the scheduler can resolve.

import type { Logger } from "@logtape/logtape";
import type { Address, ResolveDestination } from "../model/address.ts";
import type { EventStream } from "../model/events.ts";
import type { Registration, ServiceReport } from "../model/service.ts";

/** What an integration may be called. */
export const SCHEDULERS = ["kubernetes", "nomad"] as const;

/** Which integration, and what it is told. */
export interface IntegrationOptions {
  name: typeof SCHEDULERS[number];
  /** Of Kubernetes: where Services are made. */
  namespace: string;
}

/** Every variable that an integration reads. */
export const SCHEDULER_VARIABLES = [
  "KUBECONFIG",
  "KUBERNETES_SERVICE_HOST",
  "KUBERNETES_SERVICE_PORT",
  "POD_NAME",
  "POD_IP",
  "HOSTNAME",
  "NOMAD_ADDR",
  "NOMAD_TOKEN",
  "NOMAD_NAMESPACE",
  "NOMAD_CACERT",
] as const;

/** Their values; one that is unset has none. */
export type SchedulerVariables = Partial<
  Record<typeof SCHEDULER_VARIABLES[number], string | undefined>
>;

/** What an integration knows of its connector. */
export interface Host {
  readonly events: EventStream;
  /** Every service as it is now. */
  list(): ServiceReport[];
  /** Says where a service stands with the scheduler, for whoever reads the list and for the peer whose service it is. */
  register(id: string, registration: Registration): void;
  readonly logger: Logger;
}

/**
 * A scheduler that a connector works with. Disposing removes what it has registered, for a few seconds at most, and ends
 * it; what could not be removed is left to whoever finds it.
 */
export interface Integration extends AsyncDisposable {
  /** Begins to register what the host lists. */
  start(host: Host): void;
  /** What finds a destination with the scheduler; undefined for an ordinary address. Must not wait. */
  resolverOf?(destination: Address): ResolveDestination | undefined;
  /**
   * The connector is about to drain, and peers have been told to open links elsewhere. Resolves when visitors of every
   * service that could be handed over arrive elsewhere, or when the signal is aborted. Never rejects.
   */
  handOver?(signal: AbortSignal): Promise<void>;
}
