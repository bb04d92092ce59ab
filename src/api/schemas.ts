// What requests have besides a body, and the JSON of answers. Pure: nothing here knows HTTP beyond the status of a
// refusal. request_bodies.ts reads bodies.

import { HTTPException } from "hono/http-exception";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { ConnectionStats, Registration, ServiceReport } from "../model/service.ts";
import type { ConfigState } from "../tunnel/config_in_force.ts";
import type {
  ConfigJson,
  ConnectionsJson,
  PeerJson,
  RegistrationJson,
  ServiceJson,
} from "./answers.ts";
import { oneLine, quoteValue } from "./quote.ts";

/** The longest that a caller may wait for a service to be complete, in seconds. */
export const MAX_WAIT_S = 300;

/**
 * Reads the query parameter `wait` of `POST /expose`. Returns milliseconds, 0 when it is absent.
 *
 * @throws {HTTPException} 422 when it is no number of seconds.
 */
export function parseWait(text: string | undefined): number {
  if (text === undefined) return 0;
  const seconds = /^\d{1,3}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
  if (seconds <= MAX_WAIT_S) return seconds * 1000;
  throw new HTTPException(422, {
    message: `wait: got ${quoteValue(text)}, want a number of seconds from 0 to ${MAX_WAIT_S}`,
  });
}

const TYPES = { local: "LOCAL", remote: "REMOTE" } as const;
const STATUSES = { pending: "PENDING", complete: "COMPLETE", error: "ERROR" } as const;

/** A service as `GET /list` and `GET /expose/{id}` show it: the keys that clients of the contract know, then ours. */
export function serviceToJson(report: ServiceReport): ServiceJson {
  return {
    id: report.id,
    name: report.name,
    source_port: report.sourcePort,
    ...(report.sourceAddr === undefined ? {} : { source_addr: report.sourceAddr }),
    remote_connector_addr: report.remoteConnectorAddr,
    destination_addr: report.destinationAddr,
    type: TYPES[report.type],
    status: STATUSES[report.status],
    ...(report.message === undefined ? {} : { message: oneLine(report.message) }),
    origin: report.origin,
    since: report.since.toISOString(),
    ...(report.lastError && {
      last_error: oneLine(report.lastError.message),
      last_error_at: report.lastError.at.toISOString(),
    }),
    ...(report.retryAt && { retry_at: report.retryAt.toISOString() }),
    connections: connectionsToJson(report.connections),
    ...(report.peer === undefined ? {} : { peer: peerToJson(report.peer) }),
    ...(report.registration && { registration: registrationToJson(report.registration) }),
  };
}

function registrationToJson(
  { scheduler, name, state, message }: Registration,
): RegistrationJson {
  return {
    scheduler,
    name,
    state,
    ...(message === undefined ? {} : { message: oneLine(message) }),
  };
}

/** The options that are in force, and the configuration file, as `GET /config` shows them. */
export function configToJson(
  options: ConfigJson["options"],
  { file, needRestart = [], problem }: Partial<ConfigState> = {},
): ConfigJson {
  return {
    ...(file !== undefined && { file: oneLine(file) }),
    options: options.map(({ name, value, origin }) => ({
      name,
      value: oneLine(value),
      origin: oneLine(origin),
    })),
    need_restart: [...needRestart],
    ...(problem !== undefined && { problem: oneLine(problem) }),
  };
}

function connectionsToJson(stats: ConnectionStats): ConnectionsJson {
  return {
    open: stats.open,
    total: stats.total,
    failed: stats.failed,
    refused: stats.refused,
    resuming: stats.resuming,
    resumed: stats.resumed,
    not_resumed: stats.notResumed,
    bytes_in: stats.bytesIn,
    bytes_out: stats.bytesOut,
    ...(stats.lastClose === undefined ? {} : { last_close: oneLine(stats.lastClose) }),
  };
}

/** A peer as lists show it. */
export function peerToJson({ address, identity, principal }: PeerInfo): PeerJson {
  const who = {
    address,
    principal: principal?.displayName,
    fingerprint: principal?.certificate?.key,
  };
  if (identity === undefined) return who;
  return {
    ...who,
    subject: oneLine(identity.subject),
    spiffe: identity.spiffe === undefined ? undefined : oneLine(identity.spiffe),
    dns_names: shownNames(identity.dnsNames),
    ip_addresses: shownNames(identity.ipAddresses),
  };
}

/** Characters of the names of one kind that are shown of a certificate, which may have a hundred of 500 each. */
const MAX_NAMES_LENGTH = 4000;

/** The first names, as many as fit. */
function shownNames(names: readonly string[]): string[] {
  let left = MAX_NAMES_LENGTH;
  return names.map(oneLine).filter((name) => (left -= name.length) >= 0);
}
