// All objects of one kind that a selector fits, kept as they are now: listed once, then watched. A watch that ends goes
// on from where it was, by bookmarks; where that is forgotten (410), everything is listed again.

import { delay } from "../../delay.ts";
import { ConnectorError } from "../../model/errors.ts";
import { Backoff, type BackoffOptions } from "../../retry.ts";
import type { ApiClient, WatchEvent } from "./api_client.ts";
import type { KubernetesObject, Resource } from "./objects.ts";

/** How a watch that fails is tried again, in milliseconds. */
const BACKOFF: Readonly<BackoffOptions> = {
  initialMs: 200,
  // An API server that was away is found again soon, and not by all connectors at once.
  maxMs: 5000,
  settledMs: 5000,
  random: Math.random,
};
/** How often everything is listed where watching is not allowed, in milliseconds. */
const POLL_MS = 10_000;
/** A watch that has lasted so long, in milliseconds, is one that works. */
const SETTLED_MS = 1000;

/** What a cache is of, and who is told. */
export interface ResourceCacheOptions<T extends KubernetesObject> {
  api: ApiClient;
  resource: Resource<T>;
  labelSelector: string;
  /** An object has come, has changed or has gone. */
  onChange: (name: string) => void;
  /** Why it is not up to date, in words; undefined once it is again. */
  onProblem: (problem: ConnectorError | undefined) => void;
}

/** The objects. Disposing ends the watch. */
export class ResourceCache<T extends KubernetesObject> implements AsyncDisposable {
  readonly #options: ResourceCacheOptions<T>;
  readonly #objects = new Map<string, T>();
  readonly #ended = new AbortController();
  #running: Promise<void> | undefined;
  #synced = false;

  constructor(options: ResourceCacheOptions<T>) {
    this.#options = options;
  }

  /** Begins to list and watch. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Whether everything was listed once. */
  get synced(): boolean {
    return this.#synced;
  }

  /** The object of a name, as far as it is known. */
  get(name: string): T | undefined {
    return this.#objects.get(name);
  }

  /** All of them. */
  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** What a request has returned: nobody waits for the watch to tell the same. It may have told of a later version already. */
  note(object: T): void {
    const { name } = object.metadata;
    if (!isOlder(object, this.#objects.get(name))) this.#objects.set(name, object);
  }

  /** An object is not there any more; with a `uid`, this one is not: there may be another one of its name. */
  forget(name: string, uid?: string): void {
    const known = this.#objects.get(name);
    if (uid === undefined || known?.metadata.uid === uid) this.#objects.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    const backoff = new Backoff(BACKOFF);
    let version: string | undefined;
    while (!signal.aborted) {
      const started = performance.now();
      const listed = version === undefined;
      try {
        version ??= await this.#list();
        for await (const { type, object } of this.#watch(version)) {
          version = object.metadata.resourceVersion ?? version;
          if (type !== "BOOKMARK") this.#apply(object, type === "DELETED");
        }
        if (performance.now() - started >= SETTLED_MS) continue;
      } catch (error) {
        if (signal.aborted) return;
        const problem = ConnectorError.from(
          error,
          `Cannot follow ${this.#options.resource.plural}`,
        );
        if (problem.code === "permission_denied" && version !== undefined) {
          version = undefined;
          // What may be listed and not watched is listed from time to time.
          if (listed) {
            this.#options.onProblem(undefined);
            await delay(POLL_MS, { signal });
          }
          continue;
        }
        if (problem.code === "failed_precondition") version = undefined;
        else this.#options.onProblem(problem);
      }
      await delay(backoff.next(performance.now() - started), { signal });
    }
  }

  /** Watches from a version on. That all is well again is only said once the watch has lasted: one may fail each time. */
  async *#watch(resourceVersion: string): AsyncGenerator<WatchEvent<T>> {
    const { api, resource, labelSelector, onProblem } = this.#options;
    const { signal } = this.#ended;
    let settling: ReturnType<typeof setTimeout> | undefined;
    const onOpen = () => settling = setTimeout(() => onProblem(undefined), SETTLED_MS);
    try {
      yield* api.watch(resource, { labelSelector, resourceVersion, onOpen, signal });
    } finally {
      clearTimeout(settling);
    }
  }

  async #list(): Promise<string> {
    const { api, resource, labelSelector, onChange } = this.#options;
    const { signal } = this.#ended;
    const { items, resourceVersion } = await api.list(resource, { labelSelector, signal });
    const gone = new Set(this.#objects.keys());
    const changed: string[] = [];
    for (const item of items) {
      const { name } = item.metadata;
      const known = this.#objects.get(name)?.metadata.resourceVersion;
      if (known !== item.metadata.resourceVersion) changed.push(name);
      this.#objects.set(name, item);
      gone.delete(name);
    }
    for (const name of gone) this.#objects.delete(name);
    this.#synced = true;
    for (const name of [...changed, ...gone]) onChange(name);
    return resourceVersion;
  }

  #apply(object: T | KubernetesObject, deleted: boolean): void {
    const { name } = object.metadata;
    // A write has returned what came later.
    if (isOlder(object, this.#objects.get(name))) return;
    if (deleted) this.#objects.delete(name);
    // Only a bookmark has another type.
    else this.#objects.set(name, object as T);
    this.#options.onChange(name);
  }
}

/** Whether an object is of an earlier version than another. Versions are decimal numbers that grow (KEP-5504). */
function isOlder(object: KubernetesObject, known: KubernetesObject | undefined): boolean {
  const [one, other] = [object, known].map((each) => each?.metadata.resourceVersion);
  if (one === undefined || other === undefined) return false;
  return /^\d+$/.test(one) && /^\d+$/.test(other) && BigInt(one) < BigInt(other);
}
