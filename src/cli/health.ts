// `connector health`: checks the health of a running connector, for health checks of containers and supervisors
// that have no other program at hand. Exit code 0 or 1.

import type { IncomingMessage } from "node:http";
import { isIPv6, type LookupFunction, type Socket } from "node:net";
import { Command } from "commander";
import { connectReason } from "../connect_reasons.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import { names } from "../names.ts";
import { plainText } from "../plain_text.ts";
import { refuseKeyLog } from "./environment.ts";
import { examples } from "./help_layout.ts";
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
  let answer: Answer;
  try {
    answer = await ask(url, { root, socketPath });
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
  const reason = answer.reason.map((line) => `\n  ${line}`).join("");
  throw new ConnectorError("unavailable", reason === "" ? fault : `${fault}:${reason}`);
}

/** What the platform's text means to who asks over HTTP; undefined for one that is not known. */
function reasonFor(url: URL, text: string): string | undefined {
  if (url.protocol === "http:") {
    return /^Parse Error/.test(text)
      ? "it does not speak plain HTTP: it may have certificates, which need https, or be a gRPC port"
      : connectReason(text, "plaintext");
  }
  return /^Parse Error|alert: (NoApplicationProtocol|CertificateRequired)/.test(text)
    ? "it does not serve HTTPS without a client certificate: this may be the gRPC port"
    : connectReason(text, "TLS");
}

const ADDRESS_HINT = "Is the connector running, and is this the address of its --http-bind?";
const SOCKET_HINT = "Is the connector running, and is this the path of its --api-socket?";
const ROOT_HINT = "Give the root that the connector runs with: --root-cert-path";

/** What was answered. */
interface Answer {
  status: number;
  /** Why, in lines that are fit to be shown; none when the answer does not say. */
  reason: string[];
}

/**
 * Asks. Not by fetch: it would ask a proxy that the environment names, and to it a given root is one more beside all
 * public ones.
 */
async function ask(
  url: URL,
  { root, socketPath }: { root: Root | undefined; socketPath: string | undefined },
): Promise<Answer> {
  const { request } = url.protocol === "https:"
    ? await import("node:https")
    : await import("node:http");
  return await new Promise((resolve, reject) => {
    let late = "timed out";
    const lookup: LookupFunction = (host, _options, found) => {
      late = `the name server did not answer for "${host}" in ${TIMEOUT_MS / 1000} s`;
      names.find(host, (answer) => {
        late = "timed out";
        if (answer instanceof ConnectorError) return found(answer, []);
        found(null, answer.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 })));
      });
    };
    const options = {
      agent: false,
      lookup,
      rejectUnauthorized: true,
      ...(socketPath !== undefined && { socketPath }),
      ...(root && { ca: root.pem }),
    };
    const asked = request(url, options, async (response) => {
      // The status is known: whatever becomes of the rest is no reason to fail.
      asked.off("error", reject).on("error", () => {});
      resolve({ status: response.statusCode ?? 0, reason: await readReason(response) });
      asked.destroy();
    });
    // The runtime's own verdict can be had without a key of the root's: nothing is asked before ours.
    asked.on("socket", (socket) => {
      if (root === undefined) return;
      socket.once("secureConnect", () => {
        try {
          root.judge(socket);
        } catch (error) {
          asked.destroy(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    const timer = setTimeout(() => asked.destroy(new Error(late)), TIMEOUT_MS);
    asked.on("close", () => clearTimeout(timer)).on("error", reject).end();
  });
}

/** The first lines of a text; none when all is well, or when it is no text. Never rejects. */
async function readReason(response: IncomingMessage): Promise<string[]> {
  const { statusCode, headers } = response;
  if (statusCode === 200 || !headers["content-type"]?.startsWith("text/plain")) return [];
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for await (const chunk of response) {
      text += decoder.decode(chunk, { stream: true });
      size += chunk.length;
      if (size >= MAX_REASON_BYTES) break;
    }
  } catch {
    // It was cut off, or came too slowly: what is there will do.
  }
  const lines = text.trim().split("\n").filter((line) => line !== "");
  const shown = lines.slice(0, MAX_REASON_LINES).map((line) => plainText(line, MAX_REASON_LENGTH));
  return lines.length > MAX_REASON_LINES ? [...shown, "…"] : shown;
}

/** The root that the connector must chain to. */
interface Root {
  pem: string;
  /** @throws {ConnectorError} unless the certificates that were shown chain to it and are for the host. */
  judge(socket: Socket): void;
}

async function readRoot(path: string, { hostname }: URL): Promise<Root> {
  // Loaded only now: most health checks need no certificate.
  const { TLSSocket } = await import("node:tls");
  const { readPemFile } = await import("../certs/files/pem_files.ts");
  const { certificatePem, parseCertificates } = await import("../certs/reader/certificate.ts");
  const { createPeerJudge } = await import("../certs/judge/peers.ts");
  const { shownCertificates } = await import("../platform/peer_certificates.ts");
  const roots = parseCertificates(await readPemFile(path, "root certificate"));
  const judge = createPeerJudge(roots);
  const host = hostname.replace(/^\[|\]$/g, "");
  return {
    pem: roots.map(certificatePem).join("\n"),
    judge(socket) {
      if (!(socket instanceof TLSSocket)) throw new TypeError("HTTPS is spoken over TLS");
      judge(shownCertificates(socket), { purpose: "server", host });
    },
  };
}
