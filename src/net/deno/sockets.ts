// Sockets made of `Deno.listen` and `Deno.connect`: they work on every version of the runtime, and cannot reset a
// connection.

import { clearImmediate, setImmediate } from "node:timers";
import { delay } from "../../delay.ts";
import type { Conn } from "../conn.ts";
import { Network } from "../network.ts";
import type {
  Attempt,
  AttemptWaiter,
  ListeningSocket,
  SocketAddress,
  Sockets,
} from "../sockets.ts";
import { DenoConn } from "./conn.ts";

/** Connections that may wait to be accepted. Linux cuts it to net.core.somaxconn, 4,096 by default. */
const BACKLOG = 4096;
/** How long after a failed accept the next one is tried, in milliseconds: most fail for want of a file descriptor. */
const ACCEPT_PAUSE_MS = 100;

/** What an accept fails with when the other end is gone again. */
const GONE = [
  Deno.errors.ConnectionAborted,
  Deno.errors.ConnectionReset,
  Deno.errors.NotConnected,
];

/** What Deno's sockets do. */
export const denoSockets: Sockets = {
  kind: "deno",
  canReset: false,
  connect: (address, waiter) => DenoAttempt.begin(address, waiter),
  listen: (address, onConn) => DenoListener.listen(address, onConn),
};

/** Listens and dials with Deno's own sockets. */
export const denoNetwork = new Network(denoSockets);

/** A `Deno.connect` under way. */
class DenoAttempt implements Attempt {
  readonly #giveUp = new AbortController();

  static begin(address: SocketAddress, waiter: AttemptWaiter): DenoAttempt {
    const attempt = new DenoAttempt();
    void attempt.#run(address, waiter);
    return attempt;
  }

  abort(): void {
    this.#giveUp.abort();
  }

  async #run({ address, port }: SocketAddress, waiter: AttemptWaiter): Promise<void> {
    const { signal } = this.#giveUp;
    let conn: Deno.TcpConn;
    try {
      conn = await Deno.connect({ hostname: address, port, signal });
    } catch (error) {
      if (!signal.aborted) waiter.failed(this, error);
      return;
    }
    if (signal.aborted) conn.close();
    else waiter.connected(this, DenoConn.over(conn));
  }
}

/**
 * Listeners that were closed in this turn of the event loop, by address and port. The runtime gives a port back when the
 * accept that is under way has ended, a turn later; a service that wants it before gets the listener.
 */
const closing = new Map<string, DenoListener>();

/** A `Deno.Listener` and the loop that accepts. */
class DenoListener implements ListeningSocket {
  readonly port: number;
  readonly #key: string;
  readonly #listener: Deno.TcpListener;
  readonly #closed = new AbortController();
  /** Undefined once it is to be closed. */
  #onConn: ((conn: Conn) => void) | undefined;
  #closing: ReturnType<typeof setImmediate> | undefined;

  private constructor(listener: Deno.TcpListener, address: string) {
    this.#listener = listener;
    this.port = listener.addr.port;
    this.#key = `${address} ${this.port}`;
  }

  static listen(
    { address, port }: SocketAddress,
    onConn: (conn: Conn) => void,
  ): DenoListener {
    const key = `${address} ${port}`;
    let listener = closing.get(key);
    if (listener === undefined) {
      const opened = Deno.listen({ hostname: address, port, tcpBacklog: BACKLOG });
      listener = new DenoListener(opened, address);
      void listener.#accept();
    }
    closing.delete(key);
    clearImmediate(listener.#closing);
    listener.#onConn = onConn;
    return listener;
  }

  [Symbol.dispose](): void {
    this.#onConn = undefined;
    closing.set(this.#key, this);
    this.#closing = setImmediate(() => {
      closing.delete(this.#key);
      this.#closed.abort();
      this.#listener.close();
    });
  }

  async #accept(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const conn = await this.#next();
      if (conn === undefined) continue;
      if (this.#onConn === undefined) conn.close();
      else this.#onConn(DenoConn.over(conn));
    }
  }

  /** The next connection; undefined when accepting it has failed. */
  async #next(): Promise<Deno.TcpConn | undefined> {
    try {
      return await this.#listener.accept();
    } catch (error) {
      // A visitor that has gone before it is accepted must not hold up the others.
      if (GONE.some((type) => error instanceof type)) return undefined;
      await delay(ACCEPT_PAUSE_MS, { signal: this.#closed.signal });
      return undefined;
    }
  }
}
