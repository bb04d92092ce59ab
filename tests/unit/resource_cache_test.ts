// What is kept of a kind of objects: an answer that comes late does not hide what the watch has told, a forgotten history is
// listed anew, and what may not be watched is listed from time to time.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import type {
  ApiClient,
  ListOf,
  WatchEvent,
} from "../../src/integrations/kubernetes/api_client.ts";
import { type Service, SERVICES } from "../../src/integrations/kubernetes/objects.ts";
import { ResourceCache } from "../../src/integrations/kubernetes/resource_cache.ts";
import { ConnectorError } from "../../src/model/errors.ts";
import { until } from "../support/world.ts";

function service(name: string, resourceVersion: string, uid = "1"): Service {
  return { metadata: { name, resourceVersion, uid } };
}

/** An API whose lists and watches are scripted. */
class ScriptedApi {
  readonly asked: string[] = [];
  readonly lists: ListOf<Service>[] = [];
  /** What each watch does, in order; after the last one they wait for the end. */
  readonly watches: (() => AsyncGenerator<WatchEvent<Service>>)[] = [];

  // deno-lint-ignore require-await -- a list of the API takes time
  async list(): Promise<ListOf<Service>> {
    this.asked.push("list");
    return this.lists.shift() ?? { items: [], resourceVersion: "1" };
  }

  async *watch(
    _resource: unknown,
    { resourceVersion, onOpen, signal }: {
      resourceVersion: string;
      onOpen: () => void;
      signal: AbortSignal;
    },
  ): AsyncGenerator<WatchEvent<Service>> {
    this.asked.push(`watch ${resourceVersion}`);
    const scripted = this.watches.shift();
    if (scripted) return yield* scripted();
    onOpen();
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  }
}

function cacheOf(api: ScriptedApi) {
  const changes: string[] = [];
  const problems: (string | undefined)[] = [];
  const cache = new ResourceCache<Service>({
    // It has the two methods that a cache calls.
    api: api as unknown as ApiClient,
    resource: SERVICES,
    labelSelector: "a=b",
    onChange: (name) => changes.push(name),
    onProblem: (problem) => problems.push(problem?.code),
  });
  return { cache, changes, problems };
}

Deno.test("an answer that comes after a later version does not hide it", async () => {
  await using cache = cacheOf(new ScriptedApi()).cache;
  cache.note(service("web", "10"));
  cache.note(service("web", "9"));
  strictEqual(cache.get("web")?.metadata.resourceVersion, "10");
  // Longer than what a number holds.
  cache.note(service("web", "9007199254740993"));
  cache.note(service("web", "9007199254740992"));
  strictEqual(cache.get("web")?.metadata.resourceVersion, "9007199254740993");
  cache.note(service("web", "9007199254740994", "2"));
  cache.forget("web", "1");
  ok(cache.get("web"), "another one has the name");
  cache.forget("web", "2");
  strictEqual(cache.get("web"), undefined);
});

Deno.test("a watch goes on from the last version that it has told of, bookmarks too", async () => {
  const api = new ScriptedApi();
  api.lists.push({ items: [service("a", "3"), service("b", "4")], resourceVersion: "5" });
  api.watches.push(async function* () {
    yield { type: "MODIFIED", object: service("a", "6") };
    yield { type: "DELETED", object: service("b", "7") };
    yield { type: "BOOKMARK", object: { metadata: { name: "", resourceVersion: "90" } } };
  });
  const { cache, changes, problems } = cacheOf(api);
  await using _cache = cache;
  cache.start();
  await until(() => api.asked.length === 3, "the next watch has begun");
  deepStrictEqual(api.asked, ["list", "watch 5", "watch 90"]);
  deepStrictEqual(changes, ["a", "b", "a", "b"]);
  deepStrictEqual([...cache.values()].map(({ metadata }) => metadata.name), ["a"]);
  ok(cache.synced && problems.every((problem) => problem === undefined));
});

Deno.test("where the history is forgotten, everything is listed anew, and what is gone is told", async () => {
  const api = new ScriptedApi();
  api.lists.push({ items: [service("a", "3"), service("b", "4")], resourceVersion: "5" });
  api.lists.push({ items: [service("a", "3"), service("c", "40")], resourceVersion: "50" });
  // deno-lint-ignore require-yield -- a watch that fails at once
  api.watches.push(async function* () {
    throw new ConnectorError("failed_precondition", "too old resource version");
  });
  const { cache, changes, problems } = cacheOf(api);
  await using _cache = cache;
  cache.start();
  await until(() => api.asked.length === 4, "the next watch has begun");
  deepStrictEqual(api.asked, ["list", "watch 5", "list", "watch 50"]);
  // What is as it was is not told again.
  deepStrictEqual(changes, ["a", "b", "c", "b"]);
  deepStrictEqual(problems, [], "that is no problem");
});

Deno.test("a watch that fails is said, and tried again from where it was", async () => {
  const api = new ScriptedApi();
  // deno-lint-ignore require-yield -- a watch that fails at once
  api.watches.push(async function* () {
    throw new ConnectorError("unavailable", "connection refused");
  });
  const { cache, problems } = cacheOf(api);
  await using _cache = cache;
  cache.start();
  await until(() => api.asked.length === 3, "the next watch has begun");
  deepStrictEqual(api.asked, ["list", "watch 1", "watch 1"]);
  deepStrictEqual(problems, ["unavailable"]);
  await until(() => problems.length === 2, "it has lasted");
  deepStrictEqual(problems, ["unavailable", undefined]);
});
