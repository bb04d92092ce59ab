// What goes wrong, as an HTTP answer: the one place where an error of the tunnel gets its status. Errors that
// only HTTP knows (a body too large, a wrong method) are Hono's own `HTTPException`.

import { HTTPException } from "hono/http-exception";
import { ConnectorError, type ErrorCode } from "../model/errors.ts";
import { plainJson } from "../plain_text.ts";
import { oneLine, quoteValue } from "./quote.ts";

/** The status of each code that says something to the caller; the others are ours to look into. */
const STATUS: Partial<Record<ErrorCode, number>> = {
  invalid_argument: 422,
  unauthenticated: 401,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 409,
  permission_denied: 403,
  resource_exhausted: 429,
  unavailable: 502,
  deadline_exceeded: 504,
};

/** Headers of every answer: it is not to be guessed at, and not to be kept. */
const COMMON_HEADERS = { "x-content-type-options": "nosniff", "cache-control": "no-store" };

/** The answer, with what every answer has. */
export function withCommonHeaders(response: Response): Response {
  for (const [key, value] of Object.entries(COMMON_HEADERS)) response.headers.set(key, value);
  return response;
}

/** An answer of plain text that ends its line. */
export function textResponse(status: number, text: string): Response {
  return new Response(`${text}\n`, {
    status,
    headers: { "content-type": "text/plain;charset=UTF-8" },
  });
}

/** The path of a request without the query, as it was sent: the URL of a hostile request need not parse. */
export function pathOf(request: Request): string {
  return /^[a-z]+:\/\/[^/?#]*([^?#]*)/.exec(request.url)?.[1] ?? "";
}

/** The answer to a request whose method its path does not have; `allow` are those that it has. */
export function methodNotAllowed(
  { method, path }: { method: string; path: string },
  allow: string,
): Response {
  const response = textResponse(
    405,
    `Cannot answer ${quoteValue(method)} at ${quoteValue(path)}: want ${allow}`,
  );
  response.headers.set("allow", allow);
  return response;
}

/** An answer of JSON in which nothing steers the terminal that shows it. */
export function jsonResponse(value: unknown): Response {
  return new Response(plainJson(JSON.stringify(value)), {
    headers: { "content-type": "application/json" },
  });
}

/** The answer to a request that failed, or `undefined` when the error is no caller's business. */
export function errorResponse(error: unknown): Response | undefined {
  if (error instanceof HTTPException) return textResponse(error.status, error.message);
  if (!(error instanceof ConnectorError)) return undefined;
  const status = STATUS[error.code] ?? (error.told ? 500 : undefined);
  if (status === undefined) return undefined;
  const lines = error.hint === undefined ? [error.message] : [error.message, error.hint];
  const response = textResponse(status, lines.map(oneLine).join("\n"));
  // RFC 9110 section 11.6.1.
  if (status === 401) response.headers.set("www-authenticate", "Bearer");
  return response;
}
