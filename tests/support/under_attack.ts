// A connector under attack as the operator sees it: what it costs in memory and processor time, how long another peer's echo
// takes meanwhile, and whether newcomers and users of the API still get in. The connector, the other peer and the attacker
// are processes of their own. Used by tests/endurance/attack_test.ts.

import { once } from "node:events";
import net from "node:net";
import * as path from "node:path";
import tls from "node:tls";
import { processorSeconds } from "../../bench/machine.ts";
import { ATTACKS, type Haul, type Target } from "./attacks.ts";
import { type Made, makeCertificate } from "./certificates.ts";
import { Child } from "./child.ts";
import { residentMib } from "./http2_frames.ts";
import { callOver, LOOPBACK, tempFolder, writeTls } from "./mtls.ts";
import { exposeService, spawnConnector } from "./processes.ts";
import { quantile } from "./quantile.ts";
import { soon } from "./soon.ts";
import { echo, serveTcp, writeAll } from "./world.ts";

/** How often memory is looked at, and how often somebody new comes, in milliseconds. */
const LOOK_MS = 50;
const NEWCOMER_MS = 250;
/** How long the connector may take to let go of what it holds, in milliseconds. */
const RECOVERY_MS = 1_000;
/** How long the echo, a newcomer and a user wait before they give up, in milliseconds. */
const PATIENCE_MS = 15_000;
/** An address of this machine that the attacker does not have. Only Linux has it. */
const NEWCOMER_ADDRESS = "127.0.0.2";

/** What was seen of one attack. */
export interface Damage {
  /** What the attacker got. */
  haul: Haul;
  /** Resident memory of the connector, in MiB. */
  mib: { before: number; peak: number; after: number };
  /** Of one core, while the attack went on: 1 is all of it. */
  processor: number;
  /** Round trips of one byte through the connector for another peer's visitor, in milliseconds. */
  echoMs: { median: number; worst: number };
  /**
   * The most that the connector worked while one echo was under way, in milliseconds of its event loop's thread: however busy
   * the machine is otherwise, this is what others wait for.
   */
  worstWorkMs: number;
  /** Others that came meanwhile: how many were let in, and what the slowest of those took, in milliseconds. */
  newcomers: Served;
  users: Served;
}

/** How those who came were served. */
export interface Served {
  came: number;
  served: number;
  worstMs: number;
}

/** Starts a connector and another peer, attacks, and looks. */
export async function attacked(name: string, over: "plaintext" | "TLS"): Promise<Damage> {
  const attack = ATTACKS[name];
  if (attack === undefined) throw new TypeError(`there is no attack "${name}"`);
  await using folder = await tempFolder();
  const inFolder = (file: string) => path.join(folder.path, file);
  const pki = over === "TLS" ? await makePeers() : undefined;
  const tlsOf = async (file: string, leaf: Made) => ({
    flags: (await writeTls(inFolder(file), pemOf(leaf, pki?.root))).flags,
    root: pki?.root.certificate ?? "",
  });
  const socket = inFolder("api.sock");
  await Deno.writeTextFile(inFolder("tokens"), "the-right-token\n", { mode: 0o600 });
  await using upstream = serveTcp(echo);
  await using victim = await spawnConnector({
    env: BARE,
    args: [`--api-socket=${socket}`, `--api-token-file=${inFolder("tokens")}`],
    ...(pki && { tls: await tlsOf("victim", pki.victim) }),
  });
  await using peer = await spawnConnector({
    env: BARE,
    ...(pki && { tls: await tlsOf("peer", pki.honest) }),
  });
  const { port } = await exposeService(peer, {
    to: victim.address,
    type: "local",
    destination: upstream.port,
  });
  using visitor = await Deno.connect({ port });
  visitor.setNoDelay();
  const target: Target = {
    grpcPort: victim.grpcPort,
    httpPort: victim.httpPort,
    socket,
    ...(pki && { tls: pemOf(pki.hostile, pki.root) }),
  };

  const echoes: number[] = [];
  const newcomers: Served = { came: 0, served: 0, worstMs: 0 };
  const users: Served = { came: 0, served: 0, worstMs: 0 };
  const sizes: number[] = [];
  let worstWorkMs = 0;
  await using attacker = new Child(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", ATTACKER, name, JSON.stringify(target)],
  });
  await attacker.waitFor(/^attacking\n/);
  const before = await residentMib(victim.pid);
  const processorBefore = await processorSeconds([victim.pid]);
  const startedAt = performance.now();
  const ended = new AbortController();
  const whileAttacked = repeating(ended.signal);
  const watching = [
    whileAttacked(0, async () => {
      const workedBefore = await workedMs(victim.pid);
      echoes.push(await echoMs(visitor));
      worstWorkMs = Math.max(worstWorkMs, await workedMs(victim.pid) - workedBefore);
    }),
    whileAttacked(LOOK_MS, async () => void sizes.push(await residentMib(victim.pid))),
    whileAttacked(
      NEWCOMER_MS,
      () => serve(newcomers, () => isLinked(target, pki && pemOf(pki.honest, pki.root))),
    ),
    whileAttacked(NEWCOMER_MS, () => serve(users, () => isHealthy(target))),
  ];
  try {
    await soon(attacker.exited, "the attack is over", { timeoutMs: attack.forMs + 20_000 });
  } finally {
    ended.abort();
    await Promise.all(watching);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const processor = (await processorSeconds([victim.pid]) - processorBefore) / seconds;
  const [, json] = /^attacking\n(.*)\n/.exec(attacker.stdout) ?? [];
  if (json === undefined) throw attacker.failure("did not say what it got");
  await new Promise((resolve) => setTimeout(resolve, RECOVERY_MS));
  return {
    // The attacker has printed it.
    haul: JSON.parse(json) as Haul,
    mib: { before, peak: Math.max(...sizes), after: await residentMib(victim.pid) },
    processor,
    echoMs: { median: quantile(echoes, 0.5), worst: quantile(echoes, 1) },
    worstWorkMs,
    newcomers,
    users,
  };
}

/** glibc overwrites nothing: the memory that the connector only reserves would be resident. */
const BARE = { MALLOC_PERTURB_: "0" };
const ATTACKER = path.join(import.meta.dirname ?? ".", "attacker.ts");

/** Certificates of one root: the connector's, an honest peer's, and a hostile one's. */
async function makePeers() {
  const root = await makeCertificate({ ca: true });
  const leaf = (name: string) =>
    makeCertificate({ names: [...LOOPBACK, { type: "dns", value: name }] }, root);
  return {
    root,
    victim: await leaf("victim.example"),
    honest: await leaf("honest.example"),
    hostile: await leaf("hostile.example"),
  };
}

function pemOf(leaf: Made, root: Made | undefined) {
  return { root: root?.certificate ?? "", certificate: leaf.certificate, key: leaf.key };
}

/** Does something again and again until the signal is aborted, with pauses. */
function repeating(signal: AbortSignal) {
  return async (pauseMs: number, act: () => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      await act();
      // The event loop has other things to do, too.
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
}

/** Processor time of a process's first thread, which is that of its event loop, in milliseconds. Linux only. */
async function workedMs(pid: number): Promise<number> {
  const [nanoseconds] = (await Deno.readTextFile(`/proc/${pid}/schedstat`)).split(" ");
  return Number(nanoseconds) / 1_000_000;
}

async function echoMs(visitor: Deno.TcpConn): Promise<number> {
  const sentAt = performance.now();
  await writeAll(visitor, new Uint8Array(1));
  const count = await soon(visitor.read(new Uint8Array(1)), "the echo has come", {
    timeoutMs: PATIENCE_MS,
  });
  if (count === null) throw new Error("the visitor was cut");
  return performance.now() - sentAt;
}

async function serve(served: Served, act: () => Promise<boolean>): Promise<void> {
  const since = performance.now();
  served.came += 1;
  if (!await soon(act(), "it is served", { timeoutMs: PATIENCE_MS }).catch(() => false)) return;
  served.served += 1;
  served.worstMs = Math.max(served.worstMs, performance.now() - since);
}

/** Whether another peer, from an address of its own, gets as far as an answer to a call. */
async function isLinked(
  { grpcPort }: Target,
  pem: { root: string; certificate: string; key: string } | undefined,
): Promise<boolean> {
  const socket = net.connect({
    host: "127.0.0.1",
    port: grpcPort,
    ...(Deno.build.os === "linux" && { localAddress: NEWCOMER_ADDRESS }),
  });
  const connection = pem === undefined ? socket : tls.connect({
    socket,
    servername: "localhost",
    ca: pem.root,
    cert: pem.certificate,
    key: pem.key,
    ALPNProtocols: ["h2"],
  });
  socket.on("error", () => {});
  const outcome = await callOver(connection);
  connection.destroy();
  socket.destroy();
  // The call is refused for want of a token: that is an answer.
  return !outcome.startsWith("failed");
}

/** Whether a request without a token is answered, over a connection of its own. */
async function isHealthy({ httpPort, tls: pem }: Target): Promise<boolean> {
  const socket = pem === undefined
    ? net.connect({ host: "127.0.0.1", port: httpPort })
    : tls.connect({ host: "localhost", port: httpPort, ca: pem.root });
  let answer = "";
  socket.on("error", () => {});
  socket.on("data", (chunk: Uint8Array) => answer += new TextDecoder().decode(chunk));
  socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  await once(socket, "close");
  return answer.startsWith("HTTP/1.1 200 ");
}
