// The options of commands that ask a running connector. api_client.ts, which does, is loaded when one runs.

import type { Command } from "commander";

/** Where the API is unless a command is told. */
export const DEFAULT_API = "http://localhost:9091";

/** The options of every command that asks the API, by the names that the parser gives them. */
export interface ApiSettings {
  api?: string;
  apiTokenFile?: string;
  cacert?: string;
  cert?: string;
  key?: string;
}

/** Adds these options to a command. */
export function addApiOptions(command: Command): Command {
  return command
    .option(
      "--api <url>",
      `REST API of the connector: http://…, https://… or unix:PATH (default: ${DEFAULT_API}, env: CONNECTOR_API)`,
    )
    .option(
      "--api-token-file <path>",
      "file whose first token is shown to the API (env: CONNECTOR_API_TOKEN_FILE)",
    )
    .option(
      "--cacert <path>",
      "root certificate that the API must chain to (PEM) (env: CONNECTOR_ROOT_CERT_PATH)",
    )
    .option(
      "--cert <path>",
      "certificate that is shown to an API that asks for one (PEM) (env: CONNECTOR_CLIENT_CERT_PATH)",
    )
    .option("--key <path>", "key of that certificate (PEM) (env: CONNECTOR_CLIENT_KEY_PATH)");
}
