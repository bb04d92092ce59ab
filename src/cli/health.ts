// `connector health`: asks a running connector whether it is well, for health checks of containers and supervisors
// that have no other program at hand. Exit code 0 or 1.

import { Command } from "commander";
import { ConnectorError, reasonOf } from "../errors.ts";
import { UsageError } from "./usage_error.ts";

/** What the command needs of the world. */
export interface HealthIo {
  stdout(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
}

const DEFAULT_URL = "http://localhost:9091/health";
/** How long the answer may take, in milliseconds: less than Docker and Kubernetes wait by default. */
const TIMEOUT_MS = 5000;

const EXAMPLES = `
Every option can be given as a flag or as the environment variable beside it; the flag wins.

Examples:
  Is the connector of this machine alive?
    connector health

  Is every service of another one complete?
    connector health --url=http://connector.example:9091/ready

  With TLS, under a name of its certificate:
    connector health --url=https://localhost:9091 --root-cert-path=root.cert
`;

/** Builds the command. Its action throws `UsageError` for a bad URL, `ConnectorError` unless the answer is 200. */
export function healthCommand(io: HealthIo): Command {
  const command = new Command("health")
    .summary("ask a connector whether it is well")
    .description("Asks a running connector whether it is well. The exit code is 0, or 1.")
    .option(
      "--url <url>",
      `what to ask; without a path, /health (default: ${DEFAULT_URL}, env: CONNECTOR_HEALTH_URL)`,
    )
    .option(
      "--root-cert-path <path>",
      "root certificate that the connector must chain to (PEM) (env: CONNECTOR_ROOT_CERT_PATH)",
    )
    .addHelpText("after", EXAMPLES);
  return command.action(async (options: { url?: string; rootCertPath?: string }) => {
    const url = readUrl(options.url ?? (io.env.CONNECTOR_HEALTH_URL || DEFAULT_URL));
    const rootCertPath = options.rootCertPath ?? (io.env.CONNECTOR_ROOT_CERT_PATH || undefined);
    await checkHealth(url, url.protocol === "https:" ? rootCertPath : undefined);
    io.stdout("healthy\n");
  });
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new UsageError(`Cannot ask "${text}": want a URL such as ${DEFAULT_URL}`);
  }
  if (url.pathname === "/") url.pathname = "/health";
  return url;
}

async function checkHealth(url: URL, rootCertPath: string | undefined): Promise<void> {
  using client = rootCertPath === undefined
    ? undefined
    : Deno.createHttpClient({ caCerts: [await readRoot(rootCertPath)] });
  let response: Response;
  try {
    response = await fetch(url, {
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(client && { client }),
    });
  } catch (error) {
    throw new ConnectorError("unavailable", `Cannot reach ${url}: ${fetchReason(error)}`, {
      cause: error,
      hint: "Is the connector running, and is this the address of its --http-bind?",
    });
  }
  // The status is the answer.
  await response.body?.cancel();
  if (response.status !== 200) {
    throw new ConnectorError(
      "unavailable",
      `The connector is not well: ${url} answered ${response.status}, want 200`,
    );
  }
}

async function readRoot(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw ConnectorError.from(error, `Cannot read the root certificate ${path}`);
  }
}

/** What fetch throws has the reason as its cause, behind the URL and the parts of fetch that it went through. */
function fetchReason(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return reasonOf(cause).replace(/^.*client error \(\w+\): /, "");
}
