// Errors as gRPC statuses, and statuses as errors: where they leave and enter.

import { status, type StatusObject } from "@grpc/grpc-js";
import { connectReason } from "../connect_reasons.ts";
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
export function fromStatus({ code, details }: Pick<StatusObject, "code" | "details">):
  | ConnectorError
  | undefined {
  if (code === status.OK) return undefined;
  const text = plainDetails(details) || `the call ended with gRPC status ${status[code] ?? code}`;
  return new ConnectorError(codeOfNumber(code) ?? "unavailable", text);
}

/** grpc-js reports a failed connection with its own words around the platform's: say what those mean. */
function plainDetails(details: string): string {
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
  return connectReason(text) ?? text;
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
  [/^Call cancelled$/, "it ended the call, or the connection was lost"],
];
