// The text of a state file: what services it says were exposed, the secret of the connector that did, and back. Pure;
// state_file.ts reads and writes it.

import * as z from "zod";
import { isAddress, MAX_ADDRESS_LENGTH } from "../model/address.ts";
import { ConnectorError } from "../model/errors.ts";
import { canonicalIp, isListenIp } from "../model/ip.ts";
import { InstanceSecret } from "../instance_secret.ts";
import { isServiceName, type Service } from "../model/service.ts";

/** The version that is written, and the only one that is read. */
const VERSION = 1;

const text = z.string().max(MAX_ADDRESS_LENGTH, { abort: true });
const address = text.refine((each) => isAddress(each));
const destination = text.refine((each) => isAddress(each, { labels: true }));

const service = z.strictObject({
  id: z.uuid(),
  name: z.string().refine(isServiceName),
  type: z.enum(["local", "remote"]),
  source_port: z.int().min(1).max(65535),
  source_addr: z.string().refine(isListenIp).optional(),
  remote_connector_addr: address,
  destination_addr: destination,
});

const document = z.strictObject({
  version: z.literal(VERSION),
  instance: z.string().optional(),
  services: z.array(service),
});

/** What a state file holds. */
export interface KeptState {
  /** What proves to peers that the services are this connector's. Files of version 0.1.0 have none. */
  instance?: InstanceSecret | undefined;
  services: readonly Service[];
}

/** Writes what is kept as JSON that people can read. */
export function formatState({ instance, services }: KeptState): string {
  const written: z.input<typeof document> = {
    version: VERSION,
    ...(instance && { instance: instance.export() }),
    services: services.map((each) => ({
      id: each.id,
      name: each.name,
      type: each.type,
      source_port: each.sourcePort,
      ...(each.sourceAddr !== undefined && { source_addr: each.sourceAddr }),
      remote_connector_addr: each.remoteConnectorAddr,
      destination_addr: each.destinationAddr,
    })),
  };
  return `${JSON.stringify(written, null, 2)}\n`;
}

/**
 * Reads what `formatState` wrote.
 *
 * @throws {ConnectorError} `invalid_argument` saying where it is anything else.
 */
export function parseState(text: string): KeptState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ConnectorError("invalid_argument", "it is not JSON", { cause: error });
  }
  const result = document.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue === undefined || issue.path.length === 0 ? "it" : issue.path.join(".");
    throw new ConnectorError(
      "invalid_argument",
      `${place} is not what a connector writes (version ${VERSION})`,
    );
  }
  const { instance, services } = result.data;
  const ids = new Set(services.map(({ id }) => id));
  if (ids.size < services.length) {
    throw new ConnectorError("invalid_argument", "an id is there twice");
  }
  return {
    instance: instance === undefined ? undefined : importSecret(instance),
    services: services.map((each) => ({
      id: each.id,
      name: each.name,
      type: each.type,
      sourcePort: each.source_port,
      ...(each.source_addr !== undefined && { sourceAddr: canonicalIp(each.source_addr) }),
      remoteConnectorAddr: each.remote_connector_addr,
      destinationAddr: each.destination_addr,
    })),
  };
}

function importSecret(text: string): InstanceSecret {
  try {
    return InstanceSecret.import(text);
  } catch (error) {
    const problem = `instance is not what a connector writes (version ${VERSION})`;
    throw new ConnectorError("invalid_argument", problem, { cause: error });
  }
}
