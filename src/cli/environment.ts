// Variables that the runtime obeys by itself, whatever the program is permitted to read, and that would undo what
// this program promises. docs/permissions.md lists what else the runtime takes from the environment.

import { ConnectorError } from "../errors.ts";

/** Each with what the runtime would do. They are read late, at the first listener, connection or request. */
const OBEYED_BY_THE_RUNTIME = [
  // Serves the REST API on another address than --http-bind.
  "DENO_SERVE_ADDRESS",
  // Takes the address of whoever asks the REST API from a header of the request.
  "DENO_TRUST_PROXY_HEADERS",
  // Lets a TLS handshake with anybody succeed, unless that handshake was told otherwise.
  "NODE_TLS_REJECT_UNAUTHORIZED",
  // Sends what went wrong inside grpc-js to the peer that caused it.
  "GRPC_NODE_DEBUG_SEND_ERROR_DETAILS",
] as const;

/** Removes them from this process's environment, before anything listens or dials. Idempotent. */
export function dropRuntimeVariables(): void {
  for (const name of OBEYED_BY_THE_RUNTIME) Deno.env.delete(name);
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
