// A double of the part of the Kubernetes API that connectors use, for answers that a real API server cannot be brought to
// give: floods, rubbish, refusals at a certain moment. What is true of a real one is tested in tests/kubernetes.

import { ApiClient } from "../../src/integrations/kubernetes/api_client.ts";

/** An object, as far as tests look into it. */
export interface DoubledObject {
  metadata: {
    name: string;
    uid?: string;
    resourceVersion?: string;
    deletionTimestamp?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  // deno-lint-ignore no-explicit-any -- what it is depends on the kind
  [member: string]: any;
}

/** What was asked. */
export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
}

/** A server that keeps objects by their paths, and tells watches of changes. */
export class KubernetesDouble implements AsyncDisposable {
  readonly server: string;
  readonly objects = new Map<string, DoubledObject>();
  /** Requests, the oldest first. */
  readonly asked: Asked[] = [];
  /** Gives another answer than the right one; undefined: the right one. */
  instead: ((asked: Asked) => Response | undefined | Promise<Response | undefined>) | undefined;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #watches = new Set<{ path: string; tell: (event: unknown) => void; end: () => void }>();
  #version = 1;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        const { pathname, searchParams } = new URL(request.url);
        const asked = { method: request.method, path: pathname, query: searchParams };
        this.asked.push(asked);
        const text = await request.text();
        return await this.instead?.(asked) ?? this.#answer(asked, text);
      },
    );
    this.server = `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** How often something was asked for. */
  count(method: string, path: RegExp): number {
    return this.asked.filter((each) => each.method === method && path.test(each.path)).length;
  }

  /** A client of the namespace `shipyard`. */
  client({ token }: { token?: string } = {}): ApiClient {
    const credentials = () => Promise.resolve({ ca: undefined, token, certificate: undefined });
    const cluster = { server: this.server, namespace: undefined, credentials };
    return new ApiClient(cluster, { namespace: "shipyard" });
  }

  /** Writes a kubeconfig, and returns its path. */
  async kubeconfig(): Promise<string> {
    const file = await Deno.makeTempFile({ prefix: "connector-kubeconfig-" });
    const config = {
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", user: "c" } }],
      clusters: [{ name: "c", cluster: { server: this.server } }],
      users: [{ name: "c", user: {} }],
    };
    await Deno.writeTextFile(file, JSON.stringify(config));
    return file;
  }

  /** Puts an object where it belongs, as somebody else would. */
  put(path: string, object: DoubledObject): DoubledObject {
    const known = this.objects.get(path);
    this.#version += 1;
    const kept: DoubledObject = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: known?.metadata.uid ?? `uid-${this.#version}`,
        resourceVersion: String(this.#version),
      },
    };
    this.objects.set(path, kept);
    this.#tell(path, known === undefined ? "ADDED" : "MODIFIED", kept);
    return kept;
  }

  /** Takes an object away. */
  remove(path: string): void {
    const known = this.objects.get(path);
    if (known === undefined) return;
    this.objects.delete(path);
    this.#version += 1;
    const metadata = { ...known.metadata, resourceVersion: String(this.#version) };
    this.#tell(path, "DELETED", { ...known, metadata });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { end } of this.#watches) end();
    await this.#server.shutdown();
  }

  #answer({ method, path, query }: Asked, text: string): Response {
    const known = this.objects.get(path);
    // What connectors send is of this form.
    const sent = text === "" ? undefined : JSON.parse(text) as DoubledObject;
    if (method === "GET" && query.has("watch")) return this.#watch(path);
    if (method === "GET" && KINDS.test(path)) return this.#list(path);
    if (method === "POST" && sent !== undefined) {
      const at = `${path}/${sent.metadata.name}`;
      return this.objects.has(at) ? status(409, "AlreadyExists") : json(this.put(at, sent), 201);
    }
    if (known === undefined) return status(404, "NotFound");
    if (method === "GET") return json(known);
    if (method === "DELETE") {
      this.remove(path);
      return json({});
    }
    const version = sent?.metadata.resourceVersion;
    if (sent === undefined || version !== known.metadata.resourceVersion) {
      return status(409, "Conflict");
    }
    return json(this.put(path, sent));
  }

  #list(path: string): Response {
    const items = [...this.objects].filter(([at]) => at.startsWith(`${path}/`)).map(([, each]) =>
      each
    );
    return json({ items, metadata: { resourceVersion: String(this.#version) } });
  }

  #watch(path: string): Response {
    const encoder = new TextEncoder();
    const started = Promise.withResolvers<ReadableStreamDefaultController<Uint8Array>>();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => started.resolve(controller),
      cancel: () => void this.#watches.delete(watch),
    });
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
    const watch = {
      path,
      tell: (event: unknown) => controller?.enqueue(encoder.encode(`${JSON.stringify(event)}\n`)),
      end: () => controller?.close(),
    };
    started.promise.then((value) => controller = value);
    this.#watches.add(watch);
    return new Response(body);
  }

  #tell(path: string, type: string, object: DoubledObject): void {
    for (const watch of this.#watches) {
      if (path.startsWith(`${watch.path}/`)) watch.tell({ type, object });
    }
  }
}

/** Where objects of a kind are. */
const KINDS = /\/(?:services|endpointslices|leases)$/;

/** An answer in JSON. */
export function json(value: unknown, code = 200): Response {
  return new Response(JSON.stringify(value), { status: code });
}

/** A refusal in the API's own terms. */
export function status(code: number, reason: string): Response {
  return json({ kind: "Status", reason, message: `refused: ${reason}`, code }, code);
}
