// What the REST API takes and gives, as schemas: JSON keys in snake_case outside, our own names inside.

import { z } from "zod";
import { parseAddress } from "../address.ts";
import type { LeafRequest } from "../certs/leaf_issuer.ts";
import { ConnectorError } from "../errors.ts";
import type { PeerInfo } from "../peer_identity.ts";
import type { ServiceReport, ServiceRequest } from "../service.ts";

/** The longest name of a service, in characters. */
const MAX_NAME_LENGTH = 255;
/** So much of a refused value is quoted, in characters. */
const MAX_QUOTED_LENGTH = 100;

const address = z.string().check((context) => {
  try {
    parseAddress(context.value);
  } catch (error) {
    if (!(error instanceof ConnectorError)) throw error;
    // The sentence quotes the value itself.
    const message = error.message.slice(0, 3 * MAX_QUOTED_LENGTH);
    context.issues.push({ code: "custom", message, input: context.value });
  }
});

/** The body of `POST /expose`. Keys beside these are ignored, as the reference does. */
const exposeBody = z.object({
  name: z.string().min(1).max(MAX_NAME_LENGTH).regex(/^\P{C}*$/u, "want no control characters"),
  source_port: z.int().min(1).max(65535),
  remote_connector_addr: address,
  destination_addr: address,
  type: z.enum(["local", "remote"]),
}).transform((body): ServiceRequest => ({
  name: body.name,
  sourcePort: body.source_port,
  remoteConnectorAddr: body.remote_connector_addr,
  destinationAddr: body.destination_addr,
  type: body.type,
}));

/** The most names of one kind that a certificate is issued for. */
const MAX_CERTIFICATE_NAMES = 100;
/** The longest name, in characters: a DNS name with a port. */
const MAX_SUBJECT_NAME_LENGTH = 260;

const subjectNames = z.array(z.string().min(1).max(MAX_SUBJECT_NAME_LENGTH))
  .max(MAX_CERTIFICATE_NAMES).optional().default([]);

/** The body of `POST /certificate`. What a name may be is the issuer's to say. */
const certificateBody = z.object({
  name: z.string().min(1).max(MAX_NAME_LENGTH),
  ip_addresses: subjectNames,
  dns_names: subjectNames,
}).transform((body): LeafRequest => ({
  name: body.name,
  ipAddresses: body.ip_addresses,
  dnsNames: body.dns_names,
}));

/** What was wanted of each field, for the sentence that refuses it. */
const WANTED: Record<string, string> = {
  name: `want a text of 1 to ${MAX_NAME_LENGTH} characters without control characters`,
  source_port: "want a whole number from 1 to 65535",
  remote_connector_addr: "want host:port",
  destination_addr: "want host:port",
  type: 'want "local" or "remote"',
  ip_addresses: `want a list of at most ${MAX_CERTIFICATE_NAMES} IP addresses`,
  dns_names: `want a list of at most ${MAX_CERTIFICATE_NAMES} DNS names`,
};

/** A body that does not fit: one line for each field at fault. */
export class UnfitBody extends Error {
  override readonly name = "UnfitBody";
}

/**
 * Reads the body of `POST /expose`.
 *
 * @throws {UnfitBody} naming each field at fault, what it is and what was wanted.
 */
export function readExposeBody(body: object): ServiceRequest {
  return read(exposeBody, body);
}

/**
 * Reads the body of `POST /certificate`.
 *
 * @throws {UnfitBody} as above.
 */
export function readCertificateBody(body: object): LeafRequest {
  return read(certificateBody, body);
}

function read<T>(schema: z.ZodType<T>, body: object): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const fields = new Set(result.error.issues.map(({ path }) => String(path[0])));
  throw new UnfitBody([...fields].map((field) => describe(field, body)).join("\n"));
}

function describe(field: string, body: object): string {
  const value: unknown = Object.getOwnPropertyDescriptor(body, field)?.value;
  const wanted = WANTED[field] ?? "want something else";
  return value === undefined
    ? `${field} is missing, ${wanted}`
    : `${field} is ${quote(value)}, ${wanted}`;
}

function quote(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= MAX_QUOTED_LENGTH ? text : `${text.slice(0, MAX_QUOTED_LENGTH)}…`;
}

/** An entry of `GET /list`: the contract's keys first, then ours. */
export function toListEntry(report: ServiceReport): Record<string, unknown> {
  return {
    id: report.id,
    name: report.name,
    source_port: report.sourcePort,
    remote_connector_addr: report.remoteConnectorAddr,
    destination_addr: report.destinationAddr,
    type: report.type.toUpperCase(),
    status: report.status.toUpperCase(),
    ...(report.message !== undefined && { message: report.message }),
    since: report.since.toISOString(),
    ...(report.peer !== undefined && { peer: toPeerEntry(report.peer) }),
  };
}

function toPeerEntry({ address, identity }: PeerInfo): Record<string, unknown> {
  return {
    address,
    ...(identity !== undefined && {
      subject: identity.subject,
      spiffe: identity.spiffe,
      dns_names: identity.dnsNames,
      ip_addresses: identity.ipAddresses,
    }),
  };
}
