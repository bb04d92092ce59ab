// Two connectors of the version under test, started as a user starts them and driven over REST.
// It imports nothing of src/: a compiled executable is measured the same way. Used by main.ts and
// the benches of memory, latency and start-up.

import { freePort } from "./machine.ts";
import type { Path, PathName } from "./paths.ts";
import type { OwnedProcess, ProcessGroup } from "./processes.ts";

/** How connectors are started. */
export interface Launch {
  /** The command before its own arguments, as in `deno run -P main.ts`. */
  command: readonly string[];
  cwd: string;
  /** Further flags of `connector run`. */
  flags?: readonly string[];
}

/** Certificates of one connector and its root, as paths of PEM files. */
export interface Certificates {
  rootCert: string;
  cert: string;
  key: string;
}

/** Which side listens for visitors. */
export type ServiceType = "local" | "remote";

/** How long a connector may take to answer /health, and a service to be COMPLETE. */
const READY_MS = 15_000;
/** How often that is asked: often enough to tell start-up times apart. */
const POLL_MS = 5;

/** One running connector. */
export class ConnectorProcess implements AsyncDisposable {
  readonly grpcPort: number;
  /** From the start of the process to the first answer of /health, in milliseconds. */
  readonly healthyAfterMs: number;
  readonly #child: OwnedProcess;
  readonly #rest: RestClient;

  private constructor(
    child: OwnedProcess,
    started: { grpcPort: number; rest: RestClient; healthyAfterMs: number },
  ) {
    this.#child = child;
    this.#rest = started.rest;
    this.grpcPort = started.grpcPort;
    this.healthyAfterMs = started.healthyAfterMs;
  }

  /** Starts one on free ports and waits until it answers. */
  static async start(
    processes: ProcessGroup,
    { command, cwd, flags = [], certificates }: Launch & { certificates?: Certificates },
  ): Promise<ConnectorProcess> {
    const grpcPort = freePort();
    const httpPort = freePort();
    const rest = await RestClient.open(httpPort, certificates);
    const before = performance.now();
    const child = await processes.start([
      ...command,
      "run",
      `--grpc-bind=127.0.0.1:${grpcPort}`,
      `--http-bind=127.0.0.1:${httpPort}`,
      ...(certificates === undefined ? [] : [
        `--root-cert-path=${certificates.rootCert}`,
        `--server-cert-path=${certificates.cert}`,
        `--server-key-path=${certificates.key}`,
      ]),
      ...flags,
    ], { cwd });
    try {
      await untilTrue(() => rest.healthy(), () => `The connector does not answer /health`, child);
    } catch (error) {
      rest.close();
      await child[Symbol.asyncDispose]();
      throw error;
    }
    return new ConnectorProcess(child, {
      grpcPort,
      rest,
      healthyAfterMs: performance.now() - before,
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Exposes a service to the connector on `peerPort` and waits until it is COMPLETE. */
  async expose(
    { peerPort, upstreamPort, type }: {
      peerPort: number;
      upstreamPort: number;
      type: ServiceType;
    },
  ): Promise<number> {
    const sourcePort = freePort();
    const id = await this.#rest.expose({
      name: `bench-${sourcePort}`,
      source_port: sourcePort,
      remote_connector_addr: `127.0.0.1:${peerPort}`,
      destination_addr: `127.0.0.1:${upstreamPort}`,
      type,
    });
    let status = "absent";
    await untilTrue(
      async () => {
        status = await this.#rest.status(id);
        return status === "COMPLETE";
      },
      () => `The service to port ${upstreamPort} is ${status} and not COMPLETE`,
      this.#child,
    );
    return sourcePort;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#rest.close();
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Connector A exposes upstreams to connector B; for `local`, B listens. */
export class ConnectorPair implements Path, AsyncDisposable {
  readonly name: PathName;
  readonly dialler: ConnectorProcess;
  readonly acceptor: ConnectorProcess;
  readonly #type: ServiceType;

  private constructor(
    name: PathName,
    { dialler, acceptor, type }: {
      dialler: ConnectorProcess;
      acceptor: ConnectorProcess;
      type: ServiceType;
    },
  ) {
    this.name = name;
    this.dialler = dialler;
    this.acceptor = acceptor;
    this.#type = type;
  }

  /** Starts both, as the path that they are; with certificates they speak mTLS. */
  static async start(
    processes: ProcessGroup,
    options: Launch & { name: PathName; certificates?: Certificates; type: ServiceType },
  ): Promise<ConnectorPair> {
    await using started = new AsyncDisposableStack();
    const acceptor = started.use(await ConnectorProcess.start(processes, options));
    const dialler = started.use(await ConnectorProcess.start(processes, options));
    started.move();
    return new ConnectorPair(options.name, { dialler, acceptor, type: options.type });
  }

  /** @param via the port of something between the two, which leads to the acceptor. */
  async open(upstreamPort: number, via: number = this.acceptor.grpcPort): Promise<number> {
    return await this.dialler.expose({ peerPort: via, upstreamPort, type: this.#type });
  }

  pids(): readonly number[] {
    return [this.dialler.pid, this.acceptor.pid];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([
      this.dialler[Symbol.asyncDispose](),
      this.acceptor[Symbol.asyncDispose](),
    ]);
  }
}

/** The few REST calls that the bench makes. */
class RestClient {
  readonly #base: string;
  readonly #client: Deno.HttpClient;

  private constructor(base: string, client: Deno.HttpClient) {
    this.#base = base;
    this.#client = client;
  }

  static async open(port: number, certificates?: Certificates): Promise<RestClient> {
    if (certificates === undefined) {
      return new RestClient(`http://127.0.0.1:${port}`, Deno.createHttpClient({}));
    }
    const caCerts = [await Deno.readTextFile(certificates.rootCert)];
    return new RestClient(`https://127.0.0.1:${port}`, Deno.createHttpClient({ caCerts }));
  }

  async healthy(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.#base}/health`, { client: this.#client });
      await answer.body?.cancel();
      return answer.ok;
    } catch (error) {
      // Not listening yet. fetch has no error of its own for it.
      if (error instanceof TypeError) return false;
      throw error;
    }
  }

  async expose(service: Record<string, string | number>): Promise<string> {
    const answer = await fetch(`${this.#base}/expose`, {
      client: this.#client,
      method: "POST",
      body: JSON.stringify(service),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`POST /expose answered ${answer.status}: ${text}`);
    return text;
  }

  async status(id: string): Promise<string> {
    const answer = await fetch(`${this.#base}/list`, { client: this.#client });
    const services: unknown = await answer.json();
    if (!Array.isArray(services)) throw new Error(`GET /list answered ${answer.status}, no array`);
    const service: unknown = services.find((entry) => entry?.id === id);
    if (typeof service !== "object" || service === null || !("status" in service)) return "absent";
    if (service.status === "ERROR") {
      throw new Error(`The service is in error: ${JSON.stringify(service)}`);
    }
    return String(service.status);
  }

  close(): void {
    this.#client.close();
  }
}

async function untilTrue(
  condition: () => Promise<boolean>,
  problem: () => string,
  child: OwnedProcess,
): Promise<void> {
  const deadline = performance.now() + READY_MS;
  let ended = false;
  void child.exited.then(() => ended = true);
  while (!await condition()) {
    if (ended || performance.now() > deadline) {
      const reason = ended ? "it ended" : `not after ${READY_MS} ms`;
      throw new Error(`${problem()} (${reason}): ${child.recent() || "it said nothing"}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
