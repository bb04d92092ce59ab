// What a service is, what is known of it now, and what can be asked about services. Used by the
// wire codecs, the tunnel, and the skins over it (REST and gRPC).

import type { ErrorCode } from "./errors.ts";
import type { PeerInfo } from "./peer_identity.ts";

/** Which side listens: `local` is reachable at the remote connector, `remote` at this one. */
export type ServiceType = "local" | "remote";

/** The two sides of a service: the ingress listens for visitors, the egress dials the destination. */
export type Side = "ingress" | "egress";

/** The longest name of a service, in UTF-16 code units. */
export const MAX_NAME_LENGTH = 255;
/** The most services that one peer may have exposed here over one link. */
export const MAX_SERVICES_PER_LINK = 2000;

/** Whether a text can name a service: not empty, not too long, and fit to be shown. */
export function isServiceName(text: string): boolean {
  return text.length >= 1 && text.length <= MAX_NAME_LENGTH && text.isWellFormed() &&
    !/\p{Cc}/u.test(text);
}

/** What a user asks for. */
export interface ServiceRequest {
  /** Name for people, 1 to 255 characters. */
  name: string;
  /** TCP port that the ingress listens on, 1 to 65535. */
  sourcePort: number;
  /** IP address that the ingress listens on, in its one spelling. Absent: where its connector listens for services. */
  sourceAddr?: string;
  /** host:port of the gRPC endpoint of the connector to expose to. */
  remoteConnectorAddr: string;
  /** host:port that the egress dials. */
  destinationAddr: string;
  type: ServiceType;
}

/** Two services of one connector with the same text cannot be: they would listen on one port, at one peer or here. */
export function listenKey({ type, sourcePort, remoteConnectorAddr }: ServiceRequest): string {
  return type === "local" ? `${sourcePort} at ${remoteConnectorAddr}` : `${sourcePort} here`;
}

/** A service that was taken up. */
export interface Service extends ServiceRequest {
  /** UUID, made by the connector that was asked to expose. */
  id: string;
}

/**
 * Where a service stands now.
 * - `pending`: the peer has not confirmed it, or the link to it is down
 * - `complete`: both sides are ready and the ingress listens
 * - `error`: one side could not take it up; the report's `message` says why
 */
export type ServiceStatus = "pending" | "complete" | "error";

/** Where a service comes from: REST or gRPC, the configuration file, or a peer that has exposed it here. */
export type ServiceOrigin = "api" | "file" | "peer";

/** How many services there are of each origin and status, and how many stand where with the scheduler. */
export interface ServiceCounts extends Record<"own" | "peer", Record<ServiceStatus, number>> {
  registrations: Record<RegistrationState, number>;
}

/** What was counted of a service's connections, on this side, since it was taken up. */
export interface ConnectionStats {
  /** Open now. */
  open: number;
  /** Ever, those that came to nothing too. */
  total: number;
  /** Of those, the ones that did not end in order: refused, reset, or lost with the link. */
  failed: number;
  /** Of those, the ones turned away because too many were open. */
  refused: number;
  /** Those that wait now because their link is lost. */
  resuming: number;
  /** How often one has gone on over another link after its own was lost. */
  resumed: number;
  /** Those that ended because no other link has followed. */
  notResumed: number;
  /** Bytes from visitors to the destination. */
  bytesIn: number;
  /** Bytes from the destination to visitors. */
  bytesOut: number;
  /** Why the last one ended, in words. */
  lastClose?: string;
}

/** A connection of a service that is open now. */
export interface ConnectionReport {
  /** host:port of the visitor; empty where the peer does not tell. */
  visitor: string;
  /** host:port of the other end of the socket here, once it is carried; before that it waits for a link or is dialled. */
  remote?: string;
  /** When it was let in. */
  since: Date;
}

/** Some of the connections that are open, in any order, and how many more there are. */
export interface ConnectionReports {
  connections: ConnectionReport[];
  more: number;
}

/**
 * Where a service stands with the scheduler that this connector registers services with.
 * - `registered`: it can be found there
 * - `pending`: not yet, or the scheduler cannot be reached; tunnels go on
 * - `refused`: the scheduler, or somebody who has the name, does not let it be: the service is in error
 * - `moved`: another connector has it now, and its visitors
 */
export type RegistrationState = "registered" | "pending" | "refused" | "moved";

/** What a scheduler knows of a service. */
export interface Registration {
  /** The scheduler, as `--integration` names it. */
  scheduler: string;
  /** What the service is called there. */
  name: string;
  state: RegistrationState;
  /** Why it is not registered, in words. */
  message?: string;
  /** Of `refused`: what kind of refusal it is. */
  code?: ErrorCode;
}

/** A service and what is true of it now. */
export interface ServiceReport extends Service {
  origin: ServiceOrigin;
  status: ServiceStatus;
  /** Why it is in error or pending, in words. */
  message?: string;
  /** When the present status began. */
  since: Date;
  /** What went wrong last, though all may be well now. */
  lastError?: { message: string; at: Date };
  /** When it is tried again by itself; absent when nothing is to be tried, or a try is under way. */
  retryAt?: Date;
  connections: ConnectionStats;
  /** Who is at the other end of the link, while there is one. */
  peer?: PeerInfo;
  /** Whether its port is open here. */
  listening: boolean;
  /** A peer's: when it was asked for over the link that it is, or was, carried over. */
  takenUpAt?: Date;
  /** A peer's: a digest of whose it is (`Principal.claimKey`). */
  claimKey?: string;
  /** Where it stands with the scheduler; absent without an integration, and until that has looked at it. */
  registration?: Registration;
}

/** How to expose. */
export interface ExposeOptions {
  /** Waits so long, in milliseconds, until the service is complete. Default: 0, which does not wait. */
  waitMs?: number;
  /** Gives the wait up. */
  signal?: AbortSignal;
}

/** For whom something is asked. */
export interface AskOptions {
  /** A peer, which sees and touches only what it has exposed here itself. Default: the user, who may see all. */
  of?: PeerInfo | undefined;
}

/** What REST and gRPC can ask of a connector. */
export interface Control {
  /**
   * Takes up a service and resolves with its id; unless it waits, the peer may confirm it later. When it fails,
   * nothing of the service is left.
   *
   * @throws {ConnectorError} `invalid_argument`, `already_exists` (the port is taken, here or at the peer),
   *   `permission_denied`, `unavailable` (the peer refused), `deadline_exceeded` (not complete in time), `internal`
   *   (it could not be saved).
   */
  expose(request: ServiceRequest, options?: ExposeOptions): Promise<string>;
  /** One service. @throws {ConnectorError} `not_found`. */
  get(id: string): ServiceReport;
  /**
   * Removes a service on both sides.
   *
   * @throws {ConnectorError} `not_found`: one that is another's is not there, either.
   */
  destroy(id: string, options?: AskOptions): Promise<void>;
  /** Every service of this connector, those that peers exposed on it too. */
  list(options?: AskOptions): ServiceReport[];
}
