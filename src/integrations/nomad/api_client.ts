// A small client of Nomad's HTTP API, over `fetch`: it reads JSON.
// https://developer.hashicorp.com/nomad/api-docs

import config from "../../../deno.json" with { type: "json" };
import { ConnectorError, reasonOf } from "../../model/errors.ts";

/** How long a request may take, in milliseconds. */
const REQUEST_MS = 5000;
/** How long the roots are used before their file is read again, in milliseconds. */
const ROOTS_MS = 60_000;
/** The most requests at once: peers choose which jobs are asked about, and each request takes a descriptor. */
const MAX_REQUESTS = 16;
/** The most that wait for their turn. */
const MAX_WAITING = 1000;
/** The longest answer, in bytes: an allocation with its job takes some tens of kilobytes. */
const MAX_BYTES = 16 * 1024 * 1024;

/** Where Nomad is, and what is shown to it. */
export interface NomadAccess {
  /** Base of all URLs, without a slash at its end. */
  server: string;
  token: string | undefined;
  namespace: string | undefined;
  /** Path of the roots to trust (PEM); undefined: whom the system trusts. */
  caFile: string | undefined;
}

/** Nomad's API. */
export class NomadClient implements Disposable {
  readonly #access: NomadAccess;
  #connection: { client: Deno.HttpClient; ca: string | undefined; readAt: number } | undefined;
  #requests = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(access: NomadAccess) {
    this.#access = access;
  }

  /**
   * What is at a path; undefined when there is nothing.
   *
   * @throws {ConnectorError} `permission_denied` when the token does not allow it, `unavailable` when it cannot be had,
   *   `resource_exhausted` when too many wait already.
   */
  async get(path: string, { signal }: { signal: AbortSignal }): Promise<unknown> {
    const { server, token, namespace } = this.#access;
    const url = new URL(`${server}${path}`);
    if (namespace !== undefined) url.searchParams.set("namespace", namespace);
    using _turn = await this.#turn();
    const timeout = AbortSignal.timeout(REQUEST_MS);
    let status: number;
    let text: string;
    try {
      const response = await fetch(url, {
        client: await this.#client(),
        redirect: "error",
        headers: {
          accept: "application/json",
          "user-agent": `connector/${config.version}`,
          ...(token !== undefined && { "x-nomad-token": token }),
        },
        signal: AbortSignal.any([signal, timeout]),
      });
      status = response.status;
      text = await readBody(response);
    } catch (error) {
      if (error instanceof ConnectorError) throw error;
      const reason = timeout.aborted ? `no answer in ${REQUEST_MS / 1000} s` : wordsOf(error);
      throw new ConnectorError("unavailable", `Cannot reach Nomad: ${reason}`);
    }
    if (status === 404) return undefined;
    if (status === 403) {
      throw new ConnectorError(
        "permission_denied",
        "Nomad does not allow it: NOMAD_TOKEN needs read-job",
      );
    }
    if (status !== 200) {
      const said = text.trim().slice(0, 200);
      throw new ConnectorError(
        "unavailable",
        `Nomad answers ${status}, ${said || "without a reason"}`,
      );
    }
    try {
      return JSON.parse(text);
    } catch {
      throw new ConnectorError("unavailable", "Nomad has answered with no JSON");
    }
  }

  [Symbol.dispose](): void {
    this.#connection?.client.close();
    this.#connection = undefined;
  }

  /** Waits until one more request may be made; disposing what it returns ends that one's turn. */
  async #turn(): Promise<Disposable> {
    if (this.#requests < MAX_REQUESTS) this.#requests += 1;
    else if (this.#waiting.length >= MAX_WAITING) {
      throw new ConnectorError("resource_exhausted", "too much is asked of Nomad at once");
    } else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return { [Symbol.dispose]: () => this.#endTurn() };
  }

  #endTurn(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#requests -= 1;
    else next();
  }

  /** The HTTP client that trusts whom the file names now. @throws {ConnectorError} naming the file, the first time. */
  async #client(): Promise<Deno.HttpClient> {
    const former = this.#connection;
    if (former && performance.now() - former.readAt < ROOTS_MS) return former.client;
    const ca = await this.#roots(former);
    // Another request may have been quicker.
    const now = this.#connection;
    if (now !== undefined && now.ca === ca) {
      now.readAt = performance.now();
      return now.client;
    }
    now?.client.close();
    const client = Deno.createHttpClient({
      http2: false,
      ...(ca !== undefined && { caCerts: [ca] }),
    });
    this.#connection = { client, ca, readAt: performance.now() };
    return client;
  }

  async #roots(former: { ca: string | undefined } | undefined): Promise<string | undefined> {
    const { caFile } = this.#access;
    if (caFile === undefined) return undefined;
    try {
      return await Deno.readTextFile(caFile);
    } catch (error) {
      // A file that is being exchanged: what was read before is most likely good still.
      if (former !== undefined) return former.ca;
      throw ConnectorError.from(error, `Cannot read ${caFile}`);
    }
  }
}

/** The runtime's own words name the URL and the cause; the cause alone says more. */
function wordsOf(error: unknown): string {
  const text = reasonOf(error);
  return /: ([^:]+(?:: [^:]+)?) \(os error \d+\)$/.exec(text)?.[1]?.toLowerCase() ??
    text.replace(/^error sending request for url \([^)]*\): /, "").slice(0, 300);
}

async function readBody(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MAX_BYTES) {
      throw new ConnectorError("resource_exhausted", "The answer of Nomad is too long");
    }
  }
  return text + decoder.decode();
}
