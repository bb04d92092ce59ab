// One connector of a chaos run: a process of its own that is killed or told to end, and started again on the same ports
// with the same state file. What it has logged is looked through each time it ends.

import * as path from "node:path";
import { delay } from "../../src/delay.ts";
import type { Child } from "../support/child.ts";
import { httpsRequest } from "../support/mtls.ts";
import { type ListedService, RestClient, startCommand } from "../support/processes.ts";
import { soon } from "../support/soon.ts";
import type { Ledger } from "./ledger.ts";
import { chaosPort } from "./ports.ts";

/** How long a start may take until it is healthy, in milliseconds: a busy machine is slow. */
const START_TIMEOUT_MS = 60_000;
/** How long open connections may take when it is told to end, in milliseconds. */
const DRAIN_MS = 2000;
/** How long it may take to end beyond that, in milliseconds. */
const STOP_TIMEOUT_MS = 20_000;
/** A kill counts for connections that were made so long after it, in milliseconds: they may have been under way. */
const KILL_SLACK_MS = 2000;
/** What nothing that is logged should look like. */
const UNEXPECTED = /^\S+ ERROR\b|\b(defect|panicked|uncaught|unhandled)\b|^\s+at \S/i;
/** Of such lines, so many of one process are reported. */
const MAX_LINES = 5;
/** Lines of a log that explain a failure. */
const TAIL_LINES = 25;

/** What makes a connector. */
export interface ConnectorOptions {
  /** Such as `plain dialler`. */
  name: string;
  /** For its state file. */
  folder: string;
  /** Flags besides those that every connector of a run has. */
  flags: readonly string[];
  /** Flags for TLS, and the root that its REST API is verified with. */
  tls?: { flags: string[]; root: string } | undefined;
  ledger: Ledger;
}

/** A connector that can be started again. */
export class ChaosConnector implements AsyncDisposable {
  readonly name: string;
  readonly grpcPort = chaosPort();
  readonly httpPort = chaosPort();
  readonly #options: ConnectorOptions;
  readonly #kills: number[] = [];
  readonly #url: string;
  #child: Child | undefined;
  #stopping = false;

  constructor(options: ConnectorOptions) {
    this.#options = options;
    this.name = options.name;
    this.#url = `${options.tls ? "https://localhost" : "http://127.0.0.1"}:${this.httpPort}`;
  }

  /** The last lines of its log. */
  logTail(): string {
    return this.#child?.stderr.split("\n").slice(-TAIL_LINES).join("\n") ?? "it does not run";
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether it was killed since then, as `performance.now()` has it. */
  killedSince(time: number): boolean {
    return this.#kills.some((kill) => kill >= time - KILL_SLACK_MS);
  }

  /** Starts it and resolves when it is healthy. @throws {Error} when it is not in time. */
  async start(): Promise<void> {
    const { folder, name, flags, tls, ledger } = this.#options;
    const stateFile = path.join(folder, `${name.replaceAll(" ", "-")}.json`);
    const child = startCommand([
      "run",
      `--grpc-bind=127.0.0.1:${this.grpcPort}`,
      `--http-bind=127.0.0.1:${this.httpPort}`,
      `--state-file=${stateFile}`,
      `--drain-timeout=${DRAIN_MS}ms`,
      ...flags,
      ...tls?.flags ?? [],
    ]);
    this.#child = child;
    this.#stopping = false;
    child.exited.then(({ code, signal }) => {
      this.#inspect(child.stderr);
      if (!this.#stopping) ledger.problem(`${name} ended by itself: ${code} ${signal ?? ""}`);
    });
    await child.waitFor(/connector started/, { timeoutMs: START_TIMEOUT_MS });
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await this.#healthy())) {
      if (performance.now() > deadline) throw new Error(`${name} is not healthy in time`);
      await delay(10);
    }
  }

  /** Kills it. What its system ends for it ends with a FIN here and there. */
  async kill(): Promise<void> {
    this.#stopping = true;
    this.#kills.push(performance.now());
    await this.#child?.stop({ signal: "SIGKILL", timeoutMs: STOP_TIMEOUT_MS });
    this.#child = undefined;
  }

  /** Tells it to end, which it must do in order. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#stopping = true;
    const { name, ledger } = this.#options;
    try {
      const timeoutMs = DRAIN_MS + STOP_TIMEOUT_MS;
      const { code } = await child.stop({ signal: "SIGTERM", timeoutMs });
      if (code !== 0) ledger.problem(`${name} ended with code ${code} when told to`);
    } catch (error) {
      // It was killed then.
      this.#kills.push(performance.now());
      ledger.problem(error instanceof Error ? error.message : String(error));
    }
    this.#child = undefined;
  }

  /** What it lists. */
  async list(): Promise<ListedService[]> {
    return JSON.parse(await this.#request("GET", "/list"));
  }

  /** Exposes a service; resolves with its id, at once. */
  expose(service: Record<string, unknown>): Promise<string> {
    return this.#request("POST", "/expose", service);
  }

  /** Removes a service. */
  async remove(id: string): Promise<void> {
    await this.#request("DELETE", `/expose/${id}`);
  }

  /** Whether all of its services are complete, by its own word. */
  async ready(): Promise<boolean> {
    return await this.#request("GET", "/ready").then(() => true, () => false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #healthy(): Promise<boolean> {
    return await this.#request("GET", "/health").then(() => true, () => false);
  }

  /** @throws {Error} when the answer is not 200. */
  async #request(method: string, target: string, body?: unknown): Promise<string> {
    const { tls, name } = this.#options;
    const { status, body: text } = tls
      ? await soon(
        httpsRequest(`${this.#url}${target}`, { method, body, trusted: tls.root }),
        `${name} answers ${method} ${target}`,
        { timeoutMs: 20_000 },
      )
      : await new RestClient(this.#url).request(method, target, { body });
    if (status !== 200) throw new Error(`${name} answered ${method} ${target}: ${status} ${text}`);
    return text;
  }

  #inspect(log: string): void {
    const lines = log.split("\n").filter((line) => UNEXPECTED.test(line));
    for (const line of lines.slice(0, MAX_LINES)) {
      this.#options.ledger.problem(`${this.name} logged: ${line}`);
    }
  }
}
