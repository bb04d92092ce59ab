// Connectors in this process, put together as `connector run` does it and joined by real gRPC over loopback, and the TCP
// servers and visitors that tests put at their ends. Everything is released by scope (`await using`).

import { ok, strictEqual } from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { type Address, parseAddress } from "../../src/model/address.ts";
import { assemble, type AssembleOptions, type RunningConnector } from "../../src/assemble.ts";
import { describePeer } from "../../src/certs/identity/description.ts";
import { RUN_FLAGS, type RunFlag } from "../../src/cli/run_flags.ts";
import { readRunOptions } from "../../src/cli/run_options.ts";
import { delay } from "../../src/delay.ts";
import { secureChannels, type TlsIdentity } from "../../src/grpc/credentials.ts";
import type { ControlCall, GrpcServer } from "../../src/grpc/server.ts";
import type { InstanceSecret } from "../../src/instance_secret.ts";
import type { ProxyVariables } from "../../src/proxies.ts";
import type { Hello } from "../../src/mux/link.ts";
import type { Integration } from "../../src/integrations/integration.ts";
import type { ServiceReport, ServiceType } from "../../src/model/service.ts";
import { EventStream } from "../../src/model/events.ts";
import { Admission, type Rule, withinLimits } from "../../src/tunnel/admission.ts";
import type { ConnectionsParts } from "../../src/tunnel/connections.ts";
import type { Connector, ConnectorOptions } from "../../src/tunnel/connector.ts";
import { network } from "./sockets.ts";

/** A connector with its servers. */
export interface TestConnector extends AsyncDisposable {
  running: RunningConnector;
  connector: Connector;
  server: GrpcServer;
  /** Calls of gRPC's control API that changed something or were refused. */
  controlCalls: ControlCall[];
  /** host:port of its gRPC server. */
  address: string;
}

/** What a connector does when nothing is said on its command line, but for its ports: free ones of 127.0.0.1. */
export const TEST_OPTIONS: Readonly<AssembleOptions> = readRunOptions(
  Object.fromEntries(
    Object.entries<RunFlag>({
      ...RUN_FLAGS,
      grpcBind: { ...RUN_FLAGS.grpcBind, default: "127.0.0.1:0" },
      httpBind: { ...RUN_FLAGS.httpBind, default: "127.0.0.1:0" },
    }).flatMap(([name, { default: text }]) =>
      text === undefined ? [] : [[name, { text, origin: "the tests", isDefault: true }]]
    ),
  ),
);

/** Starts a connector on a free port of 127.0.0.1. */
export async function startConnector(
  options: Partial<ConnectorOptions> & {
    bind?: string;
    tls?: TlsIdentity;
    instance?: InstanceSecret;
    /** What it says of itself. Default: the truth. */
    greeting?: Hello;
    /** The variables that name a proxy. Default: none. */
    environment?: ProxyVariables;
    /** The scheduler that it works with. Default: none. */
    integration?: Integration;
    /** What protects its API. Default: nothing. */
    api?:
      & Partial<
        Pick<AssembleOptions, "apiTokenFile" | "apiClientCerts" | "apiSocket" | "metricsBind">
      >
      & {
        /** Where REST is served; undefined for nowhere but the socket. */
        httpBind?: Address | undefined;
      };
  } = {},
): Promise<TestConnector> {
  const { bind, tls, instance, greeting, integration, environment = {}, api, ...connector } =
    options;
  const { limits, resumeMs } = { ...TEST_OPTIONS, ...connector };
  const { logger = getLogger(["test"]) } = connector;
  const controlCalls: ControlCall[] = [];
  const { httpBind: _byDefault, ...testOptions } = TEST_OPTIONS;
  const { httpBind = undefined, ...protection } = { httpBind: TEST_OPTIONS.httpBind, ...api };
  const running = await assemble({
    ...testOptions,
    ...(httpBind && { httpBind }),
    ...(bind !== undefined && { grpcBind: parseAddress(bind, { bind: true }) }),
    ...protection,
    limits,
    resumeMs,
  }, {
    logger,
    described: [],
    proxyVariables: environment,
    replace: {
      tls: tls && { identity: tls, secure: secureChannels(tls), describePeer, issuer: undefined },
      instance,
      greeting,
      integration,
      connector: { network, ...connector },
      onControlCall: (call) => controlCalls.push(call),
    },
  });
  return {
    running,
    connector: running.connector,
    server: running.grpc,
    controlCalls,
    address: `127.0.0.1:${running.grpc.address.port}`,
    async [Symbol.asyncDispose]() {
      await running.abort();
      // grpc-js closes its sockets over the next turns of the event loop.
      await settle();
    },
  };
}

/** What connections without a connector are joined with: these rules before their bounds. */
export function connectionParts({ rules = [] }: { rules?: Rule[] } = {}): ConnectionsParts {
  return {
    admission: new Admission([...rules, withinLimits]),
    events: new EventStream((subscriber, reason) => {
      throw new Error(`${subscriber}: ${reason}`);
    }),
  };
}

/** The port of its REST API. @throws when it has none but a socket. */
export function apiPort({ httpAddress }: RunningConnector): number {
  if (httpAddress === undefined) throw new Error("its REST API has no port");
  return httpAddress.port;
}

/** Lets what was just closed finish closing. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await delay(2);
}

/** Two connectors, of which `local` exposes to `remote`. */
export async function startPair(): Promise<
  { local: TestConnector; remote: TestConnector } & AsyncDisposable
> {
  const local = await startConnector();
  const remote = await startConnector();
  return {
    local,
    remote,
    async [Symbol.asyncDispose]() {
      await local[Symbol.asyncDispose]();
      await remote[Symbol.asyncDispose]();
    },
  };
}

/** Exposes a destination through a pair, waits until it is complete, and returns the port to visit. */
export async function exposeThrough(
  pair: { local: TestConnector; remote: TestConnector },
  { type, destination, name = "test" }: { type: ServiceType; destination: number; name?: string },
): Promise<{ port: number; id: string }> {
  const port = freePort();
  const id = await pair.local.connector.expose({
    name,
    sourcePort: port,
    remoteConnectorAddr: pair.remote.address,
    destinationAddr: `127.0.0.1:${destination}`,
    type,
  });
  await until(() => reportOf(pair.local, id)?.status === "complete", "the service is complete");
  return { port, id };
}

/** What a connector says of a service. */
export function reportOf(connector: TestConnector, id: string): ServiceReport | undefined {
  return connector.connector.list().find((report) => report.id === id);
}

/**
 * Below what any system gives to outgoing connections and to port 0 (Linux from 32,768, others from 49,152): nobody
 * is given such a port between its choice and its use. Above what services are known by.
 */
const FREE_PORTS = { first: 20_000, end: 32_000 };
/** Those that this process was given: none is given twice. */
const givenPorts = new Set<number>();

/** A TCP port that is free, and stays so for who asked. */
export function freePort(): number {
  for (;;) {
    const { first, end } = FREE_PORTS;
    const port = first + Math.floor(Math.random() * (end - first));
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    try {
      using _all = Deno.listen({ hostname: "0.0.0.0", port });
      return port;
    } catch (error) {
      // Some other program has it; with no port left the set would have all of them.
      if (!(error instanceof Deno.errors.AddrInUse) || givenPorts.size >= end - first) throw error;
    }
  }
}

/** Waits for a condition; fails after a deadline, saying what was awaited. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  { timeoutMs = 10_000 }: { timeoutMs?: number } = {},
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) {
      throw new Error(`Waited ${timeoutMs} ms in vain until ${what}`);
    }
    await delay(5);
  }
}

/** What a listener accepts until it is closed. One that was reset before it was accepted is no failure. */
export async function* connectionsOf(listener: Deno.TcpListener): AsyncGenerator<Deno.TcpConn> {
  for (;;) {
    try {
      yield await listener.accept();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotConnected)) return;
    }
  }
}

/** A TCP server on a free port of 127.0.0.1 that gives each connection to `handle`. */
export function serveTcp(
  handle: (conn: Deno.TcpConn) => Promise<void>,
): { port: number } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const handled = new Set<Promise<void>>();
  let closed = false;
  const accepting = (async () => {
    for await (const conn of connectionsOf(listener)) {
      open.add(conn);
      const done = handle(conn).catch(() => {}).finally(() => {
        open.delete(conn);
        try {
          conn.close();
        } catch {
          // The handler has closed it.
        }
      });
      handled.add(done);
      done.finally(() => handled.delete(done));
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      listener.close();
      await accepting;
      for (const conn of open) conn.close();
      await Promise.all(handled);
    },
  };
}

/** Sends back every byte, and ends when the client has. */
export async function echo(conn: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    await writeAll(conn, buffer.subarray(0, count));
  }
  await conn.closeWrite();
}

/** Writes all of the bytes. */
export async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) offset += await conn.write(bytes.subarray(offset));
}

/** Reads to the end. */
export async function readAll(conn: Deno.TcpConn): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(64 * 1024);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    chunks.push(buffer.slice(0, count));
  }
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
  }
  return whole;
}

/** So many random bytes. */
export function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let offset = 0; offset < length; offset += 65_536) {
    crypto.getRandomValues(bytes.subarray(offset, Math.min(length, offset + 65_536)));
  }
  return bytes;
}

/** SHA-256 in hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Sends bytes to an echo behind a port of this machine, and fails unless they come back whole. */
export async function roundTrip(port: number, { length = 100_000 } = {}): Promise<void> {
  const sent = randomBytes(length);
  using visitor = await Deno.connect({ port });
  const [received] = await Promise.all([
    readAll(visitor),
    writeAll(visitor, sent).then(() => visitor.closeWrite()),
  ]);
  // What differs between long texts of bytes takes minutes to be put into words.
  strictEqual(received.length, sent.length, "bytes that came back");
  ok(received.every((byte, at) => byte === sent[at]), "other bytes came back");
}

/** Whether a visitor of a port of this machine is let in, and then let go without a byte. */
export async function turnsAway(port: number): Promise<boolean> {
  try {
    using visitor = await Deno.connect({ port });
    return await visitor.read(new Uint8Array(1)) === null;
  } catch (error) {
    // It may be reset before the runtime says that it is connected.
    return error instanceof Deno.errors.ConnectionReset;
  }
}

/** Whether nobody listens on a port of this machine. One who is turned away at once was let in before. */
export async function refuses(port: number): Promise<boolean> {
  // Deno's sockets give a port back a turn of the event loop after it was closed.
  await delay(0);
  try {
    (await Deno.connect({ port })).close();
    return false;
  } catch (error) {
    return error instanceof Deno.errors.ConnectionRefused;
  }
}
