// Measures echo times of one visitor beside downloads that fill a slow path with a deep buffer. delay_relay.ts runs
// between the two connectors. Used by bench.ts.

import type { ConnectorPair } from "./connector_pair.ts";
import type { ProcessGroup } from "./processes.ts";
import { median, type Sample } from "./results.ts";
import { echoTimes, maximum } from "./stuck_reader.ts";
import { startPrinting, startProgram } from "./upstreams.ts";

/** Rates of the path, in kbit/s, and how long each byte takes besides, in milliseconds each way. */
const RATES = [256, 1_000, 10_000];
const DELAY_MS = 50;
/** Downloads at once. */
const DOWNLOADS = [1, 10];
/** How long they run before echoes count, in milliseconds: the window has found its size. */
const WARM_UP_MS = 5_000;
/** One write of a download's source, in bytes. */
const WRITE_BYTES = 64 * 1024;

/** Times echoes over paths of each rate, beside each number of downloads. */
export async function measureSlowPath(
  processes: ProcessGroup,
  { pair, seconds }: { pair: ConnectorPair; seconds: number },
): Promise<Sample[]> {
  const { match } = await startPrinting(processes, ["echo_upstream.ts"], /^echo (\d+) stuck/);
  const samples: Sample[] = [];
  for (const rate of RATES) {
    const relay = [String(pair.acceptor.grpcPort), String(DELAY_MS), String(rate)];
    const path = await startProgram(processes, "delay_relay.ts", ...relay);
    const echoPort = await pair.open(Number(match[1]), path);
    for (const count of DOWNLOADS) {
      await using source = new Source();
      const port = await pair.open(source.port, path);
      using visitor = await Deno.connect({ hostname: "127.0.0.1", port: echoPort });
      visitor.setNoDelay(true);
      await using _downloads = await Downloads.start(port, count);
      await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
      const times = await echoTimes(visitor, seconds);
      const figure = `echo over ${rate} kbit/s beside ${count} downloads`;
      samples.push(
        { figure: `${figure}, median`, unit: "ms", value: median(times) },
        { figure: `${figure}, worst`, unit: "ms", value: maximum(times) },
      );
    }
  }
  return samples;
}

/** A server that sends for ever. Its connections end with their readers, or with it. */
class Source implements AsyncDisposable {
  readonly port: number;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #accepting: Promise<void>;
  readonly #open = new Set<Deno.Conn>();

  constructor() {
    this.port = this.#listener.addr.port;
    this.#accepting = this.#accept();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    for (const client of this.#open) client.close();
    this.#open.clear();
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.#open.add(client);
      void this.#send(client);
    }
  }

  async #send(client: Deno.Conn): Promise<void> {
    const bytes = new Uint8Array(WRITE_BYTES);
    try {
      for (;;) await client.write(bytes);
    } catch {
      // Its reader has gone, or the measurement is over.
      if (this.#open.delete(client)) client.close();
    }
  }
}

/** Visitors that read for ever. */
class Downloads implements AsyncDisposable {
  readonly #conns: Deno.Conn[] = [];
  readonly #reading: Promise<void>[] = [];

  static async start(port: number, count: number): Promise<Downloads> {
    const downloads = new Downloads();
    for (let index = 0; index < count; index += 1) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      downloads.#conns.push(conn);
      downloads.#reading.push(downloads.#read(conn));
    }
    return downloads;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const conn of this.#conns.splice(0)) conn.close();
    await Promise.all(this.#reading);
  }

  async #read(conn: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(WRITE_BYTES);
    try {
      while (await conn.read(buffer) !== null);
    } catch (error) {
      // The read that waits when the measurement is over.
      if (this.#conns.includes(conn)) throw error;
    }
  }
}
