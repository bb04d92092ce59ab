// `deno task demo`: the product in one command. It starts a small HTTP service and two connectors, exposes the
// service in both directions, fetches through both tunnels, and prints each step with the curl command that
// repeats it by hand. It stays up until Ctrl-C; with --once it ends when every answer was right, with 0, or
// with 1 and what was wrong. Its children end with it, whatever happens.

import { type DemoConnector, startDemoConnector } from "./demo_connector.ts";

/** How long a service may take to become ready, in milliseconds. */
const READY_TIMEOUT_MS = 15_000;
/** The wait between two looks at the list, in milliseconds. */
const POLL_MS = 50;
/** How long one request may take, in milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000;

const USAGE = "usage: deno task demo [--once]";

async function main(args: string[]): Promise<number> {
  const unknown = args.find((arg) => arg !== "--once");
  if (unknown === "--help" || unknown === "-h") {
    console.log(USAGE);
    return 0;
  }
  if (unknown !== undefined) {
    console.error(`error: unknown argument '${unknown}'\nhint: ${USAGE}`);
    return 2;
  }
  await using stack = new AsyncDisposableStack();
  const stopped = stopSignal(stack);
  try {
    await runDemo({ once: args.includes("--once"), stopped, stack });
    return 0;
  } catch (error) {
    // Ctrl-C is how the demo ends.
    if (stopped.aborted) return 0;
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

interface DemoOptions {
  once: boolean;
  /** Aborts when the user has had enough. */
  stopped: AbortSignal;
  /** Takes everything that must be ended. */
  stack: AsyncDisposableStack;
}

async function runDemo({ once, stopped, stack }: DemoOptions): Promise<void> {
  const greeting = "Hello from the service behind the tunnel!\n";
  const service = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response(greeting),
  );
  stack.defer(() => service.shutdown());
  const destination = `127.0.0.1:${service.addr.port}`;
  console.log(`1. A small HTTP service listens on ${destination}`);
  await show({ url: `http://${destination}/`, wanted: greeting, stopped });

  const left = stack.use(await startDemoConnector({ signal: stopped }));
  const right = stack.use(await startDemoConnector({ signal: stopped }));
  console.log(
    "2. Two connectors run, each with a gRPC server for the other and a REST API for you",
  );
  console.log(`   left:  gRPC ${left.grpc}, REST ${left.http}`);
  console.log(`   right: gRPC ${right.grpc}, REST ${right.http}\n`);

  const directions = [
    { type: "local", text: "3. Local: what left reaches is exposed by a port of right" },
    { type: "remote", text: "4. Remote: what right reaches is exposed by a port of left" },
  ];
  for (const { type, text } of directions) {
    const port = freePort();
    console.log(text);
    const id = await show({
      url: `http://${left.http}/expose`,
      body: JSON.stringify({
        name: `demo-${type}`,
        source_port: port,
        remote_connector_addr: right.grpc,
        destination_addr: destination,
        type,
      }),
      wanted: /^[0-9a-f-]{36}$/,
      stopped,
    });
    await untilComplete(left, { id, stopped });
    console.log("   and through the tunnel:");
    await show({ url: `http://127.0.0.1:${port}/`, wanted: greeting, stopped });
  }

  console.log("5. What is exposed");
  await show({ url: `http://${left.http}/list`, wanted: /demo-local.*demo-remote/s, stopped });
  if (once) {
    console.log("Every answer was right.");
    return;
  }
  console.log("Everything stays up until Ctrl-C.");
  await untilStopped([left, right], stopped);
}

/** Ends each connection as curl does: one that stays open holds up the connector that it goes through when that ends. */
const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });

interface Request {
  url: string;
  /** Sent by POST when there is one. */
  body?: string;
  /** The answer must be or fit this. */
  wanted: string | RegExp;
  stopped: AbortSignal;
}

/** Prints a request as its curl command, sends it, prints the answer and resolves with it when it is right. */
async function show({ url, body, wanted, stopped }: Request): Promise<string> {
  const command = body === undefined ? `curl -sS ${url}` : `curl -sS ${url} -d '${body}'`;
  console.log(`   $ ${command}`);
  let answer: string;
  let status: number;
  try {
    const response = await fetch(url, {
      client,
      ...(body === undefined ? {} : { method: "POST", body }),
      signal: AbortSignal.any([stopped, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
    });
    status = response.status;
    answer = await response.text();
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new Error(`\`${command}\` failed: ${reason}`, { cause: error });
  }
  console.log(`   ${answer.trim()}\n`);
  const right = typeof wanted === "string" ? answer === wanted : wanted.test(answer);
  if (status !== 200 || !right) {
    throw new Error(`\`${command}\` answered ${status} "${answer.trim()}", want 200 and ${wanted}`);
  }
  return answer;
}

/** Waits until both sides are ready for a service. */
async function untilComplete(
  connector: DemoConnector,
  { id, stopped }: { id: string; stopped: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    const response = await fetch(`http://${connector.http}/list`, { client, signal });
    const services: { id: string; status: string; message?: string }[] = await response.json();
    const service = services.find((each) => each.id === id);
    if (service?.status === "COMPLETE") return;
    if (service?.status === "ERROR") {
      throw new Error(`Service ${id} is in error: ${service.message ?? "it says nothing"}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`Service ${id} is not complete after ${READY_TIMEOUT_MS / 1000} s`);
}

/** Resolves when the user ends the demo; fails when a connector ends before. */
async function untilStopped(connectors: DemoConnector[], stopped: AbortSignal): Promise<void> {
  const stop = Promise.withResolvers<void>();
  stopped.addEventListener("abort", () => stop.resolve());
  if (stopped.aborted) stop.resolve();
  await Promise.race([
    stop.promise,
    ...connectors.map(async ({ ended }) => {
      const logs = await ended;
      if (!stopped.aborted) throw new Error(`A connector has ended: ${logs}`);
    }),
  ]);
}

/** Aborts with the first signal that asks the process to end. */
function stopSignal(stack: AsyncDisposableStack): AbortSignal {
  const controller = new AbortController();
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT", "SIGBREAK"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) {
    const onSignal = () => controller.abort();
    Deno.addSignalListener(signal, onSignal);
    stack.defer(() => Deno.removeSignalListener(signal, onSignal));
  }
  return controller.signal;
}

/**
 * Below what systems give to outgoing connections (Linux from 32,768, others from 49,152): nobody is given such a
 * port before a connector listens on it.
 */
const FREE_PORTS = { first: 20_000, end: 32_000 };

/** A TCP port that is free. */
function freePort(): number {
  for (;;) {
    const port = FREE_PORTS.first +
      Math.floor(Math.random() * (FREE_PORTS.end - FREE_PORTS.first));
    try {
      using _all = Deno.listen({ hostname: "0.0.0.0", port });
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
