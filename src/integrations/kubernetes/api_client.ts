// A small client of the Kubernetes API, over `fetch`: get, list, create, update, delete and watch of namespaced objects.
// docs/ARCHITECTURE.md, "Integrations", says why it is our own.
//
// It speaks HTTP/1.1: a request that is not answered in time takes its connection with it, where one HTTP/2 connection
// that has gone silent would be given every further request.

import config from "../../../deno.json" with { type: "json" };
import { delay } from "../../delay.ts";
import { ConnectorError, type ErrorCode, reasonOf } from "../../model/errors.ts";
import type { Cluster, Credentials } from "./cluster.ts";
import { isToken } from "../token.ts";
import { type KubernetesObject, pathOf, type Resource } from "./objects.ts";

/** How long a request may take, in milliseconds. */
const REQUEST_MS = 10_000;
/** How long credentials are used before they are read again, in milliseconds, as client-go does. */
const CREDENTIALS_MS = 60_000;
/** The most objects of one page of a list. */
const PAGE = 500;
/** The most pages of a list, those that were in vain included: of far more objects than connectors make. */
const MAX_PAGES = 200;
/** How long a watch may last, in seconds; then a new one goes on from where it was. */
const WATCH_S = 300;
/** How long a watch may be silent, in milliseconds: bookmarks come once a minute. */
const SILENCE_MS = 150_000;
/** The longest answer, and the longest event of a watch, in bytes: a page of objects of a megabyte each would not fit. */
const MAX_BYTES = 32 * 1024 * 1024;

/** All objects of a kind at one moment. */
export interface ListOf<T> {
  items: T[];
  /** From which a watch goes on. */
  resourceVersion: string;
}

/** What a watch tells. */
export type WatchEvent<T> =
  | { type: "ADDED" | "MODIFIED" | "DELETED"; object: T }
  /** Nothing has changed up to the object's resource version. */
  | { type: "BOOKMARK"; object: KubernetesObject };

/** What makes a delete fail if the object is another one by now. */
export interface Preconditions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
}

/** A refusal in the API's own terms. https://kubernetes.io/docs/reference/using-api/api-concepts/ */
interface Status {
  reason?: string;
  message?: string;
  code?: number;
}

/** What an object is asked for by. */
interface Asked {
  body?: unknown;
  query?: Record<string, string | undefined>;
  signal?: AbortSignal | undefined;
}

/** The API of one namespace. */
export class ApiClient implements Disposable {
  readonly namespace: string;
  readonly #cluster: Cluster;
  #connection: { client: Deno.HttpClient; credentials: Credentials; readAt: number } | undefined;
  #reading: Promise<{ client: Deno.HttpClient; credentials: Credentials }> | undefined;
  #disposed = false;

  constructor(cluster: Cluster, { namespace }: { namespace: string }) {
    this.#cluster = cluster;
    this.namespace = namespace;
  }

  /** One object; undefined when there is none. @throws {ConnectorError} */
  async get<T extends KubernetesObject>(
    resource: Resource<T>,
    name: string,
    { namespace = this.namespace, signal }: { namespace?: string; signal?: AbortSignal } = {},
  ): Promise<T | undefined> {
    const path = pathOf(resource, { namespace, name });
    const { status, json } = await this.#request("GET", path, { signal });
    // What the API answers with for a kind is of that kind.
    if (status === 200) return json as T;
    if (status === 404) return undefined;
    throw failure(`get ${resource.kind} ${name}`, status, json);
  }

  /**
   * Every object that a selector fits, a page at a time.
   *
   * @throws {ConnectorError}
   */
  async list<T extends KubernetesObject>(
    resource: Resource<T>,
    { labelSelector, signal }: { labelSelector: string; signal?: AbortSignal },
  ): Promise<ListOf<T>> {
    const items: T[] = [];
    let next: string | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const path = pathOf(resource, { namespace: this.namespace });
      const query = { labelSelector, limit: String(PAGE), continue: next };
      const { status, json } = await this.#request("GET", path, { query, signal });
      if (status === 410 && next !== undefined) {
        // The pages that follow are of a moment that is forgotten.
        items.length = 0;
        next = undefined;
        continue;
      }
      if (status !== 200) throw failure(`list ${resource.plural}`, status, json);
      const list = json as {
        items?: T[];
        metadata?: { resourceVersion?: string; continue?: string };
      };
      items.push(...list.items ?? []);
      next = list.metadata?.continue || undefined;
      if (next !== undefined) continue;
      const resourceVersion = list.metadata?.resourceVersion;
      if (!resourceVersion) throw notTheApi("no list");
      return { items, resourceVersion };
    }
    throw tooLong();
  }

  /** Makes an object; undefined when there is one of its name. @throws {ConnectorError} */
  async create<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<T | undefined> {
    const { apiVersion, kind } = resource;
    const path = pathOf(resource, { namespace: this.namespace });
    const body = { apiVersion, kind, ...object };
    const { status, json } = await this.#request("POST", path, { body, signal });
    if (status === 201) return json as T;
    if (status === 409 && (json as Status).reason === "AlreadyExists") return undefined;
    throw failure(`create ${kind} ${object.metadata.name}`, status, json);
  }

  /** Replaces an object in the version that it was read in; undefined when it is another by now, or gone. @throws {ConnectorError} */
  async update<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<T | undefined> {
    const { apiVersion, kind } = resource;
    const { name } = object.metadata;
    const path = pathOf(resource, { namespace: this.namespace, name });
    const body = { apiVersion, kind, ...object };
    const { status, json } = await this.#request("PUT", path, { body, signal });
    if (status === 200 || status === 201) return json as T;
    if (status === 409 || status === 404) return undefined;
    throw failure(`update ${kind} ${name}`, status, json);
  }

  /** Deletes an object. Returns whether it is gone; false when it is another one by now. @throws {ConnectorError} */
  async delete<T extends KubernetesObject>(
    resource: Resource<T>,
    name: string,
    { preconditions, signal }: { preconditions: Preconditions; signal?: AbortSignal },
  ): Promise<boolean> {
    const path = pathOf(resource, { namespace: this.namespace, name });
    const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
    const { status, json } = await this.#request("DELETE", path, { body, signal });
    if (status === 409) return false;
    if (status === 200 || status === 202 || status === 404) return true;
    throw failure(`delete ${resource.kind} ${name}`, status, json);
  }

  /**
   * What happens from a resource version on, until the server ends the watch.
   *
   * @throws {ConnectorError} `failed_precondition` when that version is forgotten: list again. Others when it fails.
   */
  async *watch<T extends KubernetesObject>(
    resource: Resource<T>,
    { labelSelector, resourceVersion, onOpen, signal }: {
      labelSelector: string;
      resourceVersion: string;
      /** The server has begun to answer. */
      onOpen?: () => void;
      signal: AbortSignal;
    },
  ): AsyncGenerator<WatchEvent<T>> {
    const silent = new AbortController();
    let timer = setTimeout(() => silent.abort(), SILENCE_MS);
    try {
      const query = {
        labelSelector,
        resourceVersion,
        watch: "1",
        allowWatchBookmarks: "true",
        // Not all connectors at once.
        timeoutSeconds: String(Math.round(WATCH_S * (1 + Math.random()))),
      };
      const response = await this.#send("GET", pathOf(resource, { namespace: this.namespace }), {
        query,
        signal: AbortSignal.any([signal, silent.signal]),
      });
      if (response.status !== 200) {
        const json = parseJson(await readBody(response));
        throw failure(`watch ${resource.plural}`, response.status, json);
      }
      onOpen?.();
      for await (const line of linesOf(response)) {
        clearTimeout(timer);
        timer = setTimeout(() => silent.abort(), SILENCE_MS);
        const { type, object } = parseJson(line) as { type: string; object: unknown };
        if (type === "ERROR") {
          const status = object as Status;
          throw failure(`watch ${resource.plural}`, status.code ?? 500, status);
        }
        yield { type, object } as WatchEvent<T>;
      }
    } catch (error) {
      if (error instanceof ConnectorError) throw error;
      const reason = silent.signal.aborted ? "it has fallen silent" : wordsOf(error);
      throw new ConnectorError("unavailable", `Cannot watch ${resource.plural}: ${reason}`);
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#connection?.client.close();
    this.#connection = undefined;
  }

  async #request(
    method: string,
    path: string,
    { signal, ...asked }: Asked,
  ): Promise<{ status: number; json: unknown }> {
    const timeout = AbortSignal.timeout(REQUEST_MS);
    const either = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
    try {
      const response = await this.#send(method, path, { ...asked, signal: either });
      const text = await readBody(response);
      return { status: response.status, json: parseJson(text) };
    } catch (error) {
      if (error instanceof ConnectorError) throw error;
      const reason = timeout.aborted ? `no answer in ${REQUEST_MS / 1000} s` : wordsOf(error);
      throw new ConnectorError("unavailable", `Cannot reach the Kubernetes API: ${reason}`);
    }
  }

  /**
   * Asks; once more, with credentials that are read anew, if those in use are not accepted any more; and again for as long
   * as the server has too much to do and says when.
   */
  async #send(method: string, path: string, asked: Asked): Promise<Response> {
    for (let renewed = false;;) {
      const { client, credentials } = await this.#connected();
      const url = new URL(`${this.#cluster.server}${path}`);
      for (const [key, value] of Object.entries(asked.query ?? {})) {
        if (value !== undefined) url.searchParams.set(key, value);
      }
      const response = await fetch(url, {
        method,
        client,
        redirect: "error",
        headers: {
          accept: "application/json",
          "user-agent": `connector/${config.version}`,
          ...(credentials.token && { authorization: `Bearer ${credentials.token}` }),
          ...(asked.body !== undefined && { "content-type": "application/json" }),
        },
        ...(asked.body !== undefined && { body: JSON.stringify(asked.body) }),
        ...(asked.signal && { signal: asked.signal }),
      });
      const waitMs = retryAfterMs(response);
      if (waitMs !== undefined && !asked.signal?.aborted) {
        await response.body?.cancel();
        await delay(waitMs * (1 + Math.random() / 2), asked.signal && { signal: asked.signal });
        continue;
      }
      if (response.status !== 401 || renewed) return response;
      await response.body?.cancel();
      renewed = true;
      if (this.#connection?.client === client) this.#connection.readAt = -Infinity;
    }
  }

  /** The HTTP client with the credentials as they are now. */
  async #connected(): Promise<{ client: Deno.HttpClient; credentials: Credentials }> {
    const now = performance.now();
    if (this.#connection && now - this.#connection.readAt < CREDENTIALS_MS) return this.#connection;
    this.#reading ??= this.#connect().finally(() => this.#reading = undefined);
    return await this.#reading;
  }

  async #connect(): Promise<{ client: Deno.HttpClient; credentials: Credentials }> {
    let credentials: Credentials;
    try {
      credentials = await this.#cluster.credentials();
    } catch (error) {
      // A file that is being exchanged: what was read before is most likely good still.
      if (this.#connection === undefined) throw error;
      this.#connection.readAt = performance.now();
      return this.#connection;
    }
    if (this.#disposed) throw new ConnectorError("cancelled", "the integration has ended");
    if (!isToken(credentials.token ?? "")) {
      throw new ConnectorError("unavailable", "the token has characters that no token has");
    }
    const former = this.#connection;
    const { ca, certificate } = credentials;
    const same = former?.credentials.ca === ca &&
      former?.credentials.certificate?.cert === certificate?.cert &&
      former?.credentials.certificate?.key === certificate?.key;
    const client = former && same ? former.client : Deno.createHttpClient({
      http2: false,
      ...(ca !== undefined && { caCerts: [ca] }),
      ...certificate,
    });
    // Requests of the former one go on until they have ended.
    if (former && !same) former.client.close();
    this.#connection = { client, credentials, readAt: performance.now() };
    return this.#connection;
  }
}

/** How long to wait for a server that has refused a request unread; undefined if it has not, or does not say. */
function retryAfterMs({ status, headers }: Response): number | undefined {
  const seconds = headers.get("retry-after") ?? "";
  if (status !== 429 || !/^[1-9]\d{0,3}$/.test(seconds)) return undefined;
  return Number(seconds) * 1000;
}

/** What a status means for whoever asked. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: "invalid_argument",
  401: "unavailable",
  403: "permission_denied",
  404: "not_found",
  409: "already_exists",
  410: "failed_precondition",
  422: "invalid_argument",
};

function failure(action: string, status: number, body: unknown): ConnectorError {
  const { message } = (typeof body === "object" && body !== null ? body : {}) as Status;
  const text = typeof message === "string" ? message.slice(0, 500) : "no reason given";
  const code = CODES[status] ?? "unavailable";
  return new ConnectorError(code, `Cannot ${action}: Kubernetes answers ${status}, ${text}`);
}

/** The runtime's own words name the URL and the cause; the cause alone says more. */
function wordsOf(error: unknown): string {
  const text = reasonOf(error);
  return /: ([^:]+(?:: [^:]+)?) \(os error \d+\)$/.exec(text)?.[1]?.toLowerCase() ??
    text.replace(/^error sending request for url \([^)]*\): /, "").slice(0, 300);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notTheApi("no JSON");
  }
}

/** A proxy on the way, or an API server that is about to end. */
function notTheApi(answer: string): ConnectorError {
  return new ConnectorError("unavailable", `The Kubernetes API has answered with ${answer}`);
}

async function readBody(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_BYTES) throw tooLong();
  }
  return text;
}

/** The lines of a watch, each an event. */
async function* linesOf(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_BYTES) throw tooLong();
    yield* lines.filter((line) => line !== "");
  }
}

function tooLong(): ConnectorError {
  return new ConnectorError("resource_exhausted", "The answer of the Kubernetes API is too long");
}
