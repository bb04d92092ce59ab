// Errors as gRPC statuses, and statuses as errors: where they leave and enter.

import { status, type StatusObject } from "@grpc/grpc-js";
import { CODE_NUMBERS, codeOfNumber, ConnectorError } from "../errors.ts";

/** The longest text of a peer's status that is kept, in characters. */
const MAX_DETAILS_LENGTH = 500;

/** The status that tells a peer of an error; a defect leaves as INTERNAL without its text. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details"> {
  if (error instanceof ConnectorError) {
    return { code: CODE_NUMBERS[error.code], details: error.message };
  }
  return { code: status.INTERNAL, details: "internal error" };
}

/** The error that a peer's status tells of; undefined for OK. */
export function fromStatus({ code, details }: Pick<StatusObject, "code" | "details">):
  | ConnectorError
  | undefined {
  if (code === status.OK) return undefined;
  return new ConnectorError(codeOfNumber(code) ?? "unavailable", plainDetails(details));
}

/** grpc-js reports a failed connection with its own words around the platform's: say what those mean. */
function plainDetails(details: string): string {
  const failed = /Last error: (?:Error(?: \[\w+\])?: )?(.*?)(?:\. Resolution note: .*)?$/s
    .exec(details)?.[1];
  const text = (failed ?? details).replaceAll(/\s+/g, " ").slice(0, MAX_DETAILS_LENGTH);
  // What a peer says of itself is left as it is.
  if (failed === undefined && !text.startsWith("Name resolution failed")) return text;
  return CONNECT_REASONS.find(([pattern]) => pattern.test(text))?.[1] ?? text;
}

/** The platform's words for a connection that could not be opened, and what they mean. */
const CONNECT_REASONS: [RegExp, string][] = [
  [/self-signed certificate|issuer certificate/, "its certificate does not chain to our root"],
  [
    /unable to verify the first certificate/,
    "its certificate is not valid now, is not for servers, or was not signed by our root",
  ],
  [/wrong version number/, "it does not speak TLS"],
  [/alert: CertificateRequired/, "it wants a certificate, and there is none here"],
  [/alert: \w*(Certificate|UnknownCA|AccessDenied)/, "it does not accept our certificate"],
  [/ECONNREFUSED/, "connection refused"],
  [/EHOSTUNREACH/, "the host is unreachable"],
  [/ENETUNREACH/, "the network is unreachable"],
  [/EINVAL/, "the address cannot be used here"],
  [/ETIMEDOUT/, "the host did not answer"],
  [/Name resolution failed/, "the host name could not be resolved"],
  [
    /^Failed to connect|ECONNRESET|socket hang up|disconnected before secure/,
    "it closed the connection before anything was said: its log may tell why",
  ],
];
