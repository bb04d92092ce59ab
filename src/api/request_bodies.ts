// The bodies of requests, checked field by field. Pure: nothing here knows HTTP beyond the status of a refusal. app.ts
// loads it with the first request that has a body: zod takes 6 MB.

import { HTTPException } from "hono/http-exception";
import * as z from "zod";
import { hasZone, isAddress, MAX_ADDRESS_LENGTH } from "../model/address.ts";
import { canonicalIp, isListenIp } from "../model/ip.ts";
import type { LeafRequest } from "../certs/issue/leaf_issuer.ts";
import { MAX_COMMON_NAME_LENGTH } from "../certs/issue/subject_names.ts";
import { isServiceName, MAX_NAME_LENGTH, type ServiceRequest } from "../model/service.ts";
import { quoteValue } from "./quote.ts";

/** The control characters of Unicode; written so that every dialect of regular expressions reads it. */
// deno-lint-ignore no-control-regex -- they are what is looked for
const NO_CONTROL_CHARACTERS = /^[^\u0000-\u001f\u007f-\u009f]*$/;
/** What every host:port looks like; which of them is an address is for `isAddress` to say. */
const HOST_AND_PORT = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$/;
/** The same, or a host and the name of a port, which a scheduler knows. */
const HOST_AND_PORT_OR_LABEL =
  /^(\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}|[A-Za-z0-9._-]+:[A-Za-z0-9_-]{1,63})$/;

const name = z.string().min(1).max(MAX_NAME_LENGTH).regex(NO_CONTROL_CHARACTERS)
  .refine(isServiceName);
const text = z.string().max(MAX_ADDRESS_LENGTH, { abort: true });
const address = text.regex(HOST_AND_PORT).refine((each) => isAddress(each));
const destination = text.regex(HOST_AND_PORT_OR_LABEL)
  .refine((each) => isAddress(each, { labels: true }));

// What is said of a field here is for readers of GET /openapi.json, which is made of these schemas.

/** The body of `POST /expose`, as it is sent. Other keys are ignored. */
export const exposeBody = z.object({
  name: name.meta({ description: "for people", examples: ["web"] }),
  source_port: z.int().min(1).max(65535).meta({
    description: "TCP port to listen on for visitors",
    examples: [12000],
  }),
  source_addr: text.refine(isListenIp).optional().meta({
    description: "IP address to listen on; by default the listening connector decides",
    examples: ["127.0.0.1"],
  }),
  remote_connector_addr: address.meta({
    description: "host:port of the other connector's gRPC server",
    examples: ["server1:9090"],
  }),
  destination_addr: destination.meta({
    description:
      "host:port that visitors are connected to, or job.group.task:label, which a scheduler knows",
    examples: ["localhost:8080"],
  }),
  type: z.enum(["local", "remote"]).meta({
    description:
      "local: reachable at the other connector, with the destination here; remote: the other way round",
    examples: ["local"],
  }),
});

/** A body that was checked, as what the tunnel takes. */
export function serviceRequestOf(body: z.output<typeof exposeBody>): ServiceRequest {
  return {
    name: body.name,
    sourcePort: body.source_port,
    ...(body.source_addr !== undefined && { sourceAddr: canonicalIp(body.source_addr) }),
    remoteConnectorAddr: body.remote_connector_addr,
    destinationAddr: body.destination_addr,
    type: body.type,
  };
}

const exposeRequest = exposeBody.transform(serviceRequestOf);

/** The most names of one kind that a certificate is issued for. */
const MAX_CERTIFICATE_NAMES = 100;

/** A DNS name may carry a port here, so it is as long as an address. What a name may be is the issuer's to say. */
const subjectNames = z.array(z.string().min(1).max(MAX_ADDRESS_LENGTH)).max(MAX_CERTIFICATE_NAMES)
  .optional().default([]);

/** The body of `POST /certificate`, as it is sent. Other keys are ignored. */
export const certificateBody = z.object({
  name: name.meta({ description: "the common name", examples: ["laptop"] }),
  ip_addresses: subjectNames.meta({
    description: "IP addresses to be issued for",
    examples: [["192.0.2.1"]],
  }),
  dns_names: subjectNames.meta({
    description: "DNS names to be issued for",
    examples: [["laptop.example"]],
  }),
});

/** The same, read as what the issuer takes. */
const certificateRequest = certificateBody.transform((body): LeafRequest => ({
  name: body.name,
  ipAddresses: body.ip_addresses,
  dnsNames: body.dns_names,
}));

type Field = keyof z.input<typeof exposeBody> | keyof z.input<typeof certificateBody>;

/** What each field must be, in words; the lines of an answer have this order. */
export const WANTED: Readonly<Record<Field, string>> = {
  name: `text of 1 to ${MAX_NAME_LENGTH} characters without control characters`,
  source_port: "a whole number from 1 to 65535",
  source_addr: 'an IP address to listen on, as "127.0.0.1"',
  remote_connector_addr: 'host:port of the other connector, as "server1:9090"',
  destination_addr: 'host:port of the service, as "localhost:8080"',
  type: '"local" or "remote"',
  ip_addresses: `a list of at most ${MAX_CERTIFICATE_NAMES} IP addresses`,
  dns_names: `a list of at most ${MAX_CERTIFICATE_NAMES} DNS names`,
};

/**
 * Reads the body of `POST /expose`.
 *
 * @throws {HTTPException} 400 when it is no JSON object; 422 with a line for each wrong field.
 */
export function parseExposeBody(bytes: Uint8Array): ServiceRequest {
  return parseBody(exposeRequest, bytes);
}

/**
 * Reads the body of `POST /certificate`.
 *
 * @throws {HTTPException} as above.
 */
export function parseCertificateBody(bytes: Uint8Array): LeafRequest {
  return parseBody(certificateRequest, bytes, {
    ...WANTED,
    name: `text of 1 to ${MAX_COMMON_NAME_LENGTH} characters without control characters`,
  });
}

function parseBody<T>(
  schema: z.ZodType<T>,
  bytes: Uint8Array,
  wants: Readonly<Record<Field, string>> = WANTED,
): T {
  const body = parseObject(bytes);
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const wrong = new Set(result.error.issues.map((issue) => issue.path[0]));
  const lines = Object.entries(wants)
    .filter(([field]) => wrong.has(field))
    .map(([field, wanted]) =>
      Object.hasOwn(body, field)
        ? unfitValue(field, { value: body[field], wanted })
        : `${field}: missing, want ${wanted}`
    );
  throw new HTTPException(422, { message: lines.join("\n") });
}

/** What a field has, and what it must have. */
export function unfitValue(
  field: string,
  { value, wanted }: { value: unknown; wanted: string },
): string {
  // It looks like what is wanted.
  const note = typeof value === "string" && hasZone(value) ? ", without a zone" : "";
  return `${field}: got ${quoteValue(value)}, want ${wanted}${note}`;
}

/** Lists and objects inside one another in a body: no key that is known has more than two. */
const MAX_NESTING = 32;

/** Whether it is: to parse a megabyte of brackets keeps the only thread for a tenth of a second. */
function isNestedDeeply(bytes: Uint8Array): boolean {
  let depth = 0;
  let isText = false;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (isText) {
      // A backslash takes the character after it along.
      if (byte === 0x5c) index += 1;
      else if (byte === 0x22) isText = false;
    } else if (byte === 0x22) {
      isText = true;
    } else if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      if (depth > MAX_NESTING) return true;
    } else if (byte === 0x5d || byte === 0x7d) {
      depth -= 1;
    }
  }
  return false;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  if (isNestedDeeply(bytes)) throw malformed(`it is nested more than ${MAX_NESTING} levels deep`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed(bytes.length === 0 ? "it is empty" : "it cannot be parsed", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw malformed(`got ${quoteValue(value)}`);
  }
  // JSON.parse makes plain objects, whose keys are text.
  return value as Record<string, unknown>;
}

function malformed(problem: string, cause?: unknown): HTTPException {
  return new HTTPException(400, {
    message: `The request body is not a JSON object: ${problem}`,
    cause,
  });
}
