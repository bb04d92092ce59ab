// A connector as a child process of the demo: started on free ports of this machine, ended with it. The demo in
// scripts/demo.ts says what is done with two of them.

import * as path from "node:path";

const ROOT = path.resolve(import.meta.dirname ?? ".", "..");
/** How long a connector may take to start, in milliseconds; the first time its packages are still to come. */
const START_TIMEOUT_MS = 60_000;
/** How long a connector may take to end, in milliseconds, before it is killed. */
const STOP_TIMEOUT_MS = 5000;
/** The most that is kept of what it logs, in characters: enough to say why it ended. */
const MAX_LOG_LENGTH = 10_000;

/** A running connector. Disposing ends it and waits until it has ended. */
export interface DemoConnector extends AsyncDisposable {
  /** host:port of its gRPC server. */
  grpc: string;
  /** host:port of its REST API. */
  http: string;
  /** Resolves when it has ended, with the last that it said. */
  ended: Promise<string>;
}

/**
 * Starts a connector and resolves when it serves.
 *
 * @throws {Error} when it does not start, with what it said, or the signal's reason.
 */
export async function startDemoConnector(
  { signal }: { signal: AbortSignal },
): Promise<DemoConnector> {
  // Options of whoever runs the demo are not the demo's own.
  const env = Object.entries(Deno.env.toObject()).filter(([name]) => !/^CONNECTOR_/.test(name));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "-P", "main.ts", "run"],
      ...["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0", "--log-format=json"],
    ],
    cwd: ROOT,
    clearEnv: true,
    env: Object.fromEntries(env),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();

  const started = Promise.withResolvers<{ grpc: string; http: string }>();
  const ended = follow(child, started.resolve);
  const stop = async () => {
    signalChild(child, "SIGTERM");
    const timer = setTimeout(() => signalChild(child, "SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  };
  const waiting = AbortSignal.any([signal, AbortSignal.timeout(START_TIMEOUT_MS)]);
  const given = Promise.withResolvers<never>();
  const onAbort = () => given.reject(waiting.reason);
  waiting.addEventListener("abort", onAbort);
  try {
    waiting.throwIfAborted();
    const early = ended.then((logs) => {
      throw new Error(`A connector does not start: ${logs || "it says nothing"}`);
    });
    const addresses = await Promise.race([started.promise, early, given.promise]);
    // Whoever has the connector hears of its end by `ended`.
    early.catch(() => {});
    return { ...addresses, ended, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    waiting.removeEventListener("abort", onAbort);
  }
}

/** Reads the logs to their end, tells where it listens, and resolves when it has ended with the last it said. */
async function follow(
  child: Deno.ChildProcess,
  onStarted: (addresses: { grpc: string; http: string }) => void,
): Promise<string> {
  let logs = "";
  let rest = "";
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    logs = (logs + text).slice(-MAX_LOG_LENGTH);
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(-MAX_LOG_LENGTH);
    for (const line of lines) {
      if (!line.includes('"connector started"')) continue;
      const { fields } = JSON.parse(line);
      onStarted({ grpc: fields.grpc, http: fields.http });
    }
  }
  await child.status;
  return logs.trim();
}

function signalChild(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    // It has ended already.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
