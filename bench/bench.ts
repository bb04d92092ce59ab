// One bench from start to end: sets up the paths, runs the rows that were asked for one after the
// other, and gathers figures and what went wrong. Prints nothing itself. Used by main.ts.

import { makeCertificates } from "./certificates.ts";
import {
  type Certificates,
  ConnectorPair,
  type Launch,
  type ServiceType,
} from "./connector_pair.ts";
import { measureIdleVisitors } from "./idle_visitors.ts";
import {
  type Load,
  type LoadName,
  LOADS,
  type LoadTarget,
  processorTime,
  type Upstream,
} from "./loads.ts";
import {
  findTools,
  freePort,
  missingTools,
  processorSeconds,
  type Tool,
  type Tools,
} from "./machine.ts";
import { measurePathDelay } from "./path_delay.ts";
import { DIRECT, type Path, type PathName, relayPath } from "./paths.ts";
import type { ProcessGroup } from "./processes.ts";
import { type Figure, Results, type Sample } from "./results.ts";
import {
  measureHandshake,
  measureIdleMemory,
  measureRelayMemory,
  measureRelayStartUp,
  measureStartUp,
} from "./single_connector.ts";
import { measureSlowPath } from "./slow_path.ts";
import { startSshPath } from "./ssh_path.ts";
import { measureStuckReader } from "./stuck_reader.ts";
import { startHttpUpstream } from "./upstreams.ts";

/** Everything that can be measured. */
export type RowName =
  | LoadName
  | "start-up"
  | "memory"
  | "handshake"
  | "path-delay"
  | "idle-visitors"
  | "stuck"
  | "slow-path";

/** What to measure, and how. */
export interface BenchOptions {
  rows: ReadonlySet<RowName>;
  /** For one run of one row over one path. */
  seconds: number;
  /** Runs of each row over each path, in turn; the median counts. */
  rounds: number;
  launch: Launch;
  type: ServiceType;
  /** False leaves out everything that needs connectors. */
  connector: boolean;
  /** Connectors with `--sockets=deno` too. */
  denoSockets: boolean;
  mtls: boolean;
  ssh: boolean;
  delayMs: number;
  idleVisitors: number;
  /** Told what happens as it happens. */
  onProgress: (line: string) => void;
}

/** What came of it. */
export interface BenchReport {
  figures: Figure[];
  /** One line for each thing that was left out because a tool is missing. */
  leftOut: string[];
  /** One entry for each run that failed and each server that ended before its time. */
  failures: string[];
}

/** A way to start connectors, each a column of the table. */
interface ConnectorKind {
  path: PathName;
  launch: Launch;
  certificates: Certificates | undefined;
}

/** A run before those that count: the code of every hop is compiled by then. */
const WARM_UP_SECONDS = 1;

/** Runs a bench. It rejects only when the processes were ended from outside. */
export async function runBench(
  processes: ProcessGroup,
  options: BenchOptions,
): Promise<BenchReport> {
  await using resources = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "connector-bench-" });
  resources.defer(() => Deno.remove(folder, { recursive: true }));
  const bench = new Bench(processes, options, await findTools());
  const loads = bench.runnableLoads();
  if (options.connector && options.mtls) {
    bench.certificates = await bench.attempt(
      "certificates",
      () => makeCertificates(processes, { ...options.launch, folder }),
    );
  }
  if (loads.length > 0) await bench.measureLoads(loads, folder);
  await bench.measureSingleConnectors();
  await bench.measurePairs();
  return {
    figures: bench.results.figures(),
    leftOut: bench.leftOut,
    failures: [...bench.failures, ...processes.casualties],
  };
}

class Bench {
  readonly results = new Results();
  readonly leftOut: string[] = [];
  readonly failures: string[] = [];
  certificates: Certificates | undefined;
  readonly #processes: ProcessGroup;
  readonly #options: BenchOptions;
  readonly #tools: Tools;

  constructor(processes: ProcessGroup, options: BenchOptions, tools: Tools) {
    this.#processes = processes;
    this.#options = options;
    this.#tools = tools;
  }

  /** The rows whose tools are here; notes what is missing. */
  runnableLoads(): Load[] {
    const { rows, ssh } = this.#options;
    const wanted = LOADS.filter(({ name }) => rows.has(name));
    const needed: Tool[] = wanted.map(({ tool }) => tool);
    if (wanted.some(({ upstream }) => upstream === "http")) needed.push("nginx");
    if (rows.has("path-delay")) needed.push("iperf3");
    if (ssh) needed.push(...SSH_TOOLS);
    this.leftOut.push(...missingTools(this.#tools, needed));
    return wanted.filter(({ tool }) => this.#tools.has(tool));
  }

  /** Runs a step; when it fails, that is noted and the bench goes on. */
  async attempt<T>(name: string, step: () => Promise<T>): Promise<T | undefined> {
    try {
      return await step();
    } catch (error) {
      // Everything fails once the processes were ended: that is the end of the bench.
      if (this.#processes.closed) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      this.failures.push(`${name}: ${reason}`);
      this.#options.onProgress(`${name} failed`);
      return undefined;
    }
  }

  /** The rows that run over every path. */
  async measureLoads(loads: readonly Load[], folder: string): Promise<void> {
    const http = await startHttpUpstream(this.#processes, { tools: this.#tools, folder });
    const upstreams: Record<Upstream, number> = { http, iperf3: freePort() };
    await using opened = new AsyncDisposableStack();
    const ways = new Map<PathName, { path: Path; ports: Record<Upstream, number> }>();
    for (const [name, start] of this.#paths(folder, opened)) {
      await this.attempt(name, async () => {
        const path = await start();
        const ports = {
          http: await path.open(upstreams.http),
          iperf3: await path.open(upstreams.iperf3),
        };
        ways.set(name, { path, ports });
      });
    }
    for (const load of loads) {
      const going = new Map(ways);
      for (let round = 0; round <= this.#options.rounds; round++) {
        for (const [name, { path, ports }] of going) {
          const target = {
            processes: this.#processes,
            tools: this.#tools,
            port: ports[load.upstream],
            upstreamPort: upstreams[load.upstream],
            seconds: round === 0 ? WARM_UP_SECONDS : this.#options.seconds,
          };
          const samples = await this.attempt(
            `${load.name} over ${name}`,
            () => measureLoad(load, target, path.pids()),
          );
          // What failed once is not tried again: each try may take as long as its time limit.
          if (samples === undefined) going.delete(name);
          else if (round > 0) this.#add(name, samples);
        }
      }
    }
  }

  /** Start-up, idle memory and handshake of one connector of each kind. */
  async measureSingleConnectors(): Promise<void> {
    const { rows } = this.#options;
    if (rows.has("start-up")) {
      await this.attempt("start-up of a relay", async () => {
        this.#add("relay", await measureRelayStartUp(this.#processes));
      });
    }
    if (rows.has("memory")) {
      await this.attempt("memory of a relay", async () => {
        this.#add("relay", await measureRelayMemory(this.#processes));
      });
    }
    for (const { path, launch, certificates } of this.#kinds()) {
      const started = { ...launch, ...(certificates === undefined ? {} : { certificates }) };
      if (rows.has("start-up")) {
        await this.attempt(`start-up of ${path}`, async () => {
          this.#add(path, await measureStartUp(this.#processes, started));
        });
      }
      if (rows.has("memory")) {
        await this.attempt(`memory of ${path}`, async () => {
          this.#add(path, await measureIdleMemory(this.#processes, started));
        });
      }
      if (rows.has("handshake") && certificates !== undefined) {
        await this.attempt(`handshake of ${path}`, async () => {
          this.#add(path, await measureHandshake(this.#processes, { ...launch, certificates }));
        });
      }
    }
  }

  /** The rows that need two fresh connectors of their own. */
  async measurePairs(): Promise<void> {
    const { rows, seconds, delayMs, idleVisitors: count, type } = this.#options;
    const processes = this.#processes;
    const tools = this.#tools;
    if (rows.has("path-delay") && tools.has("iperf3")) {
      await this.#overPairs(
        "path-delay",
        (pair) => measurePathDelay(processes, { pair, tools, delayMs, seconds }),
      );
    }
    if (rows.has("idle-visitors")) {
      await this.#overPairs(
        "idle-visitors",
        (pair) => measureIdleVisitors(processes, { pair, count, type }),
      );
    }
    if (rows.has("stuck")) {
      await this.#overPairs("stuck", (pair) => measureStuckReader(processes, { pair, seconds }));
    }
    if (rows.has("slow-path")) {
      await this.#overPairs("slow-path", (pair) => measureSlowPath(processes, { pair, seconds }));
    }
  }

  async #overPairs(
    row: RowName,
    measure: (pair: ConnectorPair) => Promise<Sample[]>,
  ): Promise<void> {
    for (const kind of this.#kinds()) {
      await this.attempt(`${row} of ${kind.path}`, async () => {
        await using pair = await this.#startPair(kind);
        this.#add(kind.path, await measure(pair));
      });
    }
  }

  /** Connectors as they are by default, with Deno's sockets, and with mTLS, as far as they were asked for. */
  #kinds(): ConnectorKind[] {
    const { connector, denoSockets, launch } = this.#options;
    if (!connector) return [];
    const kinds: ConnectorKind[] = [{ path: "connector", launch, certificates: undefined }];
    if (denoSockets) {
      const flags = ["--sockets=deno"];
      kinds.push({ path: "Deno sockets", launch: { ...launch, flags }, certificates: undefined });
    }
    if (this.certificates !== undefined) {
      kinds.push({ path: "mTLS", launch, certificates: this.certificates });
    }
    return kinds;
  }

  /** Every path that was asked for and how to start it; what it starts is `opened`'s to end. */
  #paths(folder: string, opened: AsyncDisposableStack): [PathName, () => Promise<Path>][] {
    const paths: [PathName, () => Promise<Path>][] = [
      ["direct", () => Promise.resolve(DIRECT)],
      ["relay", () => Promise.resolve(relayPath(this.#processes))],
    ];
    for (const kind of this.#kinds()) {
      paths.push([kind.path, async () => opened.use(await this.#startPair(kind))]);
    }
    if (this.#options.ssh && SSH_TOOLS.every((tool) => this.#tools.has(tool))) {
      paths.push(["ssh -R", () => startSshPath(this.#processes, { tools: this.#tools, folder })]);
    }
    return paths;
  }

  #startPair({ path, launch, certificates }: ConnectorKind): Promise<ConnectorPair> {
    return ConnectorPair.start(this.#processes, {
      ...launch,
      name: path,
      type: this.#options.type,
      ...(certificates === undefined ? {} : { certificates }),
    });
  }

  #add(path: PathName, samples: readonly Sample[]): void {
    this.results.add(path, samples);
    for (const { figure, unit, value } of samples) {
      this.#options.onProgress(`${figure}, ${path}: ${value.toPrecision(4)} ${unit}`);
    }
  }
}

/** Runs a load once, with what it cost where that can be read. */
async function measureLoad(
  load: Load,
  target: LoadTarget,
  pids: readonly number[],
): Promise<Sample[]> {
  if (Deno.build.os !== "linux" || pids.length === 0) return (await load.measure(target)).samples;
  const before = await processorSeconds(pids);
  const result = await load.measure(target);
  return [...result.samples, processorTime(result, await processorSeconds(pids) - before)];
}

const SSH_TOOLS: readonly Tool[] = ["sshd", "ssh", "ssh-keygen"];
