// Errors as gRPC statuses, and statuses as errors: where they leave and enter.

import { status, type StatusObject } from "@grpc/grpc-js";
import { connectReason, type Security } from "../connect_reasons.ts";
import { CODE_NUMBERS, codeOfNumber, ConnectorError } from "../model/errors.ts";
import { plainText } from "../plain_text.ts";
import type { GoAway } from "./go_away.ts";

/** The longest text of a peer's status that is kept, in characters. */
const MAX_DETAILS_LENGTH = 500;

/** The status that tells a peer of an error; a defect leaves as INTERNAL without its text. */
export function toStatus(error: unknown): Pick<StatusObject, "code" | "details"> {
  if (error instanceof ConnectorError) {
    return { code: CODE_NUMBERS[error.code], details: error.message };
  }
  return { code: status.INTERNAL, details: "internal error" };
}

/** The error that a peer's status tells of, or the GOAWAY before it; undefined for OK. */
export function fromStatus(
  { code, details }: Pick<StatusObject, "code" | "details">,
  security: Security,
  goAway?: GoAway,
): ConnectorError | undefined {
  if (code === status.OK) return undefined;
  if (goAway?.error !== undefined) {
    const words = goAway.text === "" ? "" : `, and said "${goAway.text}"`;
    const reason = `it, or a proxy on the way, ended the connection with ${goAway.error}${words}`;
    return new ConnectorError("unavailable", reason);
  }
  const said = plainDetails(details, security);
  // A connector knows the call.
  const text = code === status.UNIMPLEMENTED && !said.startsWith("it ")
    ? `it speaks gRPC, but is not a connector: ${said || "UNIMPLEMENTED"}`
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

/** What proxies count, and a link exceeds sooner or later. */
const PROXY_LIMIT = "its limit on the size of a request (nginx: client_max_body_size)";
const ENDED =
  "it ended the call without saying why: it is not a connector, or a proxy in front of one has " +
  `reached ${PROXY_LIMIT} or a time limit`;

/** The words of grpc-js for an answer that is none of gRPC, and what they mean. */
const GRPC_REASONS: [RegExp, string][] = [
  [
    /^Received HTTP status code 413$/,
    `a proxy on the way answered with HTTP status 413: the link has reached ${PROXY_LIMIT}`,
  ],
  [
    /^Received HTTP status code (\d+)$/,
    "it answered with HTTP status $1: it is not a connector, or a proxy in front of one",
  ],
  [
    /^Received message larger than max.*$/,
    "it sent a message that is too large, or is not a connector",
  ],
  [
    /^Failed to start HTTP\/2 stream.*$/,
    "it ended the connection before the call, or breaks the rules of HTTP/2: it may be no connector",
  ],
  [/^(Call cancelled|Connection dropped)$/, "it ended the call, or the connection was lost"],
  [
    /^(Received RST_STREAM with code [02] \(.*\)|No status information received|Write error: write ECANCELED)$/,
    ENDED,
  ],
  [/^Stream refused by server$/, "the call was refused, by the peer or a proxy on the way"],
  [/^Bandwidth exhausted or memory limit exceeded$/, "it has too little room for the call"],
  [/^Protocol not secure enough$/, "it says that the connection is not secure enough"],
  [/^Received RST_STREAM with code (\d+)$/, "it reset the call (HTTP/2 error $1)"],
  [/^Write (error:|failed with error) .*/, "it ended the call, or the connection was lost"],
];
