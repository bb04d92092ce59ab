// `connector health`: checks the health of a running connector, for health checks of containers and supervisors
// that have no other program at hand. Exit code 0 or 1.

import { Command } from "commander";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import { plainText } from "../plain_text.ts";
import { refuseKeyLog } from "./environment.ts";
import { examples } from "./help_layout.ts";
import { askHttp, type HttpAnswer, readRoot, reasonFor } from "./http_request.ts";
import { UsageError } from "./usage_error.ts";

/** What the command needs of the world. */
export interface HealthIo {
  stdout(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
}

const DEFAULT_URL = "http://localhost:9091/health";
/** The host that is named over a Unix socket. */
const SOCKET_URL = "http://localhost";
/** How long the answer may take, in milliseconds: less than Docker and Kubernetes wait by default. */
const TIMEOUT_MS = 5000;
/** Bytes of the answer that are read for its reason. */
const MAX_REASON_BYTES = 4096;
/** Lines of it that are shown, and characters of each: what fits where health checks are kept. */
const MAX_REASON_LINES = 10;
const MAX_REASON_LENGTH = 300;

const EXAMPLES = examples(`  Is the connector of this machine alive?
    connector health

  Is every service of another one complete?
    connector health --url=http://connector.example:9091/ready

  Over its Unix socket:
    connector health --api-socket=/run/connector/api.sock

  With TLS, under a name of its certificate:
    connector health --url=https://localhost:9091 --root-cert-path=root.cert
`);

/** Builds the command. Its action throws `UsageError` for a bad URL, `ConnectorError` unless the answer is 200. */
export function healthCommand(io: HealthIo): Command {
  const command = new Command("health")
    .summary("check the health of a connector")
    .description(
      "Checks the health of a running connector. The exit code is 0 if it is healthy; otherwise it is 1, " +
        "and the error has the first lines of the answer.",
    )
    .option(
      "--url <url>",
      `what to ask; without a path, /health (default: ${DEFAULT_URL}, env: CONNECTOR_HEALTH_URL)`,
    )
    .option(
      "--api-socket <path>",
      "Unix socket to ask, in place of the URL's host and port (env: CONNECTOR_API_SOCKET)",
    )
    .option(
      "--root-cert-path <path>",
      "root certificate that the connector must chain to (PEM) (env: CONNECTOR_ROOT_CERT_PATH)",
    )
    .addHelpText("after", EXAMPLES);
  return command.action(async (options: HealthOptions) => {
    const url = readUrl(options.url ?? (io.env.CONNECTOR_HEALTH_URL || DEFAULT_URL));
    const socketPath = readSocket(options, io);
    if (socketPath !== undefined) {
      await checkHealth(url, { socketPath });
      return io.stdout("healthy\n");
    }
    const secure = url.protocol === "https:";
    if (secure) refuseKeyLog(io.env);
    const rootCertPath = options.rootCertPath ?? (io.env.CONNECTOR_ROOT_CERT_PATH || undefined);
    await checkHealth(url, { rootCertPath: secure ? rootCertPath : undefined });
    io.stdout("healthy\n");
  });
}

/** What was written. */
interface HealthOptions {
  url?: string;
  apiSocket?: string;
  rootCertPath?: string;
}

/** The variable is the connector's own, and so counts only if no URL was given beside it. */
function readSocket({ url, apiSocket }: HealthOptions, io: HealthIo): string | undefined {
  if (apiSocket === "") throw new UsageError("--api-socket is empty, want a path");
  return apiSocket ?? (url === undefined && io.env.CONNECTOR_API_SOCKET || undefined);
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new UsageError(`Cannot ask "${text}": want a URL such as ${DEFAULT_URL}`);
  }
  if (url.pathname === "/") url.pathname = "/health";
  return url;
}

async function checkHealth(
  given: URL,
  { rootCertPath, socketPath }: { rootCertPath?: string | undefined; socketPath?: string },
): Promise<void> {
  // What is asked for there; neither host nor TLS is of any use.
  const url = socketPath === undefined ? given : new URL(given.pathname + given.search, SOCKET_URL);
  const place = socketPath === undefined ? `${url}` : `${url.pathname} on ${socketPath}`;
  const root = rootCertPath === undefined ? undefined : await readRoot(rootCertPath, url);
  let answer: HttpAnswer;
  try {
    answer = await askHttp({
      url,
      root,
      socketPath,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_REASON_BYTES,
    });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new ConnectorError(
      "unavailable",
      `Cannot reach ${place}: ${reasonFor(url, text) ?? reasonOf(error)}`,
      {
        cause: error,
        hint: socketPath !== undefined
          ? SOCKET_HINT
          : /certificate/i.test(text)
          ? ROOT_HINT
          : ADDRESS_HINT,
      },
    );
  }
  if (answer.status === 200) return;
  const fault = `The connector is not healthy: ${place} answered ${answer.status}, want 200`;
  const reason = reasonOfAnswer(answer).map((line) => `\n  ${line}`).join("");
  throw new ConnectorError("unavailable", reason === "" ? fault : `${fault}:${reason}`);
}

const ADDRESS_HINT = "Is the connector running, and is this the address of its --http-bind?";
const SOCKET_HINT = "Is the connector running, and is this the path of its --api-socket?";
const ROOT_HINT = "Give the root that the connector runs with: --root-cert-path";

/** The first lines of a text; none when all is well, or when it is no text. */
function reasonOfAnswer({ status, contentType, text }: HttpAnswer): string[] {
  if (status === 200 || !contentType.startsWith("text/plain")) return [];
  const lines = text.trim().split("\n").filter((line) => line !== "");
  const shown = lines.slice(0, MAX_REASON_LINES).map((line) => plainText(line, MAX_REASON_LENGTH));
  return lines.length > MAX_REASON_LINES ? [...shown, "…"] : shown;
}
