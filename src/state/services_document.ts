// The text of a state file: what services it says were exposed, and back. Pure; state_file.ts reads and writes it.

import * as z from "zod";
import { isAddress, MAX_ADDRESS_LENGTH } from "../address.ts";
import { ConnectorError } from "../errors.ts";
import { isServiceName, type Service } from "../service.ts";

/** The version that is written, and the only one that is read. */
const VERSION = 1;

const address = z.string().max(MAX_ADDRESS_LENGTH, { abort: true }).refine(isAddress);

const service = z.strictObject({
  id: z.uuid(),
  name: z.string().refine(isServiceName),
  type: z.enum(["local", "remote"]),
  source_port: z.int().min(1).max(65535),
  remote_connector_addr: address,
  destination_addr: address,
});

const document = z.strictObject({
  version: z.literal(VERSION),
  services: z.array(service),
});

/** Writes services as JSON that people can read. */
export function formatServices(services: readonly Service[]): string {
  const written: z.input<typeof document> = {
    version: VERSION,
    services: services.map((each) => ({
      id: each.id,
      name: each.name,
      type: each.type,
      source_port: each.sourcePort,
      remote_connector_addr: each.remoteConnectorAddr,
      destination_addr: each.destinationAddr,
    })),
  };
  return `${JSON.stringify(written, null, 2)}\n`;
}

/**
 * Reads what `formatServices` wrote.
 *
 * @throws {ConnectorError} `invalid_argument` saying where it is anything else.
 */
export function parseServices(text: string): Service[] {
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
  const { services } = result.data;
  const ids = new Set(services.map(({ id }) => id));
  if (ids.size < services.length) {
    throw new ConnectorError("invalid_argument", "an id is there twice");
  }
  return services.map((each) => ({
    id: each.id,
    name: each.name,
    type: each.type,
    sourcePort: each.source_port,
    remoteConnectorAddr: each.remote_connector_addr,
    destinationAddr: each.destination_addr,
  }));
}
