// How a TCP tunnel behaves where speed does not show it: who may speak first, half-close, resets, a reader that is
// stuck, a path that goes silent or breaks. It is the service and its visitors; any tunnel may stand between them.
// docs/comparison.md says what it found. For whoever compares tunnels; nothing else uses it.

import { once } from "node:events";
import net from "node:net";
import { parseArgs } from "node:util";
import { SilentRelay } from "./silent_relay.ts";

const USAGE = `Usage: deno run -P=scripts bench/behaviour.ts --service PORT --visit HOST:PORT
         [--relay PORT=HOST:PORT]

Be a service on PORT of 127.0.0.1, and visit it at HOST:PORT, where a tunnel has it; start the tunnel first, or
within 30 seconds. With --relay, also be the path between the tunnel's two sides, from PORT to HOST:PORT, which
breaks and is mended, and goes silent in the end.
`;

/** How long an ending may take to come through, in milliseconds. */
const ENDING_TIMEOUT_MS = 5000;
/** How long the tunnel may take to stand, in milliseconds. */
const TUNNEL_TIMEOUT_MS = 30_000;
/** How long the stuck reader is filled, and then another visitor watched, in milliseconds each. */
const STUCK_MS = 3000;
/** How long the path is silent, in milliseconds. */
const SILENCE_MS = 100_000;
/** How long the path is broken, and a connection may then take to go on, in milliseconds each. */
const BROKEN_MS = 5000;
const MENDED_MS = 20_000;
/** What half-close is tried with, in bytes: more than one read. */
const UPLOAD_BYTES = 100_000;

/** Where the two ends are. */
export interface Ends {
  /** Port of the service, on 127.0.0.1. */
  service: number;
  /** Where visitors find it. */
  visit: { host: string; port: number };
}

/** What came of each trial, in words. */
export interface Behaviour {
  serverFirst: string;
  halfClose: string;
  resetByService: string;
  resetByVisitor: string;
  stuckReader: string;
}

/** The service, which behaves as the trial at hand wants it. */
class Service implements AsyncDisposable {
  onVisit: (socket: net.Socket) => void = () => {};
  readonly #server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    this.#sockets.add(socket);
    socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
    this.onVisit(socket);
  });
  readonly #sockets = new Set<net.Socket>();

  async listen(port: number): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** Tries everything but what a path does. */
export async function tryBehaviour(
  { service: port, visit }: Ends,
  { stuckMs = STUCK_MS }: { stuckMs?: number } = {},
): Promise<Behaviour> {
  await using service = new Service();
  await service.listen(port);
  const dial = () => {
    const socket = net.connect({ ...visit, allowHalfOpen: true, noDelay: true });
    return socket.on("error", () => {});
  };
  await untilServed(service, dial);

  service.onVisit = (socket) => socket.write("hello");
  const listener = dial();
  const serverFirst = await firstBytes(listener);
  listener.destroy();

  service.onVisit = (socket) => {
    let bytes = 0;
    socket.on("data", (chunk) => bytes += chunk.length);
    socket.on("end", () => socket.end(`${bytes} bytes`));
  };
  const uploader = dial();
  uploader.end(new Uint8Array(UPLOAD_BYTES));
  let answer = "";
  uploader.on("data", (chunk) => answer += chunk);
  await ending(uploader);
  const halfClose = answer || "no answer";
  uploader.destroy();

  service.onVisit = (socket) => socket.once("data", () => socket.resetAndDestroy());
  const victim = dial();
  victim.write("x");
  const resetByService = await ending(victim);
  victim.destroy();

  const seen = Promise.withResolvers<string>();
  service.onVisit = (socket) => {
    socket.write("hello");
    ending(socket).then(seen.resolve);
  };
  const rude = dial();
  await firstBytes(rude);
  rude.resetAndDestroy();
  const resetByVisitor = await seen.promise;

  return {
    serverFirst,
    halfClose,
    resetByService,
    resetByVisitor,
    stuckReader: await tryStuckReader(service, { dial, stuckMs }),
  };
}

/** Round trips of one visitor while another one's bytes are not read. */
async function tryStuckReader(
  service: Service,
  { dial, stuckMs }: { dial: () => net.Socket; stuckMs: number },
): Promise<string> {
  service.onVisit = (socket) => socket.pause();
  const stuck = dial();
  const chunk = new Uint8Array(1024 * 1024);
  const push = () => stuck.writable && stuck.write(chunk, () => push());
  push();
  await new Promise((resolve) => setTimeout(resolve, stuckMs));
  service.onVisit = (socket) => socket.on("data", (bytes) => socket.write(bytes));
  const visitor = dial();
  const over = ending(visitor, stuckMs + ENDING_TIMEOUT_MS);
  const times: number[] = [];
  for (const end = performance.now() + stuckMs; performance.now() < end;) {
    const start = performance.now();
    visitor.write("x");
    const echo = await Promise.race([once(visitor, "data").then(() => "x"), over]);
    if (echo !== "x") return echo;
    times.push(performance.now() - start);
  }
  stuck.destroy();
  visitor.destroy();
  await over;
  times.sort((a, b) => a - b);
  const [median = 0, worst = 0] = [times[times.length >> 1], times.at(-1)];
  return `${median.toFixed(2)} ms, at most ${worst.toFixed(0)} ms`;
}

/** What both ends see of a path that goes silent, and when a new visitor is served once it is back. */
export async function trySilence(
  { service: port, visit }: Ends,
  { relay, silenceMs = SILENCE_MS }: { relay: SilentRelay; silenceMs?: number },
): Promise<{ visitor: string; service: string; backAgain: string }> {
  await using service = new Service();
  await service.listen(port);
  const dial = () => net.connect({ ...visit, noDelay: true }).on("error", () => {});
  await untilServed(service, dial);
  const seen = Promise.withResolvers<string>();
  const timed = async (socket: net.Socket) => {
    const start = performance.now();
    const how = await ending(socket, silenceMs);
    return how === NOTHING ? how : `${how} after ${seconds(start)}`;
  };
  service.onVisit = (socket) => {
    socket.write("hello");
    timed(socket).then(seen.resolve);
  };
  const visitor = dial();
  await firstBytes(visitor);
  relay.silence();
  const [ofVisitor, ofService] = await Promise.all([timed(visitor), seen.promise]);
  visitor.destroy();
  relay.resume();
  const start = performance.now();
  const served = await isServed(service, dial);
  return { visitor: ofVisitor, service: ofService, backAgain: served ? seconds(start) : "never" };
}

/** What becomes of an open connection when the path breaks, and is mended after a while. */
export async function tryBreak(
  { service: port, visit }: Ends,
  { relay, brokenMs = BROKEN_MS, mendedMs = MENDED_MS }: {
    relay: SilentRelay;
    brokenMs?: number;
    mendedMs?: number;
  },
): Promise<string> {
  await using service = new Service();
  await service.listen(port);
  const dial = () => net.connect({ ...visit, noDelay: true }).on("error", () => {});
  await untilServed(service, dial);
  service.onVisit = (socket) => socket.on("data", (bytes) => socket.write(bytes));
  const visitor = dial();
  visitor.write("before");
  await firstBytes(visitor);
  const start = performance.now();
  const told = (how: string) => how === NOTHING ? how : `${how} after ${seconds(start)}`;
  const over = ending(visitor, brokenMs + mendedMs).then(told);
  await relay.break();
  await new Promise((resolve) => setTimeout(resolve, brokenMs));
  await relay.mend();
  const echo = new Promise<string>((resolve) =>
    visitor.once("data", () => resolve(told("goes on")))
  );
  visitor.write("after");
  const found = await Promise.race([over, echo]);
  visitor.destroy();
  await over;
  return found;
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(1)} s`;
}

const NOTHING = "nothing";

/** How a socket ends: `end`, the error's code, or `nothing` within the time. */
function ending(socket: net.Socket, timeoutMs = ENDING_TIMEOUT_MS): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(() => resolve(NOTHING), timeoutMs);
  socket.on("end", () => resolve("end"));
  socket.on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  socket.on("close", () => resolve("closed"));
  socket.resume();
  return promise.finally(() => clearTimeout(timer));
}

/** The next bytes as text, or how the socket ended without any. */
function firstBytes(socket: net.Socket): Promise<string> {
  const bytes = Promise.withResolvers<string>();
  socket.once("data", (chunk) => bytes.resolve(chunk.toString()));
  return Promise.race([bytes.promise, ending(socket)]);
}

async function untilServed(service: Service, dial: () => net.Socket): Promise<void> {
  if (await isServed(service, dial)) return;
  throw new Error(`Waited ${TUNNEL_TIMEOUT_MS} ms in vain for a tunnel`);
}

/** Whether a visitor is served within the time. */
async function isServed(service: Service, dial: () => net.Socket): Promise<boolean> {
  service.onVisit = (socket) => socket.end("hello");
  const deadline = performance.now() + TUNNEL_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const socket = dial();
    const served = await firstBytes(socket) === "hello";
    socket.destroy();
    if (served) return true;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      service: { type: "string" },
      visit: { type: "string" },
      relay: { type: "string" },
    },
  });
  const address = (text: string) => {
    const [host = "", port] = text.split(":");
    return { host, port: Number(port) };
  };
  if (values.service === undefined || values.visit === undefined) {
    console.error(USAGE);
    Deno.exit(2);
  }
  const ends = { service: Number(values.service), visit: address(values.visit) };
  const [port, target] = values.relay?.split("=") ?? [];
  await using relay = new SilentRelay(address(target ?? "127.0.0.1:0"));
  if (target !== undefined) await relay.listen(Number(port));
  console.log(await tryBehaviour(ends));
  if (target === undefined) Deno.exit();
  console.log({ broken: await tryBreak(ends, { relay }) });
  console.log(await trySilence(ends, { relay }));
}
