// Stopping without cutting anybody off: what is open may finish, new visitors are not let in, and a second signal or
// the time limit ends it. Either side may stop, in both types.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { delay } from "../../../src/delay.ts";
import { FaultRelay } from "../../support/fault_relay.ts";
import {
  type ConnectorProcess,
  type ConnectorProcessOptions,
  exposeService,
  spawnConnector,
  untilComplete,
} from "../../support/processes.ts";
import { tempFolder } from "../../support/mtls.ts";
import { secured } from "../../support/security.ts";
import { soon } from "../../support/soon.ts";
import { CUT } from "../../support/sockets.ts";
import { PATH_KINDS } from "../../support/tunnel_path.ts";
import {
  echo,
  randomBytes,
  readAll,
  refuses,
  roundTrip,
  serveTcp,
  until,
  writeAll,
} from "../../support/world.ts";

const TYPES = ["local", "remote"] as const;
/** Signals that come later than this after the first are a request of their own. */
const ONE_REQUEST_MS = 600;
/** Far above what a test takes. */
const LONG = ["--drain-timeout=30s"];

for (const { type, security } of PATH_KINDS) {
  for (const stopped of ["dialler", "acceptor"] as const) {
    Deno.test(`${type}, ${security}, the ${stopped} stops: a response in flight is delivered whole, then the exit code is 0`, async () => {
      const answer = randomBytes(8 * 1024 * 1024);
      const asked = Promise.withResolvers<void>();
      const go = Promise.withResolvers<void>();
      await using server = serveTcp(async (conn) => {
        await readAll(conn);
        asked.resolve();
        await writeAll(conn, answer.subarray(0, 1000));
        await go.promise;
        await writeAll(conn, answer.subarray(1000));
      });
      await using certificates = await secured(security);
      await using pair = await startPair({ ...certificates.options, args: LONG });
      const { local, remote } = pair;
      const { port } = await exposeService(local, {
        to: remote.address,
        type,
        destination: server.port,
      });
      using visitor = await Deno.connect({ port });
      await writeAll(visitor, new Uint8Array(10));
      await visitor.closeWrite();
      const received = readAll(visitor);
      await soon(asked.promise, "the request has arrived");

      const [stopping, other] = stopped === "dialler" ? [local, remote] : [remote, local];
      const ended = stopping.stop("SIGTERM", { timeoutMs: 20_000 });
      await until(async () => await refuses(stopping.httpPort), "it takes no more requests");
      await until(async () => await refuses(stopping.grpcPort), "it takes no more links");
      await until(async () => await isPending(other), "the other side knows");
      go.resolve();
      deepStrictEqual(await received, answer);
      deepStrictEqual(await ended, { code: 0, signal: null });
    });
  }
}

for (const type of TYPES) {
  Deno.test(`${type}: new visitors are not let in while it drains, and all wait where services return`, async () => {
    await using folder = await tempFolder();
    const args = [...LONG, `--state-file=${path.join(folder.path, "services.json")}`];
    await using server = serveTcp(echo);
    await using remote = await spawnConnector();
    await using first = await spawnConnector({ args });
    const { id, port } = await exposeService(first, {
      to: remote.address,
      type,
      destination: server.port,
    });
    const open = await Deno.connect({ port });
    await writeAll(open, new Uint8Array([1]));
    strictEqual(await open.read(new Uint8Array(1)), 1);
    const ended = first.stop("SIGTERM", { timeoutMs: 20_000 });
    if (type === "remote") {
      await until(() => refuses(port), "its own port is closed");
    } else {
      await until(async () => await isPending(remote), "the peer knows");
    }
    // What is open goes on as if nothing were.
    await writeAll(open, new Uint8Array([2]));
    strictEqual(await open.read(new Uint8Array(1)), 1);
    const waiting = type === "local" ? roundTrip(port) : Promise.resolve();
    await open.closeWrite();
    strictEqual(await open.read(new Uint8Array(1)), null);
    open.close();
    deepStrictEqual(await ended, { code: 0, signal: null });
    await using again = await spawnConnector({ args });
    await untilComplete(again, id);
    await waiting;
    await roundTrip(port);
  });

  Deno.test(`${type}: without a state file the peer closes the port at once`, async () => {
    await using server = serveTcp(echo);
    await using pair = await startPair({ args: LONG });
    const { port } = await exposeService(pair.local, {
      to: pair.remote.address,
      type,
      destination: server.port,
    });
    const open = await Deno.connect({ port });
    await writeAll(open, new Uint8Array([1]));
    strictEqual(await open.read(new Uint8Array(1)), 1);
    const ended = pair.local.stop("SIGTERM", { timeoutMs: 20_000 });
    await until(() => refuses(port), "the port is closed");
    await writeAll(open, new Uint8Array([2]));
    strictEqual(await open.read(new Uint8Array(1)), 1);
    open.close();
    deepStrictEqual(await ended, { code: 0, signal: null });
    await until(async () => (await pair.remote.rest.list()).length === 0, "nothing is listed");
  });
}

Deno.test("what is still open when the time is over is cut off, and the exit code is 0", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair({ args: ["--drain-timeout=1s"] });
  const { port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: server.port,
  });
  using open = await Deno.connect({ port });
  await writeAll(open, new Uint8Array([1]));
  strictEqual(await open.read(new Uint8Array(1)), 1);
  const started = performance.now();
  deepStrictEqual(await pair.local.stop("SIGTERM"), { code: 0, signal: null });
  const took = performance.now() - started;
  ok(took > 950 && took < 3000, `${took} ms`);
  const end = open.read(new Uint8Array(1)).then(() => "in order", () => "reset");
  strictEqual(await soon(end, "it is cut off"), CUT);
});

Deno.test("a second signal ends it at once", async () => {
  await using server = serveTcp(echo);
  await using pair = await startPair({ args: LONG });
  const { port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: server.port,
  });
  using open = await Deno.connect({ port });
  await writeAll(open, new Uint8Array([1]));
  strictEqual(await open.read(new Uint8Array(1)), 1);
  const ended = pair.local.stop("SIGTERM", { timeoutMs: 20_000 });
  await until(() => /connector stopping/.test(pair.local.logs()), "it stops");
  await delay(ONE_REQUEST_MS);
  const started = performance.now();
  pair.local.signal("SIGINT");
  deepStrictEqual(await ended, { code: 0, signal: null });
  const took = performance.now() - started;
  ok(took < 2000, `${took} ms`);
  match(pair.local.logs(), /connector stops waiting/);
});

Deno.test("a second signal does not wait for a peer that says nothing", async () => {
  await using remote = await spawnConnector();
  await using relay = new FaultRelay(remote.grpcPort);
  await using local = await spawnConnector({ args: LONG });
  await exposeService(local, { to: relay.address, type: "local", destination: 1 });
  relay.swallow();
  const ended = local.stop("SIGTERM", { timeoutMs: 20_000 });
  await until(async () => await refuses(local.grpcPort), "it stops");
  await delay(ONE_REQUEST_MS);
  const started = performance.now();
  local.signal("SIGTERM");
  deepStrictEqual(await ended, { code: 0, signal: null });
  const took = performance.now() - started;
  ok(took < 3000, `${took} ms`);
});

Deno.test("however often and fast it is signalled, the exit code is 0", async () => {
  await using pair = await startPair({ args: LONG });
  const ended = pair.local.stop("SIGTERM", { timeoutMs: 20_000 });
  let over = false;
  ended.finally(() => over = true).catch(() => {});
  const signals: Deno.Signal[] = ["SIGINT", "SIGTERM"];
  await until(() => {
    if (!over) { for (const signal of signals) signalIfThere(pair.local, signal); }
    return over;
  }, "it has ended");
  deepStrictEqual(await ended, { code: 0, signal: null });
});

function signalIfThere(connector: ConnectorProcess, signal: Deno.Signal): void {
  try {
    connector.signal(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

/** Two connectors, of which the local one is about to stop. */
async function startPair(
  options: ConnectorProcessOptions,
): Promise<{ local: ConnectorProcess; remote: ConnectorProcess } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const remote = stack.use(await spawnConnector(options));
  const local = stack.use(await spawnConnector(options));
  const owned = stack.move();
  return { local, remote, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function isPending({ rest }: ConnectorProcess): Promise<boolean> {
  const services = await rest.list();
  return services.every(({ status }) => status === "PENDING");
}
