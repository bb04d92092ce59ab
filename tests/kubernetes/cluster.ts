// A real Kubernetes API server for a test: started on a free port of 127.0.0.1, stopped and started again as the test
// wants, with clients that may do anything, and kubeconfigs for connectors that may not. apiserver/ is the program.

import { strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { parseAllDocuments } from "yaml";
import { Child, runProgram } from "../support/child.ts";
import { goEnvironment } from "../support/environment.ts";
import { ROOT } from "../support/processes.ts";
import { freePort, until } from "../support/world.ts";

const SOURCE = `${ROOT}/tests/kubernetes/apiserver`;
/** How long the program may take to build with an empty cache on a small machine, in milliseconds. */
const BUILD_TIMEOUT_MS = 25 * 60_000;

/** An object of the API, as far as tests look into it. */
export interface Thing {
  apiVersion?: string;
  kind?: string;
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // deno-lint-ignore no-explicit-any -- what it is depends on the kind
  [member: string]: any;
}

let built: Promise<string> | undefined;

/** Builds the program, unless that was done for the same source. */
export function buildApiServer(): Promise<string> {
  return built ??= build();
}

async function build(): Promise<string> {
  const hash = createHash("sha256");
  for (const name of ["main.go", "go.mod", "go.sum"]) {
    hash.update(await Deno.readFile(`${SOURCE}/${name}`));
  }
  const program = `${temporaryFolder()}/connector-apiserver-${hash.digest("hex").slice(0, 16)}`;
  try {
    await Deno.stat(program);
    return program;
  } catch {
    // It is to be built.
  }
  const unfinished = `${program}.${Deno.pid}`;
  const { code, stderr } = await runProgram("go", {
    args: ["build", "-C", SOURCE, "-buildvcs=false", "-o", unfinished, "."],
    env: goEnvironment(),
    timeoutMs: BUILD_TIMEOUT_MS,
  });
  strictEqual(code, 0, stderr);
  await Deno.rename(unfinished, program);
  return program;
}

function temporaryFolder(): string {
  return (Deno.env.get("TMPDIR") || "/tmp").replace(/\/$/, "");
}

/** A cluster without nodes. */
export class Cluster implements AsyncDisposable {
  readonly folder: string;
  readonly #program: string;
  readonly #port: number;
  #child: Child | undefined;
  #client: Deno.HttpClient | undefined;

  private constructor({ folder, program }: { folder: string; program: string }) {
    this.folder = folder;
    this.#program = program;
    this.#port = freePort();
  }

  /** Starts one, with a namespace `shipyard`. */
  static async start(): Promise<Cluster> {
    const program = await buildApiServer();
    const folder = await Deno.makeTempDir({ prefix: "connector-kubernetes-" });
    const cluster = new Cluster({ folder, program });
    try {
      await cluster.restart();
      await cluster.create("/api/v1/namespaces", { metadata: { name: "shipyard" } });
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get server(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get caFile(): string {
    return `${this.folder}/apiserver.crt`;
  }

  /** Starts the API server, which was stopped. `compact`: without the history of its database. */
  async restart({ compact = false }: { compact?: boolean } = {}): Promise<void> {
    this.#child = new Child(this.#program, {
      args: [
        ...["--dir", this.folder, "--port", String(this.#port)],
        ...(compact ? ["--compact"] : []),
      ],
    });
    const child = this.#child;
    await until(
      async () => {
        try {
          this.#client ??= Deno.createHttpClient({
            caCerts: [await Deno.readTextFile(this.caFile)],
            http2: false,
          });
          const response = await this.#fetch("GET", "/readyz");
          return (await response.text()) === "ok" && response.status === 200;
        } catch {
          this.#forgetClient();
          return false;
        }
      },
      "the API server is ready",
      { timeoutMs: 60_000 },
    ).catch((error) => {
      throw child.failure(error.message);
    });
  }

  /** Stops the API server. */
  async stop(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.#forgetClient();
    await child?.stop({ signal, timeoutMs: 60_000 });
  }

  /** An object, or undefined. */
  async get(path: string): Promise<Thing | undefined> {
    const response = await this.#fetch("GET", path);
    const json = await response.json();
    if (response.status === 404) return undefined;
    strictEqual(response.status, 200, JSON.stringify(json));
    return json;
  }

  /** The objects of a collection. */
  async list(path: string): Promise<Thing[]> {
    return (await this.get(path))?.items ?? [];
  }

  async create(path: string, object: unknown): Promise<Thing> {
    return await this.#must("POST", path, { body: object });
  }

  /** Merges into an object. */
  async patch(path: string, object: unknown): Promise<Thing> {
    return await this.#must("PATCH", path, {
      body: object,
      contentType: "application/merge-patch+json",
    });
  }

  async delete(path: string): Promise<void> {
    await this.#must("DELETE", path, {});
  }

  /** Applies every document of a manifest on the server's side, which refuses unknown fields. */
  async apply(manifest: string): Promise<Thing[]> {
    const applied: Thing[] = [];
    for (const document of parseAllDocuments(manifest)) {
      const object: Thing = document.toJS();
      if (object === null) continue;
      const { apiVersion = "", kind = "", metadata: { name, namespace } } = object;
      const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
      const plural = `${kind.toLowerCase()}s`;
      const place = namespace === undefined ? plural : `namespaces/${namespace}/${plural}`;
      const query = "fieldManager=test&force=true&fieldValidation=Strict";
      applied.push(
        await this.#must("PATCH", `${root}/${place}/${name}?${query}`, {
          body: object,
          contentType: "application/apply-patch+yaml",
        }),
      );
    }
    return applied;
  }

  /** A token of a service account, which may be tied to an object. */
  async token(namespace: string, name: string, boundTo?: Thing): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const { kind, apiVersion, metadata } = boundTo ?? {};
    const reference = { kind, apiVersion, name: metadata?.name, uid: metadata?.uid };
    const { status } = await this.#must("POST", path, {
      body: { spec: { expirationSeconds: 3600, ...(boundTo && { boundObjectRef: reference }) } },
    });
    return status.token;
  }

  /** What the API answers to somebody with a token: the status alone. */
  async statusFor(token: string, path: string): Promise<number> {
    const response = await this.#fetch("GET", path, { token });
    await response.body?.cancel();
    return response.status;
  }

  /** Writes a kubeconfig for whoever has a token, and returns its path. */
  async kubeconfig(
    user: { token: string } | { tokenFile: string },
    { namespace = "shipyard" }: { namespace?: string } = {},
  ): Promise<string> {
    const path = await Deno.makeTempFile({ dir: this.folder, suffix: ".yaml" });
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace } }],
      clusters: [{
        name: "test",
        cluster: { server: this.server, "certificate-authority": this.caFile },
      }],
      users: [{ name: "test", user }],
    };
    await Deno.writeTextFile(path, JSON.stringify(config));
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Deno.remove(this.folder, { recursive: true });
  }

  async #must(
    method: string,
    path: string,
    options: { body?: unknown; contentType?: string },
  ): Promise<Thing> {
    const response = await this.#fetch(method, path, options);
    const json = await response.json();
    strictEqual(response.ok, true, `${method} ${path}: ${JSON.stringify(json)}`);
    return json;
  }

  #fetch(
    method: string,
    path: string,
    { body, contentType = "application/json", token = "admin" }: {
      body?: unknown;
      contentType?: string;
      token?: string;
    } = {},
  ): Promise<Response> {
    if (this.#client === undefined) throw new TypeError("the API server is stopped");
    return fetch(`${this.server}${path}`, {
      method,
      client: this.#client,
      headers: { authorization: `Bearer ${token}`, "content-type": contentType },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
  }

  #forgetClient(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

/** Where objects of the namespace `shipyard` are. */
export const PLACES = {
  services: "/api/v1/namespaces/shipyard/services",
  pods: "/api/v1/namespaces/shipyard/pods",
  slices: "/apis/discovery.k8s.io/v1/namespaces/shipyard/endpointslices",
  leases: "/apis/coordination.k8s.io/v1/namespaces/shipyard/leases",
} as const;
