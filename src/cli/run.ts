// `connector run`: the one place where everything is put together, and the order in which it is taken apart.

import { getLogger, type Logger } from "@logtape/logtape";
import { type Address, formatAddress } from "../address.ts";
import { AuditLog, BoundedLog } from "../bounded_log.ts";
import { delay } from "../delay.ts";
import { createApp } from "../api/app.ts";
import { secureChannels } from "../grpc/credentials.ts";
import { dialLink } from "../grpc/dial.ts";
import { descriptors } from "../descriptors.ts";
import { ConnectorError } from "../errors.ts";
import { type ControlCall, GrpcServer } from "../grpc/server.ts";
import { InstanceSecret } from "../instance_secret.ts";
import { configureLogging } from "../log.ts";
import { hello } from "../mux/negotiation.ts";
import { whoFields } from "../peer_identity.ts";
import { Proxies } from "../proxies.ts";
import type { StateFile } from "../state/state_file.ts";
import { addressesOf } from "../tcp/interfaces.ts";
import { OwnListeners } from "../tcp/own_listeners.ts";
import { Connector } from "../tunnel/connector.ts";
import config from "../../deno.json" with { type: "json" };
import { holdBallast } from "./gc_ballast.ts";
import type { RunOptions } from "./run_options.ts";
import { serveHttp } from "./serve_http.ts";
import { type StopRequests, stopSignals } from "./stop_signals.ts";

/** How long peers may take to close their connections once their calls have ended, in milliseconds. */
const GRPC_GRACE_MS = 1000;

/** Runs a connector until a signal asks it to end. Resolves with the exit code. @throws {ConnectorError} when it cannot start. */
export async function runConnector(options: RunOptions): Promise<number> {
  holdBallast();
  await using _logging = await configureLogging({
    level: options.logLevel,
    format: options.logFormat,
  });
  const logger = getLogger(["connector"]);
  const stop = stopSignals();
  try {
    return await run(options, { logger, stop });
  } catch (error) {
    if (!(error instanceof ConnectorError) || error.code !== "cancelled") throw error;
    // It was asked to end before it had started: that is no failure.
    logger.info("connector stopping", { signal: await stop.first });
    return 0;
  }
}

/** Runs it. @throws {ConnectorError} `cancelled` when it is asked to end while the start waits for something; when it fails. */
async function run(
  options: RunOptions,
  { logger, stop }: { logger: Logger; stop: StopRequests },
): Promise<number> {
  await using stack = new AsyncDisposableStack();
  // A name server that does not answer holds up no end.
  const resolveBind = (host: string) => stop.unlessFirst(addressesOf(host));
  // Nor does a pipe into which nobody writes.
  const tls = options.tls && await stop.unlessFirst(loadTlsOnDemand(options.tls, {
    rootKeyPath: options.rootCertKeyPath,
    logger,
  }));
  if (tls) stack.use(tls.watch);
  // Without TLS no peer has a certificate that could be described.
  const describePeer = tls?.describePeer ?? noPeerHasCertificate;
  const secure = secureChannels(tls?.identity);
  const greeting = hello(options.limits);
  const stateFile = options.stateFile === undefined
    ? undefined
    : stack.use(await stop.unlessFirst(openStateFile(options.stateFile)));
  const instance = stateFile?.instance ?? InstanceSecret.random();
  const listeners = new OwnListeners();
  for (const problem of stateFile?.access ?? []) {
    logger.warn("file is open to others", { ...problem });
  }
  const proxies = new Proxies((name) => Deno.env.get(name));
  const routeTo = (address: Address) => proxies.routeTo(address);
  const connector = new Connector({
    routeTo,
    dial: (address) => {
      const route = routeTo(address);
      return dialLink(address, {
        secure,
        proxy: route.kind === "proxied" ? route.proxy : undefined,
        hello: greeting,
        describePeer,
        ...(tls && { ownProblem: tls.identity.problem }),
        proof: instance.proofFor(address),
      });
    },
    logger,
    listeners,
    limits: options.limits,
    halfOpenMs: options.halfOpenMs,
    maxConnections: options.maxConnections,
    maxServiceConnections: options.maxServiceConnections,
    graceMs: options.graceMs,
    ...(stateFile && { save: (services) => stateFile.save(services) }),
    disableLocalExpose: options.disableLocalExpose,
    disableRemoteExpose: options.disableRemoteExpose,
  });
  stack.defer(() => connector.close({ drainMs: 0 }));
  // Before anybody can change what is exposed, and with it the file.
  connector.restore(stateFile?.services ?? []);
  // Neither of the two APIs hides what is done by the other.
  const restAudit = stack.use(new AuditLog(logger));
  const grpcAudit = stack.use(new AuditLog(logger));
  const refusals = stack.use(new BoundedLog(logger));
  const grpc = await GrpcServer.listen({
    bind: options.grpcBind,
    resolveBind,
    tls: tls?.identity,
    hello: greeting,
    describePeer,
    onRefused: (peer, reason) => refusals.warn("connection refused", { peer, reason }),
    control: connector,
    onControlCall: (call) => logControlCall(call, grpcAudit),
    onLink: (link) => connector.accept(link),
  });
  listeners.add(grpc.address);
  stack.defer(() => grpc.close());
  const app = createApp({
    control: connector,
    issuer: tls?.issuer,
    ...(tls && { problem: tls.identity.problem }),
    // Whoever uses the name that the API is bound to was not led here by somebody else's DNS.
    allowedHosts: [...options.httpAllowedHosts, options.httpBind.host],
    audit: restAudit,
    logger,
  });
  const http = await serveHttp(options.httpBind, {
    fetch: app.fetch,
    resolveBind,
    tls: tls?.identity,
    logger,
  });
  listeners.add({ host: options.httpBind.host, port: http.address.port });
  // Nothing new is let in before anything is ended.
  stack.defer(async () => {
    const httpClosed = http.close();
    grpc.stopAccepting();
    await connector.close({ drainMs: options.drainMs, signal: stop.second });
    await httpClosed;
    // The last bytes of a call may still be under way when it has ended here.
    await Promise.race([grpc.ended(), delay(GRPC_GRACE_MS, { signal: stop.second })]);
  });

  stack.use(descriptors.countSoon());
  logger.info("connector started", {
    version: config.version,
    grpc: formatAddress(grpc.address),
    http: formatAddress({ host: options.httpBind.host, port: http.address.port }),
  });
  logger.info("connector stopping", { signal: await stop.first, drainMs: options.drainMs });
  stop.second.addEventListener("abort", () => logger.info("connector stops waiting"));
  return 0;
}

/** Logs who did what by gRPC's control API. */
function logControlCall(
  { method, peer, local, id, service, refused }: ControlCall,
  audit: AuditLog,
): void {
  const fields = { method, ...whoFields(peer), local, id, service };
  if (refused === undefined) audit.done.info("control call", fields);
  else audit.refused.warn("control call refused", { ...fields, reason: refused });
}

async function loadTlsOnDemand(
  ...args: Parameters<typeof import("./tls.ts").loadTls>
): ReturnType<typeof import("./tls.ts").loadTls> {
  // What reads certificates takes a quarter of a second to load.
  const { loadTls } = await import("./tls.ts");
  return await loadTls(...args);
}

async function openStateFile(path: string): Promise<StateFile> {
  // Few connectors have one, and what checks it takes a moment to load.
  const { StateFile } = await import("../state/state_file.ts");
  return await StateFile.open(path);
}

function noPeerHasCertificate(): never {
  throw new TypeError("a plaintext link has no certificate");
}
