// Connectors as processes of their own, driven by their REST API and by signals, for the end-to-end tests. They
// run from source, or, where the variable CONNECTOR_EXECUTABLE names one, from an executable; sockets.ts says with which
// sockets. Leaving the scope (`await using`) ends them and fails the test when one does not end as it should.

import { strictEqual } from "node:assert/strict";
import * as path from "node:path";
import type { ServiceType } from "../../src/model/service.ts";
import { Child, type ChildOptions, type Exit, runProgram } from "./child.ts";
import { SOCKETS_FLAG } from "./sockets.ts";
import { freePort, until } from "./world.ts";

/** The project's root. */
export const ROOT = path.resolve(import.meta.dirname ?? ".", "..", "..");
/** What a connector prints on stderr, and nothing else: lines of its log, and errors in its own words. */
export const OUR_LINE =
  /^(\d{4}-\d\d-\d\dT[\d:.]+Z (ERROR|WARN |INFO |DEBUG|TRACE) |\{"time":|(error|hint|warning): )/;
/** How long one REST request may take, in milliseconds. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How long a connector may take to end, in milliseconds. */
const STOP_TIMEOUT_MS = 5000;

/** How to start a connector. */
export interface ConnectorProcessOptions {
  /** Default: a free port of 127.0.0.1. */
  grpcBind?: string;
  /** Default: a free port of 127.0.0.1. */
  httpBind?: string;
  /** Further flags. */
  args?: string[];
  /** With certificates. */
  tls?: TlsFiles;
  env?: Record<string, string>;
  /** A program that becomes the connector, with its arguments: as `unshare --mount`. */
  through?: string[];
  /** The most files and sockets that it may have open. Not on Windows. Default: what the system lets it. */
  openFiles?: number;
  /** Where its source is. Default: this checkout, or the executable. */
  root?: string;
  /** A module that the runtime loads before it. Not for an executable. */
  preload?: string;
}

/** Certificates on disk. */
export interface TlsFiles {
  /** The three flags that turn TLS on. */
  flags: string[];
  /** PEM text of the root. */
  root: string;
}

/** A running connector. */
export interface ConnectorProcess extends AsyncDisposable {
  rest: RestClient;
  pid: number;
  grpcPort: number;
  httpPort: number;
  /** host:port by which a connector on this machine reaches it. */
  address: string;
  /** What it has logged. */
  logs(): string;
  /** What it has printed on stdout. */
  stdout(): string;
  /** Sends a signal. */
  signal(signal: Deno.Signal): void;
  /** Sends a signal and resolves when it has ended; fails when that takes more than 5 s, unless told otherwise. */
  stop(signal: Deno.Signal, options?: { timeoutMs?: number }): Promise<Exit>;
}

/** Starts a connector and resolves when its REST API says that it is healthy. */
export async function spawnConnector(
  options: ConnectorProcessOptions = {},
): Promise<ConnectorProcess> {
  const {
    grpcBind = "127.0.0.1:0",
    httpBind = "127.0.0.1:0",
    args = [],
    env = {},
    openFiles,
    root,
    preload,
    through = [],
    tls,
  } = options;
  const line = startedThrough(
    through,
    commandLine(
      // Visitors that a test leaves open must not hold up its end.
      [
        "run",
        `--grpc-bind=${grpcBind}`,
        `--http-bind=${httpBind}`,
        "--drain-timeout=500ms",
        ...(tls?.flags ?? []),
        ...args,
      ],
      { env, ...(root !== undefined && { root }), ...(preload !== undefined && { preload }) },
    ),
  );
  const child = openFiles === undefined
    ? new Child(line.command, line.options)
    : new Child("sh", { ...line.options, args: limited(openFiles, line) });
  let stopped = false;
  const stop = (signal: Deno.Signal, { timeoutMs = STOP_TIMEOUT_MS } = {}) => {
    stopped = true;
    return child.stop({ signal, timeoutMs });
  };
  try {
    // Text or JSON: `grpc=127.0.0.1:9090`, `"grpc":"127.0.0.1:9090"`.
    const [, grpc, http] = await child.waitFor(
      /connector started.*\bgrpc"?[=:]"?\S*?:(\d+)"?[ ,}].*\bhttp"?[=:]"?\S*?:(\d+)"?[ ,}\n]/,
    );
    const host = `${reachableHost(httpBind)}:${http}`;
    const rest = tls
      ? new RestClient(`https://${host}`, Deno.createHttpClient({ caCerts: [tls.root] }))
      : new RestClient(`http://${host}`);
    await until(async () => (await rest.request("GET", "/health")).status === 200, "it is healthy");
    return {
      pid: child.pid,
      rest,
      grpcPort: Number(grpc),
      httpPort: Number(http),
      address: `${reachableHost(grpcBind)}:${grpc}`,
      logs: () => child.stderr,
      stdout: () => child.stdout,
      signal: (signal) => child.kill(signal),
      stop,
      async [Symbol.asyncDispose]() {
        rest[Symbol.dispose]();
        if (stopped) return;
        const { code } = await stop("SIGTERM");
        if (code !== 0) throw child.failure(`ended with code ${code}`);
      },
    };
  } catch (error) {
    child.kill("SIGKILL");
    await child.exited;
    throw error;
  }
}

/** Two connectors, of which `local` exposes to `remote`. */
export async function spawnPair(
  options: { local?: ConnectorProcessOptions; remote?: ConnectorProcessOptions } = {},
): Promise<{ local: ConnectorProcess; remote: ConnectorProcess } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const start = async (each: ConnectorProcessOptions = {}) => {
    return stack.use(await spawnConnector(each));
  };
  const started = await Promise.allSettled([start(options.local), start(options.remote)]);
  const [local, remote] = started.map((each) => {
    if (each.status === "rejected") throw each.reason;
    return each.value;
  });
  if (!local || !remote) throw new TypeError("two were started");
  const kept = stack.move();
  return { local, remote, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** What may differ about a command line. */
export type CommandOptions =
  & Pick<ChildOptions, "cwd" | "env" | "clearEnv">
  & Pick<ConnectorProcessOptions, "preload">;

/** Starts the command line with these arguments. */
export function startCommand(args: string[], options: CommandOptions = {}): Child {
  const { command, options: built } = commandLine(args, options);
  return new Child(command, built);
}

/** Runs the command line with these arguments to its end. */
export function runCommand(
  args: string[],
  options: CommandOptions = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const { command, options: built } = commandLine(args, options);
  return runProgram(command, built);
}

/** What a connector's REST API answered. */
export interface RestAnswer {
  status: number;
  body: string;
  headers: Headers;
}

/** One entry of `GET /list`. */
export interface ListedService {
  id: string;
  name: string;
  source_port: number;
  remote_connector_addr: string;
  destination_addr: string;
  type: "LOCAL" | "REMOTE";
  status: "PENDING" | "COMPLETE" | "ERROR";
  message?: string;
  since: string;
  last_error?: string;
  last_error_at?: string;
  retry_at?: string;
  connections: {
    open: number;
    total: number;
    failed: number;
    refused: number;
    resuming: number;
    resumed: number;
    not_resumed: number;
    bytes_in: number;
    bytes_out: number;
    last_close?: string;
  };
  peer?: { address: string; principal?: string; subject?: string };
}

/** The REST API as curl would use it. */
export class RestClient {
  readonly url: string;
  readonly #client: Deno.HttpClient | undefined;

  /** The client, if any, is closed with this one. */
  constructor(url: string, client?: Deno.HttpClient) {
    this.url = url;
    this.#client = client;
  }

  [Symbol.dispose](): void {
    this.#client?.close();
  }

  /** Sends a request; a body that is no string goes as JSON. */
  async request(
    method: string,
    path: string,
    { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<RestAnswer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      // What `curl -d` sends.
      headers: { "Content-Type": "application/x-www-form-urlencoded", ...headers },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      ...(this.#client && { client: this.#client }),
    });
    return {
      status: response.status,
      body: await response.text(),
      headers: response.headers,
    };
  }

  /** The listed services. */
  async list(): Promise<ListedService[]> {
    const { status, body } = await this.request("GET", "/list");
    strictEqual(status, 200, body);
    return JSON.parse(body);
  }

  /** The status of a service; undefined when it is not listed. */
  async statusOf(id: string): Promise<ListedService["status"] | undefined> {
    return (await this.list()).find((service) => service.id === id)?.status;
  }
}

/** What to expose. */
export interface ExposeOptions {
  /** host:port of the other connector. */
  to: string;
  type: ServiceType;
  /** host:port, or a port of 127.0.0.1. */
  destination: string | number;
  name?: string;
  /** Default: one that is free. */
  sourcePort?: number;
}

/** Exposes a service and resolves once it is complete, with its id and the port to visit. */
export async function exposeService(
  connector: ConnectorProcess,
  options: ExposeOptions,
): Promise<{ id: string; port: number }> {
  const { to, type, destination, name = "test", sourcePort: port = freePort() } = options;
  const { status, body: id } = await connector.rest.request("POST", "/expose", {
    body: {
      name,
      source_port: port,
      remote_connector_addr: to,
      destination_addr: typeof destination === "number" ? `127.0.0.1:${destination}` : destination,
      type,
    },
  });
  strictEqual(status, 200, id);
  await untilComplete(connector, id);
  return { id, port };
}

/** Exposes a service of each type, `local` first. */
export async function exposeBoth(
  connector: ConnectorProcess,
  to: string,
  destination: number,
): Promise<{ id: string; port: number }[]> {
  return [
    await exposeService(connector, { to, type: "local", destination, name: "local" }),
    await exposeService(connector, { to, type: "remote", destination, name: "remote" }),
  ];
}

/** Waits until a service is complete; fails at once when it is in error. */
export async function untilComplete(connector: ConnectorProcess, id: string): Promise<void> {
  await until(
    async () => {
      const status = await connector.rest.statusOf(id);
      if (status === "ERROR") throw new Error(`Service ${id} is in error: ${connector.logs()}`);
      return status === "COMPLETE";
    },
    `service ${id} is complete`,
    { timeoutMs: 20_000 },
  );
}

/** The same command line, started by a program. */
function startedThrough(
  [program, ...before]: string[],
  line: { command: string; options: ChildOptions },
): { command: string; options: ChildOptions } {
  if (program === undefined) return line;
  const { command, options: { args = [], ...options } } = line;
  return { command: program, options: { ...options, args: [...before, command, ...args] } };
}

/** What makes a shell run a command that may have no more than so many files open. */
function limited(
  openFiles: number,
  { command, options: { args = [] } }: { command: string; options: ChildOptions },
): string[] {
  return ["-c", `ulimit -n ${openFiles} && exec "$@"`, "sh", command, ...args];
}

/** How to start the command line under test with these arguments. */
export function commandLine(
  args: string[],
  { cwd = ROOT, env = {}, clearEnv = false, root, preload }: CommandOptions & { root?: string } =
    {},
): { command: string; options: ChildOptions & { args: string[] } } {
  const executable = root === undefined ? Deno.env.get("CONNECTOR_EXECUTABLE") : undefined;
  const main = path.join(root ?? ROOT, "main.ts");
  const before = preload === undefined ? [] : [`--preload=${preload}`];
  // Another version may not know the flag.
  const own = args[0] === "run" && root === undefined
    ? ["run", ...SOCKETS_FLAG, ...args.slice(1)]
    : args;
  return {
    command: executable || Deno.execPath(),
    options: {
      args: executable ? own : ["run", "--quiet", "-P", ...before, main, ...own],
      cwd,
      // glibc overwrites what is freed, so that a use of it by the runtime's native parts shows.
      env: { ...(clearEnv ? {} : { MALLOC_PERTURB_: "165" }), ...env },
      clearEnv,
      stderrLine: OUR_LINE,
    },
  };
}

function reachableHost(bind: string): string {
  const host = bind.slice(0, bind.lastIndexOf(":"));
  return host === "" || host === "[::]" ? "127.0.0.1" : host;
}
