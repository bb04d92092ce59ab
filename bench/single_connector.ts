// What one connector costs before it carries anything: start-up time, idle memory, and the mTLS
// handshake. A relay process gives the runtime's own share of the first two. Used by bench.ts.

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

/** Start-up and memory of one relay process, from source like the connector by default. */
export async function measureRelayProcess(processes: ProcessGroup): Promise<Sample[]> {
  const times: number[] = [];
  let pid = 0;
  while (times.length < STARTS) {
    const before = performance.now();
    const child = await startPrinting(processes, ["relay.ts", UNUSED_PORT], /^listening on/);
    times.push(performance.now() - before);
    pid = child.pid;
  }
  return [
    { figure: "start to healthy", unit: "ms", value: median(times) },
    await idleMemory(pid),
  ];
}

/** From the first SYN to the first byte of HTTP/2 that the acceptor sends to a known client. */
export async function measureHandshake(
  processes: ProcessGroup,
  launch: Launch & { certificates: Certificates },
): Promise<Sample[]> {
  await using connector = await ConnectorProcess.start(processes, launch);
  const { rootCert, cert, key } = launch.certificates;
  const credentials = {
    caCerts: [await Deno.readTextFile(rootCert)],
    cert: await Deno.readTextFile(cert),
    key: await Deno.readTextFile(key),
  };
  const times: number[] = [];
  while (times.length < HANDSHAKES) {
    const before = performance.now();
    const conn = await Deno.connectTls({
      hostname: "127.0.0.1",
      port: connector.grpcPort,
      alpnProtocols: ["h2"],
      ...credentials,
    });
    try {
      // With TLS 1.3 the client is done before the server has judged its certificate: wait for
      // the server's SETTINGS.
      const length = await conn.read(new Uint8Array(64));
      if (length === null) throw new Error("The connector ended the connection in the handshake");
      times.push(performance.now() - before);
    } finally {
      conn.close();
    }
  }
  return [
    { figure: "mTLS handshake, median", unit: "ms", value: median(times) },
    { figure: "mTLS handshake, worst", unit: "ms", value: Math.max(...times) },
  ];
}

async function idleMemory(pid: number): Promise<Sample> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_MS));
  return { figure: "idle memory", unit: "MB", value: await residentBytes(pid) / 1e6 };
}
