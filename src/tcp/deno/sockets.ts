// Sockets made of `Deno.listen` and `Deno.connect`: they work on every version of the runtime, and cannot reset a
// connection.

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
  connect: (address, waiter) => new DenoAttempt(address, waiter),
  listen: (address, onConn) => new DenoListener(address, onConn),
};

/** Listens and dials with Deno's own sockets. */
export const denoNetwork = new Network(denoSockets);

/** A `Deno.connect` under way. */
class DenoAttempt implements Attempt {
  readonly #giveUp = new AbortController();

  constructor(address: SocketAddress, waiter: AttemptWaiter) {
    void this.#run(address, waiter);
  }

  giveUp(): void {
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

/** A `Deno.Listener` and the loop that accepts. */
class DenoListener implements ListeningSocket {
  readonly port: number;
  readonly #listener: Deno.TcpListener;
  readonly #closed = new AbortController();

  constructor({ address, port }: SocketAddress, onConn: (conn: Conn) => void) {
    this.#listener = Deno.listen({ hostname: address, port, tcpBacklog: BACKLOG });
    this.port = this.#listener.addr.port;
    void this.#accept(onConn);
  }

  close(): void {
    this.#closed.abort();
    this.#listener.close();
  }

  async #accept(onConn: (conn: Conn) => void): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      try {
        const conn = await this.#listener.accept();
        if (signal.aborted) conn.close();
        else onConn(DenoConn.over(conn));
      } catch (error) {
        // Who is gone again before being accepted holds nobody up.
        if (GONE.some((type) => error instanceof type)) continue;
        await delay(ACCEPT_PAUSE_MS, { signal });
      }
    }
  }
}
