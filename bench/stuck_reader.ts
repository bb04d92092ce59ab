// One visitor's upstream does not read while 64 MiB are pushed at it: what does another visitor of
// the same session notice, and how much does the tunnel take in. Used by bench.ts.

import type { ConnectorPair } from "./connector_pair.ts";
import { residentBytes } from "./machine.ts";
import type { ProcessGroup } from "./processes.ts";
import { median, type Sample } from "./results.ts";
import { startPrinting } from "./upstreams.ts";

/** What is pushed, in bytes: far above every window and socket buffer. */
const PUSHED_BYTES = 64 * 1024 * 1024;
/** One write of the push, in bytes. */
const WRITE_BYTES = 64 * 1024;
/** One message of the visitor that is timed, in bytes. */
const MESSAGE_BYTES = 32;

/** An echo that takes longer, in milliseconds, is no figure: the session itself is stuck. */
const ECHO_LIMIT_MS = 10_000;

/** Times the echoes of one visitor, first alone, then while another one's bytes are stuck. */
export async function measureStuckReader(
  processes: ProcessGroup,
  { pair, seconds }: { pair: ConnectorPair; seconds: number },
): Promise<Sample[]> {
  const ready = /^echo (\d+) stuck (\d+)$/;
  const { match } = await startPrinting(processes, ["echo_upstream.ts"], ready);
  const echoPort = await pair.open(Number(match[1]));
  const stuckPort = await pair.open(Number(match[2]));
  const memory = async () =>
    await residentBytes(pair.dialler.pid) + await residentBytes(pair.acceptor.pid);

  using visitor = await Deno.connect({ hostname: "127.0.0.1", port: echoPort });
  visitor.setNoDelay(true);
  const quiet = await echoTimes(visitor, seconds);
  const before = await memory();
  await using push = new Push(await Deno.connect({ hostname: "127.0.0.1", port: stuckPort }));
  const beside = await echoTimes(visitor, seconds);
  return [
    { figure: "echo, nobody else, median", unit: "ms", value: median(quiet) },
    { figure: "echo, nobody else, worst", unit: "ms", value: maximum(quiet) },
    { figure: "echo beside a stuck reader, median", unit: "ms", value: median(beside) },
    { figure: "echo beside a stuck reader, worst", unit: "ms", value: maximum(beside) },
    {
      figure: "taken of the 64 MiB before the push was held",
      unit: "MiB",
      value: push.taken / MIB,
    },
    { figure: "both connectors grew by", unit: "MiB", value: (await memory() - before) / MIB },
  ];
}

const MIB = 1024 * 1024;

/** Writes until the other side takes no more. */
class Push implements AsyncDisposable {
  /** Bytes that the kernel took from us. */
  taken = 0;
  readonly #conn: Deno.TcpConn;
  readonly #done: Promise<void>;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    this.#done = this.#write();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#conn.close();
    await this.#done;
  }

  async #write(): Promise<void> {
    const bytes = new Uint8Array(WRITE_BYTES);
    try {
      while (this.taken < PUSHED_BYTES) this.taken += await this.#conn.write(bytes);
    } catch (error) {
      // The write that waits when the measurement is over and the socket is closed.
      if (!(error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted)) {
        throw error;
      }
    }
  }
}

/** Echoes one message after the other; each one's time, in milliseconds. */
export async function echoTimes(visitor: Deno.TcpConn, seconds: number): Promise<number[]> {
  const message = crypto.getRandomValues(new Uint8Array(MESSAGE_BYTES));
  const answer = new Uint8Array(MESSAGE_BYTES);
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const before = performance.now();
    await visitor.write(message);
    for (let length = 0; length < MESSAGE_BYTES;) {
      const read = await withLimit(visitor.read(answer.subarray(length)));
      if (read === null) throw new Error("The echoing upstream ended the connection");
      length += read;
    }
    times.push(performance.now() - before);
    if (answer.some((byte, index) => byte !== message[index])) {
      throw new Error("The echo is not what was sent");
    }
  }
  return times;
}

async function withLimit<T>(echo: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`An echo took more than ${ECHO_LIMIT_MS} ms`)),
    ECHO_LIMIT_MS,
  );
  try {
    return await Promise.race([echo, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Not `Math.max(...times)`: there are too many for a call's arguments. */
export function maximum(times: readonly number[]): number {
  return times.reduce((worst, time) => Math.max(worst, time), 0);
}
