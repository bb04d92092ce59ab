// Registers the services that listen here as Services of Kubernetes: makes them, puts right what others change, and
// removes them. It works from the list of services and from what is in the cluster, never from single events, so that a
// lost event, a restart and a request that failed are all the same case. wanted.ts says what is to be there; in
// docs/kubernetes.md is what an operator sees.
//
// With several replicas a Lease for each service says which of them has it. A replica claims a service once, when a peer
// asks for it here; from then on it only looks whether it has it still. So one that comes back late takes nothing.

import { BoundedLog } from "../../bounded_log.ts";
import { delay } from "../../delay.ts";
import { ConnectorError, reasonOf } from "../../model/errors.ts";
import type { Subscription } from "../../model/events.ts";
import type { Registration, ServiceReport } from "../../model/service.ts";
import type { Host, Integration, SchedulerVariables } from "../integration.ts";
import { WorkQueue } from "../work_queue.ts";
import { ApiClient } from "./api_client.ts";
import { findCluster } from "./find_cluster.ts";
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubernetesObject,
  type Lease,
  LEASES,
  PODS,
  type Resource,
  type Service,
  SERVICES,
} from "./objects.ts";
import { ResourceCache } from "./resource_cache.ts";
import {
  BY_LEASE,
  claimOf,
  isAsWanted,
  isMade,
  leaseOf,
  type Maker,
  ownerOf,
  podOf,
  SELECTOR,
  serviceOf,
  serviceOfSlice,
  sliceNameOf,
  sliceOf,
  takenUpAtOf,
  type Wanted,
  wantedOf,
} from "./wanted.ts";

/** Services that are worked on at once: a replica that takes over hundreds does so within a second or two. */
const CONCURRENCY = 8;
/** How a service that could not be registered is tried again, in milliseconds. */
const BACKOFF = { initialMs: 200, maxMs: 10_000, settledMs: 10_000, random: Math.random };
/** Events that wait at most. Whatever their number, the list is read once. */
const CAPACITY = 1000;
/** How long events are gathered before the list is read, in milliseconds. */
const GATHER_MS = 20;
/**
 * How long what an earlier run has left is kept for the peers that come back, in milliseconds; and how often it is looked
 * for what connectors left that are no more.
 */
const SWEEP_MS = 60_000;
/** How often an object is put right in so many milliseconds; then something else changes it all the time. */
const MAX_REPAIRS = 10;
const REPAIRS_MS = 10_000;
/** How long what is registered may take to be removed at the end, in milliseconds. */
const REMOVE_MS = 3000;
/** How long kube-proxy may take to send visitors to another pod, in milliseconds: it gathers changes for a second. */
const PROPAGATION_MS = 2000;

/** Times for tests, in milliseconds. */
export interface KubernetesTimes {
  sweepMs?: number;
  propagationMs?: number;
  removeMs?: number;
}

/** What the integration is made of. */
export interface KubernetesOptions {
  namespace: string;
  variables: SchedulerVariables;
  times?: KubernetesTimes;
}

/** What this replica has claimed. */
interface Claim {
  id: string;
  takenUpAt: number;
  epoch: number;
}

/** The Services of one connector. */
export class KubernetesIntegration implements Integration {
  readonly #api: ApiClient;
  readonly #maker: Maker;
  readonly #times: Required<KubernetesTimes>;
  readonly #services: ResourceCache<Service>;
  readonly #slices: ResourceCache<EndpointSlice> | undefined;
  readonly #leases: ResourceCache<Lease> | undefined;
  readonly #queue: WorkQueue;
  #host: Host | undefined;
  #log: BoundedLog | undefined;
  #subscription: Subscription | undefined;
  #gathering: ReturnType<typeof setTimeout> | undefined;
  #sweeping: Promise<void> | undefined;
  readonly #ended = new AbortController();
  #wanted = new Map<string, Wanted>();
  /** Names of Services that this process has made or taken over, with the service that each is of. */
  readonly #held = new Map<string, string>();
  readonly #claims = new Map<string, Claim>();
  /** By name, when services were taken up here that another replica has had since. */
  readonly #moved = new Map<string, number>();
  /** The epoch of a lease that was known when its service was taken up: what is in it is older. */
  readonly #seen = new Map<string, { takenUpAt: number; epoch: number }>();
  /** How often objects were made or put right lately, by kind and name. */
  readonly #repairs = new Map<string, { count: number; since: number }>();
  /** Names of what owners left that are no more: to be removed unless somebody wants it by the next time. */
  #left = new Set<string>();
  /** What was last said of each service. */
  readonly #said = new Map<string, string>();
  /** Why kinds of objects cannot be followed, by their plurals. */
  readonly #problems = new Map<string, ConnectorError>();
  #changed = Promise.withResolvers<void>();
  #ending = false;

  private constructor(
    { api, maker, times }: { api: ApiClient; maker: Maker; times: KubernetesTimes },
  ) {
    this.#api = api;
    this.#maker = maker;
    this.#times = {
      sweepMs: SWEEP_MS,
      propagationMs: PROPAGATION_MS,
      removeMs: REMOVE_MS,
      ...times,
    };
    const cacheOf = <T extends KubernetesObject>(
      resource: Resource<T>,
      nameOf = (name: string) => name,
    ) =>
      new ResourceCache<T>({
        api,
        resource,
        labelSelector: SELECTOR,
        onChange: (name) => this.#onObject(nameOf(name)),
        onProblem: (problem) => this.#noteProblem(resource.plural, problem),
      });
    this.#services = cacheOf(SERVICES);
    if (maker.pod !== undefined) {
      this.#slices = cacheOf(ENDPOINT_SLICES, serviceOfSlice);
      this.#leases = cacheOf(LEASES);
    }
    this.#queue = new WorkQueue({
      concurrency: CONCURRENCY,
      backoff: BACKOFF,
      work: (name, signal) => this.#work(name, signal),
      onFailure: (name, error, retryMs) => this.#onFailure(name, error, retryMs),
    });
  }

  /**
   * Finds the cluster. Nothing is asked of it yet: a cluster that is away holds up no start.
   *
   * @throws {ConnectorError} when there is nothing that says where it is, or a file cannot be read.
   */
  static async open(
    { namespace, variables, times = {} }: KubernetesOptions,
  ): Promise<KubernetesIntegration> {
    const cluster = await findCluster(variables);
    await cluster.credentials();
    const { POD_NAME, POD_IP, HOSTNAME } = variables;
    const podNamespace = cluster.namespace ?? namespace;
    const inPod = variables.KUBERNETES_SERVICE_HOST !== undefined;
    const name = POD_NAME || (inPod ? HOSTNAME : undefined);
    // Connectors of one name would remove each other's Services.
    if (!name && !HOSTNAME) {
      throw new ConnectorError(
        "failed_precondition",
        "Cannot tell this connector's Services from others': neither HOSTNAME nor POD_NAME is set",
        { hint: "set HOSTNAME to a name that no other connector of the namespace has" },
      );
    }
    const maker: Maker = {
      owner: name ? `pod/${podNamespace}/${name}` : `host/${HOSTNAME}`,
      pod: POD_NAME && POD_IP ? { name: POD_NAME, namespace: podNamespace, ip: POD_IP } : undefined,
    };
    return new KubernetesIntegration({
      api: new ApiClient(cluster, { namespace }),
      maker,
      times,
    });
  }

  start(host: Host): void {
    this.#host = host;
    this.#log = new BoundedLog(host.logger);
    host.logger.info("registering services with Kubernetes", {
      namespace: this.#api.namespace,
      owner: this.#maker.owner,
      replicas: this.#maker.pod !== undefined,
    });
    this.#services.start();
    this.#slices?.start();
    this.#leases?.start();
    this.#subscription = host.events.subscribe(
      "kubernetes",
      { kinds: ["service"], capacity: CAPACITY },
      () => this.#readSoon(),
    );
    this.#readSoon();
    this.#sweeping = this.#sweepOften();
  }

  async handOver(signal: AbortSignal): Promise<void> {
    // Without a lease nobody would know that another replica has them.
    if (this.#maker.pod === undefined) return;
    const aborted = new Promise<void>((resolve) =>
      signal.addEventListener("abort", () => resolve(), { once: true })
    );
    this.#read();
    // What this connector exposes itself no peer asks for elsewhere.
    const isPeers = ({ claim }: Wanted) => claim !== this.#maker.owner;
    const kept = () =>
      [...this.#wanted.values()].some((each) => isPeers(each) && this.#claims.has(each.name));
    if (!kept()) return;
    while (kept() && !signal.aborted) await Promise.race([this.#changed.promise, aborted]);
    // Those who were sent here a moment ago still come.
    await delay(this.#times.propagationMs, { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription?.[Symbol.dispose]();
    clearTimeout(this.#gathering);
    this.#ended.abort();
    this.#ending = true;
    this.#wanted = new Map();
    for (const name of this.#held.keys()) this.#queue.add(name);
    const late = new AbortController();
    await Promise.race([this.#removed(), delay(this.#times.removeMs, { signal: late.signal })]);
    late.abort();
    if (this.#held.size > 0) {
      this.#host?.logger.warn("services left in Kubernetes", { count: this.#held.size });
    }
    await this.#queue[Symbol.asyncDispose]();
    await Promise.all([
      this.#sweeping,
      this.#services[Symbol.asyncDispose](),
      this.#slices?.[Symbol.asyncDispose](),
      this.#leases?.[Symbol.asyncDispose](),
    ]);
    this.#log?.[Symbol.dispose]();
    this.#api[Symbol.dispose]();
  }

  /** Resolves when nothing is held any more. */
  async #removed(): Promise<void> {
    while (this.#held.size > 0) {
      await this.#queue.idle();
      if (this.#held.size > 0) await this.#changed.promise;
    }
  }

  #readSoon(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#read();
    }, GATHER_MS);
  }

  /** What is to be there follows from the list. */
  #read(): void {
    const host = this.#host;
    if (host === undefined || this.#ending) return;
    const reports = host.list();
    const { wanted, unfit } = wantedOf(reports, {
      holds: (name) => this.#held.get(name),
      ownClaim: this.#maker.owner,
    });
    const former = this.#wanted;
    this.#wanted = wanted;
    this.#forgetSaid(reports);
    for (const { id, name, code, reason } of unfit) {
      this.#say(id, { name, state: "refused", message: reason, code });
    }
    for (const one of wanted.values()) {
      const known = former.get(one.name);
      if (known && isAsWanted(known, one) && this.#said.has(one.id)) continue;
      if (known?.takenUpAt !== one.takenUpAt) this.#noteSeen(one);
      if (!this.#said.has(one.id)) {
        const [why] = [...this.#problems.values()].map(({ message }) => message);
        this.#say(one.id, {
          name: one.name,
          state: "pending",
          ...(why !== undefined && { message: `Cannot register it with Kubernetes: ${why}` }),
        });
      }
      this.#queue.add(one.name);
    }
    for (const name of former.keys()) {
      if (wanted.has(name)) continue;
      this.#moved.delete(name);
      this.#seen.delete(name);
      this.#queue.add(name);
    }
    this.#noteChange();
  }

  #noteSeen({ name, takenUpAt }: Wanted): void {
    if (this.#leases?.synced) {
      const epoch = epochOf(this.#leases.get(name));
      this.#seen.set(name, { takenUpAt, epoch });
    }
  }

  #forgetSaid(reports: readonly ServiceReport[]): void {
    const ids = new Set(reports.map(({ id }) => id));
    for (const id of this.#said.keys()) {
      if (!ids.has(id)) this.#said.delete(id);
    }
  }

  /** Something of a Service has changed in the cluster. */
  #onObject(name: string): void {
    if (this.#wanted.has(name) || this.#held.has(name)) this.#queue.add(name, { hurry: false });
  }

  #noteProblem(plural: string, problem: ConnectorError | undefined): void {
    if (problem?.message === this.#problems.get(plural)?.message) return;
    if (problem !== undefined) {
      this.#problems.set(plural, problem);
      this.#log?.warn("Kubernetes is not followed", { reason: problem.message });
      return;
    }
    this.#problems.delete(plural);
    if (this.#problems.size > 0) return;
    this.#host?.logger.info("Kubernetes is followed again");
    // What has failed meanwhile need not wait.
    for (const name of [...this.#wanted.keys(), ...this.#held.keys()]) this.#queue.add(name);
  }

  /** Brings one Service, and what belongs to it, to what it should be. */
  async #work(name: string, signal: AbortSignal): Promise<undefined> {
    const wanted = this.#wanted.get(name);
    if (wanted === undefined) await this.#release(name, signal);
    else if (this.#maker.pod === undefined) await this.#ensureAlone(wanted, signal);
    else await this.#ensureAsOwner(wanted, { ...this.#maker, pod: this.#maker.pod }, signal);
    return undefined;
  }

  async #ensureAlone(wanted: Wanted, signal: AbortSignal): Promise<void> {
    await this.#ensureService(wanted, { signal, mayTake: false });
    this.#noteRegistered(wanted);
  }

  async #ensureAsOwner(
    wanted: Wanted,
    maker: Maker & { pod: NonNullable<Maker["pod"]> },
    signal: AbortSignal,
  ): Promise<void> {
    const has = await this.#claim(wanted, signal);
    if (!has) {
      this.#claims.delete(wanted.name);
      this.#held.delete(wanted.name);
      this.#moved.set(wanted.name, wanted.takenUpAt);
      this.#say(wanted.id, {
        name: wanted.name,
        state: "moved",
        message: "another replica has it since",
      });
      this.#noteChange();
      return;
    }
    const { name } = wanted;
    try {
      // First: a slice leads the visitors of whatever Service has its name.
      await this.#ensureService(wanted, { signal, mayTake: true });
    } catch (error) {
      if (error instanceof ConnectorError && error.code === "already_exists") {
        await this.#remove(ENDPOINT_SLICES, this.#slices, {
          name: sliceNameOf(name),
          left: false,
          signal,
        });
      }
      throw error;
    }
    await this.#ensure(
      ENDPOINT_SLICES,
      this.#slices,
      (current) => sliceOf(wanted, maker, current),
      { name: sliceNameOf(name), signal },
    );
    this.#noteRegistered(wanted);
  }

  #noteRegistered({ id, name }: Wanted): void {
    this.#held.set(name, id);
    if (this.#say(id, { name, state: "registered" })) {
      this.#host?.logger.debug("service registered", {
        service: `${this.#api.namespace}/${name}`,
        id,
      });
    }
  }

  /** Makes a Service, or puts it right. `mayTake`: a lease has settled that it is this replica's. */
  async #ensureService(
    wanted: Wanted,
    { signal, mayTake }: { signal: AbortSignal; mayTake: boolean },
  ): Promise<void> {
    const { name } = wanted;
    const check = async (current: Service) => {
      if (!isMade(current)) throw taken(name);
      const owner = ownerOf(current);
      const theirs = owner !== undefined && owner !== this.#maker.owner;
      if (!mayTake && theirs && !(await this.#hasLeft(owner, { signal, leaving: true }))) {
        throw taken(name);
      }
      // The endpoints of its selector would stay beside ours.
      if (this.#maker.pod !== undefined && current.spec?.selector) {
        await this.#delete(SERVICES, this.#services, { name, current, signal });
        throw new ConnectorError("unavailable", "its Service is made anew");
      }
    };
    await this.#ensure(
      SERVICES,
      this.#services,
      (current) => serviceOf(wanted, this.#maker, current),
      { name, signal, check },
    );
  }

  /** Makes an object, or makes it what it should be. @throws {ConnectorError} when somebody else was quicker. */
  async #ensure<T extends KubernetesObject>(
    resource: Resource<T>,
    cache: ResourceCache<T> | undefined,
    make: (current?: T) => T,
    { name, signal, check }: {
      name: string;
      signal: AbortSignal;
      check?: (current: T) => Promise<void>;
    },
  ): Promise<void> {
    let current = cache?.get(name);
    if (current === undefined) {
      this.#countRepair(resource, name);
      const made = await this.#api.create(resource, make(), { signal });
      if (made !== undefined) return cache?.note(made);
      current = await this.#api.get(resource, name, { signal });
    }
    if (current === undefined) throw overtaken(resource, name);
    if (check) await check(current);
    else if (!isMade(current)) throw taken(name);
    const wanted = make(current);
    if (isAsWanted(current, wanted)) return cache?.note(current);
    this.#countRepair(resource, name);
    const updated = await this.#api.update(resource, wanted, { signal });
    if (updated !== undefined) return cache?.note(updated);
    // It is another by now, and the watch will tell; it is read anew meanwhile.
    const newer = await this.#api.get(resource, name, { signal });
    if (newer === undefined) cache?.forget(name);
    else cache?.note(newer);
    throw overtaken(resource, name);
  }

  /** @throws {ConnectorError} when an object was made or put right so often that something else must be changing it. */
  #countRepair({ kind }: Resource<KubernetesObject>, name: string): void {
    const now = performance.now();
    const key = `${kind} ${name}`;
    const known = this.#repairs.get(key);
    const repairs = known && now - known.since < REPAIRS_MS ? known : { count: 0, since: now };
    this.#repairs.set(key, repairs);
    repairs.count += 1;
    if (repairs.count > MAX_REPAIRS) {
      throw new ConnectorError("unavailable", `something else changes ${key} all the time`);
    }
  }

  #forgetRepairs(name: string): void {
    this.#repairs.delete(`${SERVICES.kind} ${name}`);
    this.#repairs.delete(`${ENDPOINT_SLICES.kind} ${sliceNameOf(name)}`);
    this.#repairs.delete(`${LEASES.kind} ${name}`);
  }

  /**
   * Whether this replica has a service: claims it if its peer has asked for it here since the last claim.
   *
   * @throws {ConnectorError} `already_exists` when it is somebody else's; others when that cannot be known.
   */
  async #claim(wanted: Wanted, signal: AbortSignal): Promise<boolean> {
    const { name, id, takenUpAt } = wanted;
    // Whatever has become of it there: it was this replica's turn once.
    if (this.#moved.get(name) === takenUpAt) return false;
    const lease = this.#leases?.synced
      ? this.#leases.get(name)
      : await this.#api.get(LEASES, name, { signal });
    const claim = this.#claims.get(name);
    const claimed = claim?.id === id && claim.takenUpAt === takenUpAt;
    if (claimed && lease !== undefined) {
      return lease.spec?.holderIdentity === this.#maker.owner && epochOf(lease) === claim.epoch;
    }
    // It was moved after this very take-up, or was taken up anew elsewhere before this one could claim it.
    if (lease !== undefined && !claimed && this.#isNewer(lease, wanted)) {
      // Its clock may be wrong; and one that is no more has nothing.
      const { holderIdentity = "" } = lease.spec ?? {};
      if (!(await this.#hasLeft(holderIdentity, { signal, leaving: false }))) return false;
    }
    if (lease === undefined) this.#countRepair(LEASES, name);
    else if (!(await this.#mayTake(lease, wanted, signal))) throw taken(name);
    const epoch = (claim?.epoch ?? 0) > epochOf(lease) ? claim?.epoch ?? 0 : epochOf(lease) + 1;
    const next = leaseOf(wanted, { maker: this.#maker, epoch, now: Date.now(), current: lease });
    const written = lease === undefined
      ? await this.#api.create(LEASES, next, { signal })
      : await this.#api.update(LEASES, next, { signal });
    if (written === undefined) {
      const newer = await this.#api.get(LEASES, name, { signal });
      if (newer === undefined) this.#leases?.forget(name);
      else this.#leases?.note(newer);
      throw overtaken(LEASES, name);
    }
    this.#leases?.note(written);
    this.#claims.set(name, { id, takenUpAt, epoch: epochOf(written) });
    this.#held.set(name, id);
    return true;
  }

  /** Whether another replica has a service since it was last asked for here. */
  #isNewer(lease: Lease, { name, takenUpAt, claim }: Wanted): boolean {
    if (lease.spec?.holderIdentity === this.#maker.owner) return false;
    // Nobody else has asked for what this connector exposes itself.
    if (claim === this.#maker.owner) return false;
    const seen = this.#seen.get(name);
    // What was in the lease already when the service was taken up here came before.
    if (seen?.takenUpAt === takenUpAt && seen.epoch === epochOf(lease)) return false;
    return takenUpAtOf(lease) > takenUpAt;
  }

  /** Whether a service that another replica has is the same peer's, or that replica is no more. */
  async #mayTake(lease: Lease, wanted: Wanted, signal: AbortSignal): Promise<boolean> {
    if (!isMade(lease)) return false;
    const { holderIdentity = "" } = lease.spec ?? {};
    if (holderIdentity === this.#maker.owner || claimOf(lease) === wanted.claim) return true;
    return await this.#hasLeft(holderIdentity, { signal, leaving: true });
  }

  /** Whether the connector that has made something has ended, or, with `leaving`, is about to. */
  async #hasLeft(
    owner: string,
    { signal, leaving }: { signal: AbortSignal; leaving: boolean },
  ): Promise<boolean> {
    const at = podOf(owner);
    if (at === undefined) return false;
    const pod = await this.#api.get(PODS, at.name, { namespace: at.namespace, signal });
    return pod === undefined || leaving && pod.metadata.deletionTimestamp !== undefined ||
      ["Failed", "Succeeded"].includes(pod.status?.phase ?? "");
  }

  /** Removes what is of a Service that nobody wants any more, if it is this connector's, or that of one that is no more. */
  async #release(name: string, signal: AbortSignal): Promise<void> {
    if (!this.#held.has(name) && !this.#left.has(name)) {
      this.#forgetRepairs(name);
      return this.#queue.forget(name);
    }
    const left = this.#left.has(name);
    // The lease goes first: whoever wants the service from then on makes everything anew.
    const removed = await this.#remove(LEASES, this.#leases, { name, left, signal }) &&
      await this.#remove(ENDPOINT_SLICES, this.#slices, {
        name: sliceNameOf(name),
        left,
        signal,
      }) &&
      await this.#remove(SERVICES, this.#services, { name, left, signal });
    this.#held.delete(name);
    this.#claims.delete(name);
    this.#forgetRepairs(name);
    this.#left.delete(name);
    // It may have been exposed again meanwhile.
    if (!this.#wanted.has(name)) this.#queue.forget(name);
    this.#noteChange();
    if (removed) {
      this.#host?.logger.debug("service not registered any more", {
        service: `${this.#api.namespace}/${name}`,
      });
    }
  }

  /** Removes an object that is ours, or, if it is `left`, of one that is no more. Returns false if it is another's. */
  async #remove<T extends KubernetesObject>(
    resource: Resource<T>,
    cache: ResourceCache<T> | undefined,
    { name, left, signal }: { name: string; left: boolean; signal: AbortSignal },
  ): Promise<boolean> {
    if (cache === undefined) return true;
    const current = await this.#api.get(resource, name, { signal });
    if (current === undefined) {
      cache.forget(name);
      return true;
    }
    const owner = ownerOf(current);
    const ours = isMade(current) && owner !== undefined &&
      // Its lease is gone by now, or there is none.
      (owner === this.#maker.owner || owner === BY_LEASE ||
        left && await this.#hasLeft(owner, { signal, leaving: false }));
    return ours && await this.#delete(resource, cache, { name, current, signal });
  }

  async #delete<T extends KubernetesObject>(
    resource: Resource<T>,
    cache: ResourceCache<T>,
    { name, current, signal }: { name: string; current: T; signal: AbortSignal },
  ): Promise<boolean> {
    const { uid, resourceVersion } = current.metadata;
    const preconditions = { uid, resourceVersion };
    if (!await this.#api.delete(resource, name, { preconditions, signal })) {
      throw overtaken(resource, name);
    }
    cache.forget(name, uid);
    return true;
  }

  async #sweepOften(): Promise<void> {
    const { signal } = this.#ended;
    for (;;) {
      await delay(this.#times.sweepMs, { signal });
      if (signal.aborted) return;
      const gone = await this.#goneOwners(signal);
      if (!signal.aborted) this.#sweep(gone);
    }
  }

  /** The owners of what is known that are no more: each is asked about once, however much it has. */
  async #goneOwners(signal: AbortSignal): Promise<Set<string>> {
    const owners = new Set([...this.#known()].map(([, object]) => ownerOf(object)));
    const gone = new Set<string>();
    for (const owner of owners) {
      if (owner === undefined || owner === this.#maker.owner) continue;
      // What cannot be known now is asked the next time.
      const left = await this.#hasLeft(owner, { signal, leaving: false }).catch(() => false);
      if (left) gone.add(owner);
    }
    return gone;
  }

  /** Looks for what nobody wants: what an earlier run of this connector has left, and connectors that are no more. */
  #sweep(gone: ReadonlySet<string>): void {
    const left = new Set<string>();
    // Not every one need have got as far as its Service.
    for (const [name, object] of this.#known()) {
      const owner = ownerOf(object);
      const mine = owner === this.#maker.owner;
      if (owner === undefined || this.#wanted.has(name) || this.#held.has(name)) continue;
      const ownerless = owner === BY_LEASE && this.#leases?.synced && !this.#leases.get(name);
      if (!mine && !ownerless && !gone.has(owner)) continue;
      left.add(name);
      // Seen the second time: whoever wants it has had a minute. An earlier run's has been there for as long.
      if (this.#left.has(name) || mine) this.#queue.add(name);
    }
    this.#left = left;
  }

  /** Everything that is known of the cluster, by the name of its Service. */
  *#known(): Generator<[name: string, object: KubernetesObject]> {
    for (const cache of [this.#services, this.#leases]) {
      for (const object of cache?.values() ?? []) yield [object.metadata.name, object];
    }
    for (const slice of this.#slices?.values() ?? []) {
      yield [serviceOfSlice(slice.metadata.name), slice];
    }
  }

  #onFailure(name: string, error: unknown, retryMs: number): void {
    const wanted = this.#wanted.get(name);
    const { code, message } = ConnectorError.from(error, "Cannot register it with Kubernetes");
    this.#noteChange();
    if (wanted === undefined) {
      if (!this.#ending) this.#log?.warn("service not removed", { name, reason: message, retryMs });
      return;
    }
    // Somebody else has just written: the next try knows more, and nobody needs to hear of it.
    if (error instanceof Overtaken) return;
    const refused = REFUSALS.includes(code);
    const said = this.#say(wanted.id, {
      name,
      state: refused ? "refused" : "pending",
      message,
      ...(refused && { code: code === "already_exists" ? code : "unavailable" }),
    });
    if (said) {
      this.#log?.warn("service not registered", {
        service: name,
        id: wanted.id,
        reason: reasonOf(error),
        retryMs,
      });
    }
  }

  /** Says where a service stands, if that is news. */
  #say(id: string, { name, ...rest }: Omit<Registration, "scheduler">): boolean {
    const registration: Registration = {
      scheduler: "kubernetes",
      name: `${this.#api.namespace}/${name}`,
      ...rest,
    };
    const text = JSON.stringify(registration);
    if (this.#said.get(id) === text) return false;
    this.#said.set(id, text);
    this.#host?.register(id, registration);
    return true;
  }

  #noteChange(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** What is wrong by itself, and not because the API server is away. */
const REFUSALS: readonly ConnectorError["code"][] = [
  "already_exists",
  "permission_denied",
  "invalid_argument",
  "not_found",
];

/** Somebody else has written to an object meanwhile. */
class Overtaken extends ConnectorError {}

function overtaken({ kind }: Resource<KubernetesObject>, name: string): Overtaken {
  return new Overtaken("unavailable", `${kind} ${name} has changed meanwhile`);
}

/** Whose it is, the peer is not told. */
function taken(name: string): ConnectorError {
  return new ConnectorError("already_exists", `the name "${name}" is taken`);
}

function epochOf(lease: Lease | undefined): number {
  return lease?.spec?.leaseTransitions ?? 0;
}
