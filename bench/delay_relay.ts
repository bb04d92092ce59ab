// A relay that delivers every byte a fixed time after it arrived, in both directions, and if asked to
// no more than so many a second: a path with latency, a rate and a deep buffer, without privileges
// and on loopback. It stands between two connectors.
//
//   deno run --allow-net bench/delay_relay.ts TARGET_PORT DELAY_MS [KBIT_PER_SECOND]
//
// It prints the port that it listens on. Both ends are on 127.0.0.1.

/** One read, in bytes; over a slow path what it carries in so many milliseconds, but no less than so many bytes. */
const READ_BYTES = 64 * 1024;
const READ_MS = 10;
const MIN_READ_BYTES = 1024;
/**
 * Bytes that may be under way in one direction: more than twice what 1 Gbit/s fills in 50 ms
 * (6.25 MB), so that the tunnel's windows are the limit and not this buffer.
 */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

/** What a path is like. */
interface PathOptions {
  delayMs: number;
  /** May be infinite. */
  bytesPerMs: number;
}

interface Parcel {
  bytes: Uint8Array;
  /** When it may leave, in milliseconds of `performance.now()`. */
  due: number;
}

async function relay(
  visitor: Deno.TcpConn,
  { target, path }: { target: number; path: PathOptions },
): Promise<void> {
  let upstream: Deno.TcpConn | undefined;
  try {
    upstream = await Deno.connect({ hostname: "127.0.0.1", port: target });
    visitor.setNoDelay(true);
    upstream.setNoDelay(true);
    await Promise.all([
      new DelayLine(visitor, upstream).run(path),
      new DelayLine(upstream, visitor).run(path),
    ]);
  } catch (error) {
    // It ends this one only; whoever is at the other end notices.
    console.error(`a connection failed: ${error}`);
  } finally {
    visitor.close();
    upstream?.close();
  }
}

/** One direction: a reader that stamps what arrives, and a writer that waits for the stamp. */
class DelayLine {
  readonly #from: Deno.TcpConn;
  readonly #to: Deno.TcpConn;
  readonly #parcels: Parcel[] = [];
  #queuedBytes = 0;
  #ended = false;
  #wakeReader = () => {};
  #wakeWriter = () => {};

  constructor(from: Deno.TcpConn, to: Deno.TcpConn) {
    this.#from = from;
    this.#to = to;
  }

  async run(path: PathOptions): Promise<void> {
    await Promise.all([this.#read(path), this.#write()]);
  }

  async #read({ delayMs, bytesPerMs }: PathOptions): Promise<void> {
    const length = Math.max(MIN_READ_BYTES, Math.min(READ_BYTES, bytesPerMs * READ_MS));
    const buffer = new Uint8Array(length);
    /** When the last byte has passed the narrow part. */
    let passed = 0;
    try {
      for (;;) {
        // Back-pressure: no read while the path is full.
        while (this.#queuedBytes >= MAX_QUEUED_BYTES) {
          await new Promise<void>((resolve) => this.#wakeReader = resolve);
        }
        const length = await this.#from.read(buffer);
        if (length === null) break;
        passed = Math.max(passed, performance.now()) + length / bytesPerMs;
        this.#parcels.push({ bytes: buffer.slice(0, length), due: passed + delayMs });
        this.#queuedBytes += length;
        this.#wakeWriter();
      }
    } finally {
      this.#ended = true;
      this.#wakeWriter();
    }
  }

  async #write(): Promise<void> {
    for (;;) {
      const parcel = this.#parcels.shift();
      if (parcel === undefined) {
        if (this.#ended) break;
        await new Promise<void>((resolve) => this.#wakeWriter = resolve);
        continue;
      }
      const wait = parcel.due - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      for (let written = 0; written < parcel.bytes.length;) {
        written += await this.#to.write(parcel.bytes.subarray(written));
      }
      this.#queuedBytes -= parcel.bytes.length;
      this.#wakeReader();
    }
    await this.#to.closeWrite();
  }
}

// Last, because it never ends and the class above must exist by then.
if (import.meta.main) {
  const target = Number(Deno.args[0]);
  const delayMs = Number(Deno.args[1]);
  const bytesPerMs = Deno.args[2] === undefined ? Infinity : Number(Deno.args[2]) / 8;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(`listening on ${listener.addr.port}`);
  for await (const visitor of listener) {
    void relay(visitor, { target, path: { delayMs, bytesPerMs } });
  }
}
