// A path between two connectors that can fail as networks do: cut, swallow, delay, throttle, refuse. It forwards TCP
// over loopback. What it swallows it keeps, as TCP itself would send it again, until it delivers or is cut.

import { delay } from "../../src/delay.ts";
import { connectionsOf } from "./world.ts";

/** One read, in bytes. */
const READ_BYTES = 64 * 1024;
/** The most that is under way in one direction of one connection, in bytes: minutes of a slow path, as deep buffers have. */
const MAX_QUEUED_BYTES = 1024 * 1024;
/** At a slow rate bytes leave in pieces of so long, in milliseconds, but not below so many bytes. */
const PIECE_MS = 20;
const MIN_PIECE_BYTES = 1024;

/** From who has opened the connection, or to it. */
export type Way = "there" | "back";

/** A relay on a free port of 127.0.0.1. */
export class FaultRelay implements AsyncDisposable {
  readonly port: number;
  /** host:port to be dialled instead of the target. */
  readonly address: string;
  /** How many connections it has taken. */
  accepted = 0;
  /** How long every byte takes, in milliseconds. */
  delayMs = 0;
  /** Bytes a second and direction. */
  bytesPerSecond = Infinity;
  /** The port of 127.0.0.1 that new connections are forwarded to. */
  target: number;
  readonly #pairs = new Set<Pair>();
  readonly #work = new Set<Promise<void>>();
  #listener: Deno.TcpListener | undefined;
  #gates: Partial<Record<Way, PromiseWithResolvers<void>>> = {};

  /** Forwards to a port of 127.0.0.1. */
  constructor(target: number) {
    this.target = target;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.address = `127.0.0.1:${this.port}`;
    this.#track(this.#accept(this.#listener));
  }

  /** Ends every connection now. */
  cut(): void {
    for (const pair of [...this.#pairs]) pair.close();
  }

  /** Ends every connection for who has opened it; who has accepted it hears nothing more. */
  halve(): void {
    for (const pair of [...this.#pairs]) pair.halve();
  }

  /** Takes every byte and passes none on, over new connections too: of both directions, or of one. */
  swallow(ways: readonly Way[] = ["there", "back"]): void {
    for (const way of ways) this.#gates[way] ??= Promise.withResolvers();
  }

  /** Passes on what was swallowed, and everything after it. */
  deliver(): void {
    for (const gate of Object.values(this.#gates)) gate.resolve();
    this.#gates = {};
  }

  /** Takes no connections any more. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  /** Takes connections again. */
  admit(): void {
    if (this.#listener) return;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: this.port });
    this.#track(this.#accept(this.#listener));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    this.deliver();
    this.cut();
    await Promise.all(this.#work);
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    work.finally(() => this.#work.delete(work));
  }

  async #accept(listener: Deno.TcpListener): Promise<void> {
    for await (const client of connectionsOf(listener)) {
      this.accepted += 1;
      this.#track(this.#forward(client));
    }
  }

  async #forward(client: Deno.TcpConn): Promise<void> {
    const pair = new Pair(client);
    this.#pairs.add(pair);
    try {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: this.target });
      pair.join(server);
      await Promise.all([
        this.#pump(pair, { from: client, to: server, way: "there" }),
        this.#pump(pair, { from: server, to: client, way: "back" }),
      ]);
    } catch {
      // The target refuses, or an end is gone: so is the other, unless it is not to know.
      if (pair.halved) await pair.over;
    } finally {
      pair.close();
      this.#pairs.delete(pair);
    }
  }

  /** Copies one direction; bytes leave in order, each not before its time. */
  async #pump(
    pair: Pair,
    { from, to, way }: { from: Deno.TcpConn; to: Deno.TcpConn; way: Way },
  ): Promise<void> {
    let queued = 0;
    let last = Promise.resolve();
    /** When the last piece was to leave. */
    let left = -Infinity;
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const count = await from.read(buffer);
      if (count === null) break;
      const bytes = buffer.slice(0, count);
      const due = performance.now() + this.delayMs;
      queued += count;
      last = last.then(async () => {
        await this.#gates[way]?.promise;
        for (let sent = 0; sent < count;) {
          const rate = this.bytesPerSecond;
          const most = Math.max(MIN_PIECE_BYTES, Math.floor(rate * PIECE_MS / 1000));
          const piece = Math.min(count - sent, most);
          // How long it takes is reckoned from when the last one was to leave: waits end late.
          left = Math.max(left, performance.now() - PIECE_MS) + 1000 * piece / rate;
          const wait = Math.max(due, left) - performance.now();
          if (wait > 0) await delay(wait, { signal: pair.closed });
          if (pair.closed.aborted) return;
          for (const end = sent + piece; sent < end;) {
            sent += await to.write(bytes.subarray(sent, end));
          }
        }
        queued -= count;
      });
      last.catch(() => pair.halved || pair.close());
      while (queued > MAX_QUEUED_BYTES && !pair.closed.aborted) await last;
    }
    await last;
    await to.closeWrite();
  }
}

/** The two sockets of one connection. */
class Pair {
  /** The client's end is closed, the server's is not. */
  halved = false;
  readonly #ended = new AbortController();
  readonly #over = Promise.withResolvers<void>();
  readonly #sockets: Deno.TcpConn[];

  constructor(client: Deno.TcpConn) {
    this.#sockets = [client];
  }

  get closed(): AbortSignal {
    return this.#ended.signal;
  }

  /** Resolves when both are closed. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  join(server: Deno.TcpConn): void {
    this.#sockets.push(server);
    if (this.closed.aborted) this.#closeSockets();
  }

  halve(): void {
    this.halved = true;
    this.#sockets.shift()?.close();
  }

  close(): void {
    if (this.closed.aborted) return;
    this.#ended.abort();
    this.#over.resolve();
    this.#closeSockets();
  }

  #closeSockets(): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
  }
}
