// Several replicas on one machine, each on an address of its own of the loopback (127.0.0.2, …), as pods with addresses
// that no machine here has (10.0.0.2, …), and what kube-proxy does for them: one address for their links, and a visit to
// whatever endpoint a Service has.

import { delay } from "../../src/delay.ts";
import { readAll, serveTcp, until, writeAll } from "../support/world.ts";
import type { ConnectorProcess } from "../support/processes.ts";
import { type Cluster, PLACES, type Thing } from "./cluster.ts";
import { createPod, spawnRegistering, withRights } from "./connectors.ts";

/** On each address. Below what `freePort` gives. */
const GRPC_PORT = 19_000;

/** One replica. */
export interface Replica {
  connector: ConnectorProcess;
  pod: string;
  /** As the cluster has it. */
  podIp: string;
  /** Where it is here. */
  host: string;
}

/** The Role of install/, for the namespace of the tests. */
export async function replicasRole(): Promise<string> {
  const manifest = await Deno.readTextFile(
    new URL("../../install/kubernetes/replicas.yaml", import.meta.url),
  );
  const parts = manifest.split(/^---$/m).filter((part) =>
    /kind: (ServiceAccount|Role|RoleBinding)$/m.test(part)
  );
  return parts.join("---").replaceAll("namespace: connector", "namespace: shipyard");
}

/** Starts replicas that have the rights of install/kubernetes/replicas.yaml. */
export async function startReplicas(
  cluster: Cluster,
  count: number,
  { env = {} }: { env?: Record<string, string> } = {},
): Promise<{ replicas: Replica[]; kubeconfig: string } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const kubeconfig = await withRights(cluster, await replicasRole());
  const replicas = await Promise.all(
    Array.from(
      { length: count },
      (_, at) => startReplica(cluster, { number: at + 2, kubeconfig, env }),
    ),
  );
  for (const { connector } of replicas) stack.use(connector);
  const kept = stack.move();
  return { replicas, kubeconfig, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Starts one. */
export async function startReplica(
  cluster: Cluster,
  { number, kubeconfig, env = {} }: {
    number: number;
    kubeconfig: string;
    env?: Record<string, string>;
  },
): Promise<Replica> {
  const pod = `connector-${number}`;
  const podIp = `10.0.0.${number}`;
  const host = `127.0.0.${number}`;
  await createPod(cluster, pod);
  const connector = await spawnRegistering(kubeconfig, {
    grpcBind: `${host}:${GRPC_PORT}`,
    httpBind: `${host}:0`,
    args: [`--service-bind=${host}`, "--drain-timeout=10s"],
    env: { POD_NAME: pod, POD_IP: podIp, ...env },
  });
  return { connector, pod, podIp, host };
}

/** The one address for the links of all replicas. */
export class LinkBalancer implements AsyncDisposable {
  /** Where links go, the first that accepts them. */
  order: string[];
  readonly #server: { port: number } & AsyncDisposable;
  readonly #open = new Map<Deno.TcpConn, Deno.TcpConn>();

  readonly #rotates: boolean;

  /** `rotates`: each link goes to the next one first. */
  constructor(order: string[], { rotates = false }: { rotates?: boolean } = {}) {
    this.order = order;
    this.#rotates = rotates;
    this.#server = serveTcp((conn) => this.#carry(conn));
  }

  get address(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  /** Ends every link, without a word to the replica: as a network that is cut. */
  cut(): void {
    for (const conn of this.#open.keys()) close(conn);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [conn, upstream] of this.#open) {
      close(conn);
      close(upstream);
    }
    // The server closes what is open itself, and knows only in a later turn that it is not.
    await until(() => this.#open.size === 0, "every link has ended");
    await delay(5);
    await this.#server[Symbol.asyncDispose]();
  }

  async #carry(conn: Deno.TcpConn): Promise<void> {
    const order = this.order;
    if (this.#rotates) this.order = [...order.slice(1), ...order.slice(0, 1)];
    for (const hostname of order) {
      let upstream: Deno.TcpConn;
      try {
        upstream = await Deno.connect({ hostname, port: GRPC_PORT });
      } catch {
        continue;
      }
      this.#open.set(conn, upstream);
      const ended = Promise.allSettled([
        conn.readable.pipeTo(upstream.writable),
        upstream.readable.pipeTo(conn.writable),
      ]);
      await ended;
      this.#open.delete(conn);
      close(upstream);
      return;
    }
  }
}

/** The addresses that a Service's visitors are sent to now. */
export async function endpointsOf(cluster: Cluster, name: string): Promise<string[]> {
  const slices = await cluster.list(
    `${PLACES.slices}?labelSelector=kubernetes.io%2Fservice-name%3D${name}`,
  );
  return slices.flatMap((slice: Thing) =>
    slice.endpoints.flatMap((each: { addresses: string[] }) => each.addresses)
  );
}

/** Waits until a Service leads to one address; returns how long that took, in milliseconds. */
export async function untilAt(
  cluster: Cluster,
  name: string,
  { podIp, timeoutMs = 15_000 }: { podIp: string; timeoutMs?: number },
): Promise<number> {
  const started = performance.now();
  await until(
    async () => (await endpointsOf(cluster, name)).join() === podIp,
    `${name} leads to ${podIp}`,
    { timeoutMs },
  );
  return performance.now() - started;
}

/** Waits until many Services lead to one address; returns how long that took, in milliseconds. */
export async function untilAllAt(
  cluster: Cluster,
  names: readonly string[],
  { podIp }: { podIp: string },
): Promise<number> {
  const started = performance.now();
  const deadline = started + 60_000;
  for (;;) {
    const slices = await cluster.list(PLACES.slices);
    const there = new Set(
      slices.filter(({ endpoints }) => endpoints[0]?.addresses.join() === podIp)
        .map(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"]),
    );
    const missing = names.filter((name) => !there.has(name));
    if (missing.length === 0) return performance.now() - started;
    if (performance.now() > deadline) {
      throw new Error(`${missing.length} Services do not lead to ${podIp}: ${missing[0]}, …`);
    }
    // Whoever asks all the time takes the processor from those that are to answer.
    await delay(100);
  }
}

/** Visits an echo at a pod; throws when it is refused or answers wrong. */
export async function visit(podIp: string, port: number): Promise<void> {
  const hostname = podIp.replace(/^10\./, "127.");
  using conn = await Deno.connect({ hostname, port });
  await writeAll(conn, new TextEncoder().encode("hello"));
  await conn.closeWrite();
  const answer = new TextDecoder().decode(await readAll(conn));
  if (answer !== "hello") throw new Error(`the visitor got ${JSON.stringify(answer)}`);
}

function close(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch {
    // It has ended by itself.
  }
}
