// The REST API of a running connector, as the commands ask it that list, expose and remove services: where it is, what
// proves who asks, and answers as values or as errors in words.

import * as z from "zod";
import { anyService, type AnyServiceJson, config, type ConfigJson } from "../api/answers.ts";
import { ConnectorError, type ErrorCode, reasonOf } from "../model/errors.ts";
import { readSmallFile } from "../file_access.ts";
import { plainText } from "../plain_text.ts";
import { type ApiSettings, DEFAULT_API } from "./api_options.ts";
import { refuseKeyLog } from "./environment.ts";
import {
  askHttp,
  type HttpAnswer,
  type KeyPair,
  readKeyPair,
  readRoot,
  reasonFor,
  type Root,
} from "./http_request.ts";
import { NotReadyError } from "./not_ready_error.ts";
import { UsageError } from "./usage_error.ts";

/** The host that is named over a Unix socket. */
const SOCKET_URL = "http://localhost";
/** How long an answer may take besides what it is told to wait for, in milliseconds. */
const TIMEOUT_MS = 10_000;
/** The largest answer that is read, in bytes: a list of 20,000 services is half of it. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
/** The largest token file, in bytes, as the connector has it. */
const MAX_TOKEN_FILE_BYTES = 256 * 1024;
/** Lines of an answer in words that are shown, and characters of each. */
const MAX_LINES = 20;
const MAX_LINE_LENGTH = 1000;
/** An id is printed as it is, and is a part of a path: a UUID, or at least nothing that steers a terminal. */
const id = z.string().regex(/^[\w.:-]{1,100}$/);
/** A service, as it is read. */
const shownService = anyService.extend({ id });

type Env = Readonly<Record<string, string | undefined>>;

/** Where the API is. */
interface Place {
  url: URL;
  socketPath?: string;
}

/** What proves who asks, and who answers. */
interface Shown {
  token: string | undefined;
  root: Root | undefined;
  pair: KeyPair | undefined;
}

/** What `POST /expose` takes. */
export type ExposeJson =
  & Pick<
    AnyServiceJson,
    "name" | "source_port" | "source_addr" | "remote_connector_addr" | "destination_addr"
  >
  & { type: "local" | "remote" };

/** A connector's REST API. */
export class ApiClient {
  readonly #place: Place;
  readonly #token: string | undefined;
  readonly #root: Root | undefined;
  readonly #pair: KeyPair | undefined;

  private constructor(place: Place, { token, root, pair }: Shown) {
    this.#place = place;
    this.#token = token;
    this.#root = root;
    this.#pair = pair;
  }

  /**
   * Reads what the API is to be asked with; nothing is asked yet.
   *
   * @throws {UsageError} for what is no URL; {ConnectorError} for a file that cannot be used.
   */
  static async open(settings: ApiSettings, env: Env): Promise<ApiClient> {
    const { api, apiTokenFile, cacert } = settings;
    const place = readPlace(api, env);
    const tokenPath = readPath(apiTokenFile, "--api-token-file") ?? env.CONNECTOR_API_TOKEN_FILE;
    const token = tokenPath ? await readToken(tokenPath) : undefined;
    const secure = place.url.protocol === "https:";
    if (secure) refuseKeyLog(env);
    const rootPath = readPath(cacert, "--cacert") ?? env.CONNECTOR_ROOT_CERT_PATH;
    const root = secure && rootPath ? await readRoot(rootPath, place.url) : undefined;
    const paths = readPairPaths(settings, { env, secure });
    const pair = paths && await readKeyPair(paths);
    return new ApiClient(place, { token, root, pair });
  }

  /** Every service, in so many milliseconds at most. @throws {ConnectorError} */
  async list({ timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {}): Promise<AnyServiceJson[]> {
    const { text } = await this.#ask("GET", "/list", {
      timeoutMs: Math.min(timeoutMs, TIMEOUT_MS),
    });
    return this.#parse(z.array(shownService), () => JSON.parse(text));
  }

  /** Which options are in force. @throws {ConnectorError} */
  async config(): Promise<ConfigJson> {
    const { text } = await this.#ask("GET", "/config");
    return this.#parse(config, () => JSON.parse(text));
  }

  /** One service. @throws {ConnectorError} */
  async get(id: string): Promise<AnyServiceJson> {
    const { text } = await this.#ask("GET", `/expose/${encodeURIComponent(id)}`);
    return this.#parse(shownService, () => JSON.parse(text));
  }

  /**
   * Exposes a service, and waits so long until it is complete, in milliseconds; 0 does not wait. Returns its id.
   *
   * @throws {NotReadyError} when it is not complete in time; {ConnectorError} when it is refused. Then nothing is left of it.
   */
  async expose(request: ExposeJson, { waitMs = 0 }: { waitMs?: number } = {}): Promise<string> {
    const query = waitMs > 0 ? `?wait=${waitMs / 1000}` : "";
    const { text } = await this.#ask("POST", `/expose${query}`, {
      body: JSON.stringify(request),
      timeoutMs: TIMEOUT_MS + waitMs,
    });
    return this.#parse(id, () => text.trim());
  }

  /** Removes a service. @throws {ConnectorError} */
  async remove(id: string): Promise<void> {
    await this.#ask("DELETE", `/expose/${encodeURIComponent(id)}`);
  }

  async #ask(
    method: string,
    path: string,
    { body, timeoutMs = TIMEOUT_MS }: { body?: string; timeoutMs?: number } = {},
  ): Promise<HttpAnswer> {
    const { url: { origin, protocol }, socketPath } = this.#place;
    const url = new URL(path, origin);
    let answer: HttpAnswer;
    try {
      answer = await askHttp({
        url,
        method,
        headers: {
          ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body }),
        root: this.#root,
        pair: this.#pair,
        socketPath,
        timeoutMs,
        maxBytes: MAX_ANSWER_BYTES,
      });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new ConnectorError(
        "unavailable",
        `Cannot reach the API at ${this.#name}: ${reasonFor(url, text) ?? reasonOf(error)}`,
        {
          cause: error,
          hint: protocol === "https:" && this.#root === undefined && /certificate/i.test(text)
            ? "Give the root that the connector runs with: --cacert"
            : "Is the connector running, and is its API there? Give another place with --api",
        },
      );
    }
    if (!answer.whole) {
      throw new ConnectorError("unavailable", `The answer of the API at ${this.#name} was cut off`);
    }
    if (answer.status === 200) return answer;
    throw errorOf(answer, { name: this.#name, shown: this.#pair !== undefined });
  }

  get #name(): string {
    const { url, socketPath } = this.#place;
    return socketPath === undefined ? url.origin : `unix:${socketPath}`;
  }

  #parse<T>(schema: z.ZodType<T>, read: () => unknown): T {
    try {
      return schema.parse(read());
    } catch (cause) {
      throw new ConnectorError(
        "internal",
        `Cannot read the answer at ${this.#name}: it is not what a connector of this version answers`,
        { cause, hint: "Is this the REST API of a connector?" },
      );
    }
  }
}

function readPlace(given: string | undefined, env: Env): Place {
  // The variable of the connector's own socket counts only if no place is given: `connector run` obeys it, too.
  const socket = env.CONNECTOR_API_SOCKET ? `unix:${env.CONNECTOR_API_SOCKET}` : undefined;
  const text = given ?? (env.CONNECTOR_API || undefined) ?? socket ?? DEFAULT_API;
  const unfit = () =>
    new UsageError(
      `Cannot ask the API at "${text}": want a URL such as ${DEFAULT_API}, or unix:PATH`,
    );
  if (text.startsWith("unix:")) {
    const socketPath = text.slice("unix:".length);
    if (socketPath === "") throw unfit();
    return { url: new URL(SOCKET_URL), socketPath };
  }
  const url = URL.parse(text);
  if (url === null || url.protocol !== "http:" && url.protocol !== "https:") throw unfit();
  if (url.pathname !== "/" || url.search !== "" || url.username !== "") {
    throw new UsageError(
      `Cannot ask the API at "${text}": want no more than scheme, host and port`,
    );
  }
  return { url };
}

function readPath(path: string | undefined, flag: string): string | undefined {
  if (path === "") throw new UsageError(`${flag} is empty, want a path`);
  return path;
}

/** Where the certificate is that is shown, and its key; undefined for none. @throws {UsageError} */
function readPairPaths(
  { cert, key }: ApiSettings,
  { env, secure }: { env: Env; secure: boolean },
): { certPath: string; keyPath: string } | undefined {
  if ((cert !== undefined || key !== undefined) && !secure) {
    throw new UsageError(
      "--cert and --key need an API that speaks TLS: give an https URL with --api",
    );
  }
  const certPath = readPath(cert, "--cert") ?? (env.CONNECTOR_CLIENT_CERT_PATH || undefined);
  const keyPath = readPath(key, "--key") ?? (env.CONNECTOR_CLIENT_KEY_PATH || undefined);
  if (!secure || certPath === undefined && keyPath === undefined) return undefined;
  if (certPath !== undefined && keyPath !== undefined) return { certPath, keyPath };
  throw new UsageError(
    `${
      certPath === undefined ? "--cert" : "--key"
    } is missing: a certificate is shown with its key`,
  );
}

/** The first token of a file, which may be that of the connector. @throws {ConnectorError} */
async function readToken(path: string): Promise<string> {
  const label = `API token file "${path}"`;
  const { text } = await readSmallFile(path, {
    label,
    maxBytes: MAX_TOKEN_FILE_BYTES,
    wanted: "a token a line",
    secret: () => true,
  });
  const [token] = text.split("\n").map((line) => line.replace(/#.*$/s, "").trim()).filter(Boolean);
  if (token !== undefined && /^[\x21-\x7e]+$/.test(token)) return token;
  const problem = token === undefined ? "it has no token" : "its first line is no token";
  throw new ConnectorError("invalid_argument", `Cannot use ${label}: ${problem}`);
}

/** What the API's statuses are here. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  409: "already_exists",
  422: "invalid_argument",
  429: "resource_exhausted",
};

/** An answer that is not 200, in its own words. */
function errorOf(
  { status, contentType, text }: HttpAnswer,
  { name, shown }: { name: string; shown: boolean },
): Error {
  const lines = contentType.startsWith("text/plain")
    ? text.trim().split("\n").slice(0, MAX_LINES).map((line) => plainText(line, MAX_LINE_LENGTH))
    : [];
  const message = lines.join("\n") || `The API at ${name} answered ${status}`;
  // In words it is the connector's: a proxy that had no answer sends a page.
  if (status === 504 && lines.length > 0) return new NotReadyError(message);
  const hint = status === 401
    ? "Give a token with --api-token-file"
    : status >= 300 && status < 400
    ? "It redirects, which is not followed: give the place that it redirects to with --api"
    // There are other reasons, which its own words tell.
    : status === 403 && !shown && name.startsWith("https:")
    ? "If it wants a certificate, show one with --cert and --key"
    : undefined;
  return new ConnectorError(CODES[status] ?? "unavailable", message, { ...(hint && { hint }) });
}
