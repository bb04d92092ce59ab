// What one connector costs before it carries anything: start-up time, idle memory, and the mTLS
// handshake. A relay process gives the runtime's own share of the first two. Used by bench.ts.

import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";

import { type Certificates, ConnectorProcess, type Launch } from "./connector_pair.ts";
import { residentBytes } from "./machine.ts";
import type { ProcessGroup } from "./processes.ts";
import { median, type Sample } from "./results.ts";
import { startPrinting } from "./upstreams.ts";

/** Starts whose median is taken. */
const STARTS = 5;
/** How long a process idles before its memory is read: garbage of its start is collected by then. */
const IDLE_MS = 4_000;
/** Handshakes whose median is taken. */
const HANDSHAKES = 50;
/** The relay listens on an own port at once and dials this one only for visitors: there are none. */
const UNUSED_PORT = "9";

/** How connectors are started, and with mTLS or without. */
export type LaunchWithCertificates = Launch & { certificates?: Certificates };

/** From the start of the process to the first answer of /health. */
export async function measureStartUp(
  processes: ProcessGroup,
  launch: LaunchWithCertificates,
): Promise<Sample[]> {
  const times: number[] = [];
  while (times.length < STARTS) {
    await using connector = await ConnectorProcess.start(processes, launch);
    times.push(connector.healthyAfterMs);
  }
  return [{ figure: "start to healthy", unit: "ms", value: median(times) }];
}

/** Resident memory of a connector without services. */
export async function measureIdleMemory(
  processes: ProcessGroup,
  launch: LaunchWithCertificates,
): Promise<Sample[]> {
  await using connector = await ConnectorProcess.start(processes, launch);
  return [await idleMemory(connector.pid)];
}

/** From the start of a relay process, from source like the connector by default, until it listens. */
export async function measureRelayStartUp(processes: ProcessGroup): Promise<Sample[]> {
  const times: number[] = [];
  while (times.length < STARTS) {
    const before = performance.now();
    await startPrinting(processes, ["relay.ts", UNUSED_PORT], /^listening on/);
    times.push(performance.now() - before);
  }
  return [{ figure: "start to healthy", unit: "ms", value: median(times) }];
}

/** Resident memory of a relay process without visitors. */
export async function measureRelayMemory(processes: ProcessGroup): Promise<Sample[]> {
  const { pid } = await startPrinting(processes, ["relay.ts", UNUSED_PORT], /^listening on/);
  return [await idleMemory(pid)];
}

/** From the first SYN to the first byte of HTTP/2 that the acceptor sends to a known client. */
export async function measureHandshake(
  processes: ProcessGroup,
  launch: Launch & { certificates: Certificates },
): Promise<Sample[]> {
  await using connector = await ConnectorProcess.start(processes, launch);
  const { rootCert, cert, key } = launch.certificates;
  const credentials = {
    ca: await Deno.readTextFile(rootCert),
    cert: await Deno.readTextFile(cert),
    key: await Deno.readTextFile(key),
  };
  const times: number[] = [];
  while (times.length < HANDSHAKES) {
    const before = performance.now();
    await firstByte(connector.grpcPort, credentials);
    times.push(performance.now() - before);
  }
  return [
    { figure: "mTLS handshake, median", unit: "ms", value: median(times) },
    { figure: "mTLS handshake, worst", unit: "ms", value: Math.max(...times) },
  ];
}

/**
 * Resolves with the server's first byte, its SETTINGS: with TLS 1.3 the client is done before the
 * server has judged the client's certificate. `Deno.connectTls` sends its last flight so that it
 * waits for a delayed ACK, 40 ms; grpc-js uses node:tls, and so does this.
 */
async function firstByte(
  port: number,
  credentials: { ca: string; cert: string; key: string },
): Promise<void> {
  const tcp = connectTcp({ host: "127.0.0.1", port, noDelay: true });
  const secure = connectTls({
    socket: tcp,
    servername: "localhost",
    ALPNProtocols: ["h2"],
    ...credentials,
  });
  const closed = new Promise<void>((resolve) => tcp.once("close", () => resolve()));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  for (const socket of [tcp, secure]) socket.once("error", reject);
  secure.once("data", () => resolve());
  secure.once("end", () => reject(new Error("The connector ended the handshake")));
  try {
    await promise;
  } finally {
    secure.destroy();
    tcp.destroy();
    await closed;
  }
}

async function idleMemory(pid: number): Promise<Sample> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  return { figure: "idle memory", unit: "MB", value: await residentBytes(pid) / 1e6 };
}
