// Two connectors of a chaos run, the path between them, and services of both types through them: to an upstream that is
// spoken to first, and to one that speaks first.

import { delay } from "../../src/delay.ts";
import type { ServiceType } from "../../src/model/service.ts";
import { FaultRelay } from "../support/fault_relay.ts";
import { ChaosConnector, type ConnectorOptions } from "./connector.ts";
import { Disturbances } from "./disturbance.ts";
import type { Ledger } from "./ledger.ts";
import { chaosPort } from "./ports.ts";
import { FIRST_PROBE_ID, planVisit } from "./plan.ts";
import { Upstream } from "./upstream.ts";
import { visit } from "./visit.ts";

/** Everything must work again within this time after a fault, in milliseconds. */
const RECOVERY_MS = 60_000;
/** How long one probe may take, in milliseconds; it is made anew then. */
const PROBE_MS = 12_000;
/** Between two looks, in milliseconds. */
const LOOK_MS = 20;

/** A service through a pair. */
export interface ChaosService {
  /** Such as `plain local, server first`. */
  readonly name: string;
  readonly type: ServiceType;
  readonly serverFirst: boolean;
  /** Where visitors connect, of 127.0.0.1. */
  readonly port: number;
  readonly upstream: Upstream;
  /** Changes when it is exposed anew. */
  id: string;
}

/** What makes a pair. */
export interface PairOptions extends Omit<ConnectorOptions, "name"> {
  name: string;
  seed: number;
  ledger: Ledger;
}

/** Two connectors; the dialler has exposed every service. */
export class ChaosPair implements AsyncDisposable {
  readonly name: string;
  readonly dialler: ChaosConnector;
  readonly acceptor: ChaosConnector;
  readonly path: FaultRelay;
  readonly services: ChaosService[] = [];
  readonly disturbances = new Disturbances();
  readonly #options: PairOptions;
  readonly #stack = new AsyncDisposableStack();
  #probes = FIRST_PROBE_ID;

  private constructor(options: PairOptions) {
    const { name } = options;
    this.name = name;
    this.#options = options;
    this.dialler = new ChaosConnector({ ...options, name: `${name} dialler` });
    this.acceptor = new ChaosConnector({ ...options, name: `${name} acceptor` });
    this.path = this.#stack.use(new FaultRelay(this.acceptor.grpcPort));
  }

  /** Starts everything and resolves when every service works. */
  static async start(options: PairOptions): Promise<ChaosPair> {
    const pair = new ChaosPair(options);
    try {
      await pair.#start();
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  get connectors(): ChaosConnector[] {
    return [this.dialler, this.acceptor];
  }

  /** Exposes a service at the dialler; whatever id it had is no more. */
  async expose(service: ChaosService): Promise<void> {
    service.id = await this.dialler.expose({
      name: service.name,
      source_port: service.port,
      remote_connector_addr: this.path.address,
      destination_addr: `127.0.0.1:${service.upstream.port}`,
      type: service.type,
    });
  }

  /**
   * Resolves once every service is complete and a round trip through each has worked, and nothing else is listed.
   *
   * @throws {Error} when that takes more than a minute.
   */
  async works(signal?: AbortSignal): Promise<void> {
    const deadline = performance.now() + RECOVERY_MS;
    let reason = "it was not looked at";
    const check = (): boolean => {
      if (signal?.aborted) return false;
      if (performance.now() < deadline) return true;
      throw new Error(
        `${this.name} does not work ${RECOVERY_MS / 1000} s after a fault: ${reason}`,
      );
    };
    while (check()) {
      reason = await this.incomplete(this.dialler).catch(String) ?? "";
      if (reason === "") break;
      await delay(LOOK_MS);
    }
    await Promise.all(this.services.map(async (service) => {
      while (check()) {
        const problem = await this.#probe(service, signal);
        if (problem === undefined) return;
        reason = `a probe of ${service.name}: ${problem}`;
        await delay(LOOK_MS);
      }
    }));
  }

  /** Why what a connector lists is not exactly every service, complete; undefined when it is. */
  async incomplete(connector: ChaosConnector): Promise<string | undefined> {
    const listed = await connector.list();
    const expected = new Set(this.services.map(({ id }) => id));
    const describe = (each: typeof listed[number]) =>
      `${each.name} (${each.id}) is ${each.status}: ${each.message ?? ""}`;
    const wrong = listed.find(({ id, status }) => !expected.has(id) || status !== "COMPLETE");
    if (wrong) {
      return `${connector.name}: ${expected.has(wrong.id) ? "" : "a ghost: "}${describe(wrong)}`;
    }
    return listed.length === expected.size
      ? undefined
      : `${connector.name} lists ${listed.length} of ${expected.size} services`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.path.deliver();
    // At once, so that neither waits for the other.
    await Promise.all([this.dialler.stop(), this.acceptor.stop()]);
    await this.#stack.disposeAsync();
  }

  async #start(): Promise<void> {
    await Promise.all(this.connectors.map((connector) => connector.start()));
    for (const serverFirst of [false, true]) {
      for (const type of ["local", "remote"] as const) {
        this.services.push(await this.#addService(type, serverFirst));
      }
    }
    await this.works();
  }

  async #addService(type: ServiceType, serverFirst: boolean): Promise<ChaosService> {
    const { seed, ledger } = this.#options;
    const name = `${this.name} ${type}${serverFirst ? ", server first" : ""}`;
    const egress = type === "local" ? this.dialler : this.acceptor;
    const upstream = this.#stack.use(
      await Upstream.listen({
        seed,
        serverFirst,
        onEnd: ({ plan, end, up, openedAt }) => {
          const kind = plan?.kind ?? "unheard";
          const killed = egress.killedSince(openedAt);
          ledger.served({ kind, id: plan?.id, service: name, end, killed });
          ledger.bytes.add(kind, "up", up);
        },
      }),
    );
    const service = { name, type, serverFirst, port: chaosPort(), upstream, id: "" };
    await this.expose(service);
    return service;
  }

  /** Says what went wrong; undefined when nothing did. */
  async #probe(service: ChaosService, signal?: AbortSignal): Promise<string | undefined> {
    const { seed, ledger } = this.#options;
    const { serverFirst, port } = service;
    const late = AbortSignal.timeout(PROBE_MS);
    const plan = planVisit(seed, { id: this.#probes++, serverFirst });
    const { end } = await visit({ ...plan, paceMs: 0 }, {
      port,
      seed,
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    const kind = "probe";
    // A probe that is wrong is a problem like any other; one that fails is what is waited for.
    if (end.kind === "truncated" || end.kind === "wrong") {
      ledger.visited({ kind, id: plan.id, service: service.name, end, killed: false });
    } else {
      ledger.visits.add(kind, end.kind === "stalled" ? "interrupted" : end.kind);
    }
    return end.kind === "whole" ? undefined : end.kind;
  }
}
