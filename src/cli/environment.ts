// The environment: variables that the runtime obeys by itself, whatever the program is permitted to read, and that would
// undo what this program promises; and variables that cannot be read. docs/permissions.md lists what else the runtime
// takes from the environment.

import { ConnectorError } from "../model/errors.ts";
import { PROXY_VARIABLES } from "../proxies.ts";
import { UsageError } from "./usage_error.ts";

/** Each with what the runtime would do. They are read late, at the first listener, connection or request. */
export const OBEYED_BY_THE_RUNTIME = [
  // Serves the REST API on another address than --http-bind.
  "DENO_SERVE_ADDRESS",
  // Takes the address of whoever asks the REST API from a header of the request.
  "DENO_TRUST_PROXY_HEADERS",
  // Lets a TLS handshake with anybody succeed, unless that handshake was told otherwise.
  "NODE_TLS_REJECT_UNAUTHORIZED",
  // Sends what went wrong inside grpc-js to the peer that caused it.
  "GRPC_NODE_DEBUG_SEND_ERROR_DETAILS",
] as const;

/** What colour follows. */
export const COLOR_VARIABLES = [
  "NO_COLOR",
  "FORCE_COLOR",
  "CLICOLOR",
  "CLICOLOR_FORCE",
  "TERM",
] as const;

/** What grpc-js reads when it is loaded and when it dials. */
export const READ_BY_LIBRARIES = [
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
  "GRPC_EXPERIMENTAL_ENABLE_OUTLIER_DETECTION",
  "GRPC_NODE_TRACE",
  "GRPC_NODE_USE_ALTERNATIVE_RESOLVER",
  "GRPC_NODE_VERBOSITY",
  "GRPC_SSL_CIPHER_SUITES",
  "GRPC_TRACE",
  "GRPC_VERBOSITY",
] as const;

/**
 * Removes from this process's environment what the runtime must not obey, and values that would make whoever reads them
 * fail, before anything listens or dials. Idempotent.
 */
export function cleanEnvironment(): void {
  for (const name of OBEYED_BY_THE_RUNTIME) Deno.env.delete(name);
  for (const name of [...COLOR_VARIABLES, ...PROXY_VARIABLES, ...READ_BY_LIBRARIES]) {
    if (!isText(name)) Deno.env.delete(name);
  }
}

/** A variable. @throws {UsageError} when it is not UTF-8: without it, something else would run than was asked for. */
export function readVariable(name: string): string | undefined {
  if (isText(name)) return Deno.env.get(name);
  throw new UsageError(`Cannot read the variable ${name}: its value is not UTF-8`);
}

/** The runtime refuses to give a value that it cannot make a string of. */
function isText(name: string): boolean {
  try {
    Deno.env.get(name);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.InvalidData) return false;
    throw error;
  }
}

/**
 * Makes sure that the runtime does not write the keys of TLS sessions to a file. It has opened that file before the
 * program starts, so that nothing is left but to do without TLS.
 *
 * @throws {ConnectorError} `failed_precondition` when it would.
 */
export function refuseKeyLog(env: Readonly<Record<string, string | undefined>>): void {
  const path = env.SSLKEYLOGFILE;
  if (!path) return;
  throw new ConnectorError(
    "failed_precondition",
    `Cannot use TLS while SSLKEYLOGFILE is set: the keys of every session would be written to "${path}"`,
    { hint: "Unset SSLKEYLOGFILE for this program" },
  );
}
