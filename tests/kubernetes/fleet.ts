// Measures many diallers whose links are all cut at once: how long until every service is complete again, what that costs
// the acceptor, and the worst echo of a connection that was not cut. With replicas, there is a real API server, too, and the
// endpoints follow. docs/performance.md has the figures.
//
// Usage: deno run --quiet -P=scripts tests/kubernetes/fleet.ts [--diallers=500] [--services=2] [--replicas=0]

import { parseArgs } from "node:util";
import { delay } from "../../src/delay.ts";
import { Child } from "../support/child.ts";
import {
  type ConnectorProcess,
  exposeService,
  ROOT,
  spawnConnector,
} from "../support/processes.ts";
import { echo, serveTcp, until } from "../support/world.ts";
import { Cluster, PLACES } from "./cluster.ts";
import { LinkBalancer, startReplicas } from "./replicas.ts";

const { values } = parseArgs({
  options: {
    diallers: { type: "string", default: "500" },
    services: { type: "string", default: "2" },
    replicas: { type: "string", default: "0" },
    processes: { type: "string", default: "5" },
  },
});
const [diallers, services, replicas, processes] = [
  values.diallers,
  values.services,
  values.replicas,
  values.processes,
].map(Number) as [number, number, number, number];
const FIRST_PORT = 20_000;
const PATIENCE = { timeoutMs: 300_000 };
/** In other tests glibc writes to all memory that it gives out, and what is only reserved would count. */
const UNSPOILT = { MALLOC_PERTURB_: "0" };

await using stack = new AsyncDisposableStack();
const echoServer = stack.use(serveTcp(echo));
const { acceptors, balancer, cluster } = await startAcceptors();
stack.use(balancer);

const fleets = Array.from({ length: processes }, (_, at) => {
  const each = Math.floor(diallers / processes);
  return new Child(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--no-check", `${ROOT}/tests/kubernetes/fleet_diallers.ts`],
      ...[each, services, balancer.address, FIRST_PORT + at * each * services, echoServer.port]
        .map(String),
    ],
    cwd: ROOT,
  });
});
stack.defer(async () => {
  for (const fleet of fleets) fleet.kill("SIGKILL");
  await Promise.all(fleets.map(({ exited }) => exited));
});
const completed = () => fleets.map(({ stdout }) => stdout.match(/^complete$/gm)?.length ?? 0);
const isComplete = (times: number[]) =>
  fleets.every(({ stdout }, at) =>
    (stdout.match(/^complete$/gm)?.length ?? 0) > (times[at] ?? 0) && stdout.endsWith("complete\n")
  );
let started = performance.now();
await until(() => isComplete(fleets.map(() => 0)), "the fleet is complete", PATIENCE);
report("start of the fleet to complete", performance.now() - started);
await untilRegistered();
report("start of the fleet to registered", performance.now() - started);

const asked = performance.now();
const listed = await Promise.all(acceptors.map(({ rest }) => rest.list()));
const took = Math.round(performance.now() - asked);
console.log(`lists of ${listed.map((list) => list.length).join(" + ")} services: ${took} ms`);

const witness = stack.use(await spawnConnector());
const [first] = acceptors;
if (first === undefined) throw new TypeError("there is an acceptor");
const { port } = await exposeService(witness, {
  to: first.address,
  type: "local",
  destination: echoServer.port,
  sourcePort: FIRST_PORT - 1,
  name: "witness",
});
await delay(3000);
const before = acceptors.map(({ pid }) => processorSeconds(pid));
const echoes = stack.use(
  new Child(Deno.execPath(), {
    args: [
      ...["run", "-A", "--quiet", "--no-check", `${ROOT}/tests/kubernetes/fleet_echo.ts`],
      ...[hostOf(first), String(port)],
    ],
    stopSignal: "SIGKILL",
  }),
);
await until(() => echoesOf(echoes).length >= 10, "a second of echoes", PATIENCE);
const calm = echoesOf(echoes);

const times = completed();
started = performance.now();
balancer.cut();
await until(() => isComplete(times), "the fleet is complete again", PATIENCE);
report("cut to complete", performance.now() - started);
await untilRegistered();
if (cluster) report("cut to registered", performance.now() - started);
const since = echoesOf(echoes).slice(calm.length);
console.log(
  `worst echo: ${Math.max(...calm)} ms before, ${Math.max(...since)} ms from the cut on`,
);
for (const [at, { pid }] of acceptors.entries()) {
  const seconds = processorSeconds(pid) - (before[at] ?? 0);
  console.log(
    `acceptor ${at + 1}: ${seconds.toFixed(2)} s of processor time, ${residentMb(pid)} MB`,
  );
}

// They have hundreds of services to remove and to hand over, which is not what is measured.
for (const acceptor of acceptors) await acceptor.stop("SIGKILL");

/** One acceptor, or replicas with a cluster, and the address of their links. */
async function startAcceptors(): Promise<{
  acceptors: ConnectorProcess[];
  balancer: LinkBalancer;
  cluster: Cluster | undefined;
}> {
  if (replicas === 0) {
    const acceptor = stack.use(
      await spawnConnector({
        grpcBind: "127.0.0.2:19000",
        args: ["--service-bind=127.0.0.2"],
        env: UNSPOILT,
      }),
    );
    const balancer = new LinkBalancer(["127.0.0.2"]);
    return { acceptors: [acceptor], balancer, cluster: undefined };
  }
  const cluster = stack.use(await Cluster.start());
  const world = stack.use(await startReplicas(cluster, replicas, { env: UNSPOILT }));
  const balancer = new LinkBalancer(world.replicas.map(({ host }) => host), { rotates: true });
  return { acceptors: world.replicas.map(({ connector }) => connector), balancer, cluster };
}

/** Waits until each service of the fleet has an endpoint, and the replica that it leads to has its link. */
async function untilRegistered(): Promise<void> {
  const api = cluster;
  if (api === undefined) return;
  await until(
    async () => {
      const slices = await api.list(PLACES.slices);
      const owners = new Map(
        slices.map((slice) => [
          slice.metadata.labels?.["kubernetes.io/service-name"],
          slice.endpoints[0].addresses[0],
        ]),
      );
      const lists = await Promise.all(acceptors.map(({ rest }) => rest.list()));
      const held = lists.flatMap((list, at) =>
        list.filter(({ status }) => status === "COMPLETE").map(({ name }) => [name, at] as const)
      );
      const fleet = held.filter(([name]) => name.startsWith("fleet-"));
      return fleet.length >= diallers * services &&
        fleet.filter(([name, at]) => owners.get(name) === `10.0.0.${at + 2}`).length >=
          diallers * services;
    },
    "every service leads to the replica that has its link",
    PATIENCE,
  );
}

function hostOf({ address }: ConnectorProcess): string {
  return address.slice(0, address.lastIndexOf(":"));
}

/** The worst echoes so far, each of a tenth of a second, in milliseconds. */
function echoesOf({ stdout }: Child): number[] {
  return stdout.split("\n").slice(0, -1).map(Number);
}

/** What a process has used of the processors. */
function processorSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
  return Math.round(Number(kb) / 1024);
}

function report(what: string, ms: number): void {
  console.log(`${what}: ${(ms / 1000).toFixed(1)} s`);
}
