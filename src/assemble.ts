// Puts a connector together: certificates, state file, tunnel, gRPC server, REST server. It is the
// one place that does, for `connector run` (cli/run.ts) and for the tests. Signals, logging and
// exit codes of the process are left to the caller.

import type { Logger } from "@logtape/logtape";
import type { ConfigJson } from "./api/answers.ts";
import { createApp } from "./api/app.ts";
import { Dashboard } from "./api/dashboard.ts";
import { Metrics } from "./api/metrics.ts";
import type { MetricSources } from "./api/metrics_text.ts";
import { configToJson } from "./api/schemas.ts";
import { createMetricsApp } from "./api/metrics_app.ts";
import { TokenFile } from "./api/token_file.ts";
import { isLoopback } from "./api/client.ts";
import { type Address, formatAddress } from "./model/address.ts";
import type { ResolveHost } from "./binding.ts";
import { AuditLog, BoundedLog } from "./bounded_log.ts";
import { type HttpServer, serveHttp } from "./api/serve_http.ts";
import type { LoadedTls, TlsPaths } from "./cli/tls.ts";
import type { TlsFiles } from "./cli/tls_files.ts";
import { descriptors } from "./descriptors.ts";
import { warnOfOpenFiles } from "./file_access.ts";
import { ApiAccess } from "./model/api_access.ts";
import { ConnectorError } from "./model/errors.ts";
import { secureChannels } from "./grpc/credentials.ts";
import { dialLink } from "./grpc/dial.ts";
import { type ControlCall, GrpcServer } from "./grpc/server.ts";
import type {
  Integration,
  IntegrationOptions,
  SchedulerVariables,
} from "./integrations/integration.ts";
import { openIntegration } from "./integrations/open_integration.ts";
import { InstanceSecret } from "./instance_secret.ts";
import type { SessionLimits } from "./model/limits.ts";
import type { Hello } from "./mux/link.ts";
import { hello } from "./mux/negotiation.ts";
import { whoFields } from "./model/peer_identity.ts";
import { Proxies, type ProxyVariables } from "./proxies.ts";
import type { StateFile } from "./state/state_file.ts";
import { chooseNetwork } from "./net/choose_network.ts";
import { addressesOf } from "./net/interfaces.ts";
import { OwnListeners } from "./net/own_listeners.ts";
import type { SocketKind } from "./net/socket_kinds.ts";
import { AccessLog } from "./tunnel/access_log.ts";
import { ConfigInForce, type ConfigSource } from "./tunnel/config_in_force.ts";
import { Connector, type ConnectorOptions } from "./tunnel/connector.ts";
import { summaryOf } from "./tunnel/counters.ts";
import type { PolicyInForce } from "./tunnel/policy_in_force.ts";
import { WatchedFiles, type WatchedGroup, type WatchTimes } from "./watched_files.ts";

export type { ConfigSource };

/** How long peers may take to close their connections once their calls have ended, in milliseconds. */
const GRPC_GRACE_MS = 1000;

/**
 * How long services may take to be handed over to another replica before this one drains, in milliseconds: peers dial again
 * within a second, unless no other replica takes them.
 */
const HAND_OVER_MS = 8000;

/**
 * Connections at the port for metrics: a few Prometheus servers, which have one each. They are not counted among those of
 * REST, so they must fit into what is left of the descriptors that nobody takes.
 */
const MAX_METRICS_CONNECTIONS = 16;

/** What is said of a program whose caller says nothing of it. */
const UNKNOWN_BUILD = { version: "", commit: "" };

/** What a connector does, as plain values. */
export interface AssembleOptions {
  /** Where the gRPC server listens; port 0 takes any. Absent when no peer is to dial this connector. */
  grpcBind?: Address;
  /** Where the REST server listens; port 0 takes any. Absent when it has the Unix socket alone. */
  httpBind?: Address;
  /** Path of the Unix socket on which REST is served, too. */
  apiSocket?: string;
  /** Where `GET /metrics` is served, too; port 0 takes any. Absent when REST alone has it. */
  metricsBind?: Address;
  /** Present when connectors speak mTLS and REST is served over TLS. */
  tls?: TlsPaths;
  /** Path of the tokens of which the API needs one. Default: it needs none. */
  apiTokenFile?: string;
  /** A certificate of the root may be used for the REST API. Only with `tls`. */
  apiClientCerts: boolean;
  /** Path of the root's key: `POST /certificate` issues leaves. Only with `tls`. */
  rootCertKeyPath?: string;
  /** Path of a list of certificates that are not trusted any more. Only with `tls`. */
  revokedPath?: string;
  /** Path of the policy that peers are held to. Default: they may do what the other options leave. */
  policyPath?: string;
  /** The IP addresses on which services are listened for, unless they or the policy say; none stands for every interface. */
  serviceBind: readonly string[];
  /** Never dial a destination: refuse services of type local, and of type remote from peers. */
  disableLocalExpose: boolean;
  /** Never listen for a service: refuse services of type remote, and of type local from peers. */
  disableRemoteExpose: boolean;
  /** Further names, lower case, by which a browser may address the REST API. */
  httpAllowedHosts: readonly string[];
  /** Bounds of the session with each peer. */
  limits: SessionLimits;
  /** The most connections open at once, of all services and of one. */
  maxConnections: number;
  maxServiceConnections: number;
  /** Once one direction of a connection has ended, so long without a byte ends the other, in milliseconds. */
  halfOpenMs: number;
  /** How long listeners and visitors wait for a peer whose link is lost, in milliseconds. */
  graceMs: number;
  /** How long connections wait for another link when theirs is lost, in milliseconds; 0: they end with it. */
  resumeMs: number;
  /** Path of the file in which services are kept. */
  stateFile?: string;
  /** The scheduler to work with. */
  integration?: IntegrationOptions;
  /** The sockets of services. Default: whichever works best. */
  sockets?: SocketKind;
}

/** What a connector is given by the process that it runs in. */
export interface Surroundings {
  logger: Logger;
  /** Where a line is written for each connection that has ended. Default: nowhere. */
  accessLogger?: Logger | undefined;
  /** The configuration file, whose services it exposes. Default: there is none. */
  config?: ConfigSource | undefined;
  /** Which options are in force, and where each comes from: for `GET /config`. Default: there is no such call. */
  described?: ConfigJson["options"] | undefined;
  /** What runs, for metrics. */
  build?: MetricSources["build"];
  /** The variables that may name a proxy. */
  proxyVariables: ProxyVariables;
  /** The variables that say where a scheduler is. Default: none is set. */
  schedulerVariables?: SchedulerVariables;
  /** Aborting it gives the start up. It has no effect on a connector that has started. */
  signal?: AbortSignal;
  /** Parts for tests. Default: those that the options describe. */
  replace?: Replacements;
}

/** Parts that tests replace. */
export interface Replacements {
  /** Certificates that were read already. */
  tls?: LoadedTls | undefined;
  /** What proves to peers whose services these are. */
  instance?: InstanceSecret | undefined;
  /** What it says of itself to peers. */
  greeting?: Hello | undefined;
  connector?: Partial<ConnectorOptions>;
  integration?: Integration | undefined;
  /** How soon files that have changed are read again. */
  watchTimes?: WatchTimes;
  /** Is told of each call of gRPC's control API, as the log is. */
  onControlCall?: (call: ControlCall) => void;
}

/** How to end a connector. */
export interface CloseOptions {
  /** How long open connections may go on, in milliseconds. */
  drainMs: number;
  /** Aborting it ends the wait. */
  signal?: AbortSignal;
}

/**
 * Starts a connector. Resolves when it serves. When it fails, or is given up, nothing of it is left.
 *
 * @throws {ConnectorError} `cancelled` when `signal` was aborted; otherwise naming what cannot be read, used or bound.
 */
export async function assemble(
  options: AssembleOptions,
  {
    logger,
    accessLogger,
    config,
    described,
    build = UNKNOWN_BUILD,
    proxyVariables,
    schedulerVariables = {},
    signal,
    replace = {},
  }: Surroundings,
): Promise<RunningConnector> {
  await using stack = new AsyncDisposableStack();
  // A name server that does not answer, or a pipe into which nobody writes, must not hold up an end.
  const resolveBind = (host: string) => unlessAborted(addressesOf(host), { signal });
  const opened = async <Part extends Disposable | AsyncDisposable | undefined>(
    part: Promise<Part>,
  ) => stack.use(await unlessAborted(part, { signal, release: dispose }));
  const files = stack.use(new WatchedFiles(logger, replace.watchTimes));
  const parts = { options, files, logger };
  const tlsFiles = replace.tls === undefined ? await opened(openTls(parts)) : undefined;
  const tls = replace.tls ?? tlsFiles;
  const policy = await opened(openPolicy(parts));
  const guard = replace.connector?.policy ?? policy?.guard;
  const stateFile = await opened(openStateFile(parts));
  const tokenFile = await opened(openTokens(parts));
  const access = new ApiAccess({
    tokens: tokenFile?.tokens,
    clientCerts: options.apiClientCerts,
    socketOnly: options.httpBind === undefined,
  });
  const integration = replace.integration
    ? stack.use(replace.integration)
    : await opened(openIntegration(options.integration, schedulerVariables));
  // Without TLS no peer has a certificate that could be described.
  const describePeer = tls?.describePeer ?? noPeerHasCertificate;
  const plaintext = secureChannels();
  const resumes = options.resumeMs > 0;
  const greeting = replace.greeting ?? hello(options.limits, { resumes });
  const instance = replace.instance ?? stateFile?.instance ?? InstanceSecret.random();
  const network = replace.connector?.network ??
    await unlessAborted(chooseNetwork(options.sockets, { logger }), { signal });
  const listeners = new OwnListeners();
  const proxies = new Proxies(proxyVariables);
  const routeTo = (address: Address) => proxies.routeTo(address);

  const connector = new Connector({
    routeTo,
    dial: (address, resume) => {
      const route = routeTo(address);
      return dialLink(address, {
        secure: tls?.secure ?? plaintext,
        proxy: route.kind === "proxied" ? route.proxy : undefined,
        hello: { ...greeting, ...(resumes && { resume }) },
        describePeer,
        ownProblem: () => tls?.identity.problem(),
        proof: instance.proofFor(address),
      });
    },
    logger,
    network,
    listeners,
    limits: options.limits,
    halfOpenMs: options.halfOpenMs,
    maxConnections: options.maxConnections,
    maxServiceConnections: options.maxServiceConnections,
    graceMs: options.graceMs,
    resumeMs: options.resumeMs,
    ...(stateFile && { save: (services) => stateFile.save(services) }),
    disableLocalExpose: options.disableLocalExpose,
    disableRemoteExpose: options.disableRemoteExpose,
    serviceBind: options.serviceBind,
    resolverOf: (destination) => integration?.resolverOf?.(destination),
    ...(guard && { policy: guard }),
    ...replace.connector,
  });
  stack.use(connector);
  if (policy) policy.onReplaced = () => void connector.readmit();
  integration?.start({
    events: connector.events,
    list: () => connector.list(),
    register: (id, registration) => connector.register(id, registration),
    logger,
  });
  if (accessLogger) stack.use(new AccessLog(connector.events, accessLogger));
  // Before anybody can change what is exposed. What the file has goes first: its services have their ports.
  const configured = config &&
    await opened(ConfigInForce.open(config, { connector, files, logger }));
  connector.restore(stateFile?.services ?? []);

  // Before anybody listens there: a peer that is let in must not be led to a server that has just begun.
  for (const bind of [options.grpcBind, options.httpBind, options.metricsBind]) {
    if (bind !== undefined && bind.port !== 0) stack.use(listeners.add(bind));
  }
  // Neither of the two APIs hides what is done by the other.
  const restAudit = stack.use(new AuditLog(logger));
  const grpcAudit = stack.use(new AuditLog(logger));
  const refusals = stack.use(new BoundedLog(logger));
  const grpc = options.grpcBind && await GrpcServer.listen({
    bind: options.grpcBind,
    resolveBind,
    tls: tls?.identity,
    hello: greeting,
    describePeer,
    onRefused: (address, { rule, reason, principal }) => {
      const who = whoFields({ address, ...(principal && { principal }) });
      refusals.info("connection refused", { ...who, rule, reason });
    },
    control: connector,
    access,
    mayControl: guard && ((peer, right) => guard.mayControl(peer, right)),
    onControlCall: (call) => {
      logControlCall(call, grpcAudit);
      replace.onControlCall?.(call);
    },
    onResumable: (link, offer) => connector.answer(link, offer),
    onLink: (link) => connector.accept(link),
  });
  if (grpc) {
    stack.use(grpc);
    if (options.grpcBind?.port === 0) stack.use(listeners.add(grpc.address));
  }
  const metrics = stack.use(
    new Metrics({
      connector,
      build,
      ...(tlsFiles && { certificates: () => tlsFiles.ends }),
      files: () => files.states,
    }),
  );
  const problem = () => tls?.identity.problem();
  const notes = () => [
    ...tlsFiles?.notes ?? [],
    ...problemsOf(tokenFile, policy),
    ...configured?.notes ?? [],
  ];
  const inForce = described && (() => configToJson(described, configured?.state));
  const dashboard = stack.use(
    new Dashboard({
      connector,
      version: build.version,
      config: inForce,
      problem,
      notes,
      certificates: () => tlsFiles?.ends ?? [],
      files: () => files.states,
    }),
  );
  const app = createApp({
    control: connector,
    metrics,
    dashboard,
    version: build.version,
    config: inForce,
    issuer: tls?.issuer,
    problem,
    notes,
    access,
    // A client that uses the name that the API is bound to was not led here by a stranger's DNS.
    allowedHosts: [
      ...options.httpAllowedHosts,
      ...(options.httpBind === undefined ? [] : [options.httpBind.host]),
    ],
    audit: restAudit,
    logger,
  });
  const http = await serveHttp({ bind: options.httpBind, socket: options.apiSocket }, {
    fetch: app.fetch,
    resolveBind,
    tls: tls?.identity,
    ...(tls && options.apiClientCerts && { clients: () => tls.identity }),
    logger,
  });
  stack.use(http);
  if (http.address !== undefined) {
    if (options.httpBind?.port === 0) stack.use(listeners.add(http.address));
    const isOpen = !access.isProtected &&
      !(await resolveBind(http.address.host)).every(isLoopback);
    if (isOpen) warnOfOpenApi(http.address, logger);
  }
  const metricsHttp = options.metricsBind && await serveMetrics(metrics, {
    bind: options.metricsBind,
    allowedHosts: options.httpAllowedHosts,
    resolveBind,
    tls,
    logger,
  });
  if (metricsHttp) stack.use(metricsHttp);
  if (options.metricsBind?.port === 0 && metricsHttp?.address !== undefined) {
    stack.use(listeners.add(metricsHttp.address));
  }
  tlsFiles?.hand({
    onExchange(identity) {
      grpc?.renew(identity);
      http.renew(identity);
      metricsHttp?.renew(identity);
    },
    onRevoked() {
      connector.abortRevoked();
      grpc?.cutRevoked();
    },
  });
  refuseIfAborted(signal);
  if (descriptors.share("peers", 1) < 1) {
    logger.warn("no links to peers: too few files may be open", { hint: "raise ulimit -n" });
  }
  stack.use(descriptors.countAhead());
  return new RunningConnector({
    connector,
    grpc,
    http,
    metricsHttp,
    files,
    handOver: integration?.handOver && ((signal) => integration.handOver?.(signal)),
    resources: stack.move(),
  });
}

/** A connector that serves. Disposing aborts it. */
export class RunningConnector implements AsyncDisposable {
  /** What the two APIs ask. */
  readonly connector: Connector;
  /** Where the REST API is; the port is the real one. Undefined where it has the Unix socket alone. */
  readonly httpAddress: Address | undefined;
  /** Where metrics are, besides REST; the port is the real one. */
  readonly metricsAddress: Address | undefined;
  readonly #grpc: GrpcServer | undefined;
  readonly #servers: readonly HttpServer[];
  readonly #files: WatchedFiles;
  readonly #handOver: ((signal: AbortSignal) => Promise<void> | undefined) | undefined;
  readonly #resources: AsyncDisposableStack;
  readonly #aborted = new AbortController();
  #closed: Promise<void> | undefined;

  /** `resources` has all that is to be released in the end. */
  constructor({ connector, grpc, http, metricsHttp, files, handOver, resources }: {
    connector: Connector;
    grpc: GrpcServer | undefined;
    http: HttpServer;
    metricsHttp: HttpServer | undefined;
    files: WatchedFiles;
    /** Waits for visitors to be sent elsewhere. */
    handOver: ((signal: AbortSignal) => Promise<void> | undefined) | undefined;
    resources: AsyncDisposableStack;
  }) {
    this.connector = connector;
    this.#grpc = grpc;
    this.httpAddress = http.address;
    this.metricsAddress = metricsHttp?.address;
    this.#servers = [http, ...(metricsHttp ? [metricsHttp] : [])];
    this.#files = files;
    this.#handOver = handOver;
    this.#resources = resources;
  }

  /** Its gRPC server, which has its address. Only with `grpcBind`. */
  get grpc(): GrpcServer {
    if (this.#grpc === undefined) throw new TypeError("no peer is to dial this connector");
    return this.#grpc;
  }

  /** What it has carried so far, as numbers for people. */
  get summary(): Readonly<Record<string, number>> {
    return summaryOf(this.connector.counters);
  }

  /**
   * Reads its files again, changed or not, and takes into use those that can be used. Resolves when that is done. Never
   * rejects: what is refused is logged.
   */
  reload(): Promise<void> {
    return this.#files.reload();
  }

  /**
   * Ends it in order: lets nobody in, tells every peer, lets open connections finish for up to `drainMs`, then ends what
   * is left. Resolves when all has ended and is released. A further call waits for the same end; only `abort` hastens it.
   */
  close({ drainMs, signal }: CloseOptions): Promise<void> {
    const aborted = this.#aborted.signal;
    const hurry = signal === undefined ? aborted : AbortSignal.any([signal, aborted]);
    return this.#closed ??= this.#close({ drainMs, signal: hurry });
  }

  /** Ends it at once: connections are reset, and peers get a fifth of a second to hear of it. Resolves as `close` does. */
  abort(): Promise<void> {
    this.#aborted.abort();
    return this.close({ drainMs: 0 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }

  async #close({ drainMs, signal }: Required<CloseOptions>): Promise<void> {
    await using _resources = this.#resources;
    // Nothing new is let in before anything is ended.
    const httpClosed = Promise.all(this.#servers.map((server) => server.close({ signal })));
    // Peers that dialled us open their next link elsewhere; over those that are open visitors are carried still.
    this.#grpc?.drain();
    if (this.#handOver && drainMs > 0) {
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), Math.min(drainMs, HAND_OVER_MS));
      await this.#handOver(AbortSignal.any([signal, late.signal]));
      clearTimeout(timer);
    }
    await this.connector.close({ drainMs, signal });
    await httpClosed;
    // The last bytes of a call may still be under way when it has ended here.
    await this.#grpc?.close({ graceMs: GRPC_GRACE_MS, signal });
  }
}

/** Serves `GET /metrics` on a port of its own, over TLS where REST is. */
function serveMetrics(
  metrics: Metrics,
  { bind, allowedHosts, resolveBind, tls, logger }: {
    bind: Address;
    allowedHosts: readonly string[];
    resolveBind: ResolveHost;
    tls: LoadedTls | undefined;
    logger: Logger;
  },
): Promise<HttpServer> {
  metrics.start();
  const { fetch } = createMetricsApp({ metrics, allowedHosts: [...allowedHosts, bind.host] });
  return serveHttp({ bind }, {
    fetch,
    resolveBind,
    tls: tls?.identity,
    logger,
    maxConnections: MAX_METRICS_CONNECTIONS,
    naming: { what: "serve metrics", flag: "--metrics-bind" },
  });
}

/** Logs who did what by gRPC's control API. */
function logControlCall(
  { method, peer, caller, local, id, service, refused, rule }: ControlCall,
  audit: AuditLog,
): void {
  const fields = { method, ...whoFields(peer), caller, local, id, service, rule };
  if (refused === undefined) audit.done.info("control call", fields);
  else audit.refused.info("control call refused", { ...fields, reason: refused });
}

function warnOfOpenApi(address: Address, logger: Logger): void {
  logger.warn("anybody who can reach the REST API may use it", {
    http: formatAddress(address),
    hint:
      "bind it to loopback (--http-bind=127.0.0.1:9091), serve it on a socket (--api-socket), " +
      "or want tokens (--api-token-file) or client certificates (--api-client-certs)",
  });
}

/** What the functions below open the files of a connector with. Each opens one if the options name it. */
interface FileParts {
  options: AssembleOptions;
  files: WatchedFiles;
  logger: Logger;
}

async function openTls({ options, files, logger }: FileParts): Promise<TlsFiles | undefined> {
  const { tls: paths, rootCertKeyPath: rootKeyPath, revokedPath } = options;
  if (paths === undefined) return undefined;
  // What reads certificates takes a quarter of a second to load.
  const { TlsFiles } = await import("./cli/tls_files.ts");
  return await TlsFiles.open({ paths, rootKeyPath, revokedPath, files, logger });
}

async function openPolicy(
  { options: { policyPath }, ...parts }: FileParts,
): Promise<PolicyInForce | undefined> {
  if (policyPath === undefined) return undefined;
  // What reads YAML takes memory.
  const { PolicyInForce } = await import("./tunnel/policy_in_force.ts");
  return await PolicyInForce.open(policyPath, parts);
}

async function openTokens(
  { options: { apiTokenFile }, ...parts }: FileParts,
): Promise<TokenFile | undefined> {
  return apiTokenFile === undefined ? undefined : await TokenFile.open(apiTokenFile, parts);
}

async function openStateFile(
  { options: { stateFile: path }, logger }: FileParts,
): Promise<StateFile | undefined> {
  if (path === undefined) return undefined;
  // What checks it takes a moment to load.
  const { StateFile } = await import("./state/state_file.ts");
  const file = await StateFile.open(path);
  warnOfOpenFiles(logger, file.access);
  return file;
}

/** Why files are not in use, if they are not. */
function problemsOf(...read: (Pick<WatchedGroup, "problem"> | undefined)[]): string[] {
  return read.flatMap((each) => each?.problem ?? []);
}

/**
 * Waits for what the start needs. What comes after the start was given up is released.
 *
 * @throws {ConnectorError} `cancelled` when the signal is aborted first; what `needed` is rejected with.
 */
async function unlessAborted<Value>(
  needed: Promise<Value>,
  { signal, release }: { signal: AbortSignal | undefined; release?: (late: Value) => void },
): Promise<Value> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal?.addEventListener("abort", onAbort);
  try {
    if (!signal?.aborted) await Promise.race([needed, aborted.promise]);
    refuseIfAborted(signal);
    return await needed;
  } catch (error) {
    needed.then(release, () => {});
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

async function dispose(late: Disposable | AsyncDisposable | undefined): Promise<void> {
  await using _late = late;
}

function refuseIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new ConnectorError("cancelled", "the start was given up");
}

function noPeerHasCertificate(): never {
  throw new TypeError("a plaintext link has no certificate");
}
