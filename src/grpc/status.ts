// Errors as gRPC statuses, and statuses as errors: where they leave and enter.

import { status, type StatusObject } from "@grpc/grpc-js";
import { connectReason, type Security } from "../connect_reasons.ts";
import { CODE_NUMBERS, codeOfNumber, ConnectorError } from "../errors.ts";
import { plainText } from "../plain_text.ts";

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
export function fromStatus(
  { code, details }: Pick<StatusObject, "code" | "details">,
  security: Security,
): ConnectorError | undefined {
  if (code === status.OK) return undefined;
  const said = plainDetails(details, security);
  // A connector knows the call.
  const text = code === status.UNIMPLEMENTED && !said.startsWith("it ")
    ? `it speaks gRPC, but is no connector: ${said || "UNIMPLEMENTED"}`
    : said || `the call ended with gRPC status ${status[code] ?? code}`;
  return new ConnectorError(codeOfNumber(code) ?? "unavailable", text);
}

/** grpc-js reports a failed connection with its own words around the platform's: say what those mean. */
function plainDetails(details: string, security: Security): string {
  const failed = /Last error: (?:Error(?: \[\w+\])?: )?(.*?)(?:\. Resolution note: .*)?$/s
    .exec(details)?.[1]
    // When that was, which makes every try another text.
    ?.replace(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)$/, "");
  // Why we have cut a connection, with how that was done.
  const said = details.replace(
    /^Received RST_STREAM with code \d+ triggered by internal client error: /,
    "",
  );
  const text = plainText((failed ?? said).replaceAll(/\s+/g, " "), MAX_DETAILS_LENGTH);
  const [pattern, words = ""] = GRPC_REASONS.find(([pattern]) => pattern.test(text)) ?? [];
  // What a peer says of itself is left as it is.
  if (failed === undefined) {
    return pattern === undefined ? text : text.replace(pattern, words);
  }
  return connectReason(text, security) ?? text;
}

/** The words of grpc-js for an answer that is none of gRPC, and what they mean. */
const GRPC_REASONS: [RegExp, string][] = [
  [
    /^Received HTTP status code (\d+)$/,
    "it answered with HTTP status $1: it is no connector, or a proxy in front of one",
  ],
  [
    /^Received message larger than max.*$/,
    "it sent a message that is too large, or is no connector",
  ],
  [/^(Call cancelled|Connection dropped)$/, "it ended the call, or the connection was lost"],
  [
    /^(Received RST_STREAM with code 0 .*|No status information received)$/,
    "it ended the call without a status: it is no connector, or a proxy in front of one",
  ],
  [/^Stream refused by server$/, "it refused the call"],
  [/^Bandwidth exhausted or memory limit exceeded$/, "it has too little room for the call"],
  [/^Protocol not secure enough$/, "it finds the connection not secure enough"],
  [
    /^Received RST_STREAM with code (\d+)( \(Internal server error\))?$/,
    "it reset the call (HTTP/2 error $1)",
  ],
  [/^Write (error:|failed with error) .*/, "it ended the call, or the connection was lost"],
];
