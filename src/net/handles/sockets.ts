// Sockets made of the runtime's handles: they can reset a connection, and cost less than Deno's own. Loaded on demand: a
// runtime that has no such handles must not keep the program from starting.

import { keepAccepting } from "../../platform/stalled_accept.ts";
import { formatAddress, isIpv4 } from "../../model/address.ts";
import type { Conn } from "../conn.ts";
import { Network } from "../network.ts";
import type {
  Attempt,
  AttemptWaiter,
  ListeningSocket,
  SocketAddress,
  Sockets,
} from "../sockets.ts";
import { HandleConn } from "./conn.ts";
import {
  connect,
  newListener,
  newSocket,
  SystemError,
  type TcpHandle,
  type Waiter,
} from "./handle.ts";

/** Connections that may wait to be accepted. Linux cuts it to net.core.somaxconn, 4,096 by default. */
const BACKLOG = 4096;

/** What the handles do. */
export const handleSockets: Sockets = {
  kind: "handles",
  canReset: true,
  connect: (address, waiter) => HandleAttempt.begin(address, waiter),
  listen: (address, onConn) => ListeningHandle.listen(address, onConn),
};

/** Listens and dials with the runtime's handles. */
export const handlesNetwork = new Network(handleSockets);

/** A handle that is connecting. */
class HandleAttempt implements Attempt, Waiter {
  readonly #socket: TcpHandle;
  readonly #address: SocketAddress;
  readonly #waiter: AttemptWaiter;
  #over = false;

  private constructor(socket: TcpHandle, address: SocketAddress, waiter: AttemptWaiter) {
    this.#socket = socket;
    this.#address = address;
    this.#waiter = waiter;
  }

  static begin(address: SocketAddress, waiter: AttemptWaiter): HandleAttempt {
    const socket = newSocket();
    try {
      const begun = connect(socket, address);
      if (typeof begun === "number") throw new SystemError(begun);
      const attempt = new HandleAttempt(socket, address, waiter);
      begun.waiter = attempt;
      return attempt;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  abort(): void {
    this.#over = true;
    this.#socket.close();
  }

  complete(status: number): void {
    if (this.#over) return;
    this.#over = true;
    if (status !== 0) {
      this.#socket.close();
      return this.#waiter.failed(this, new SystemError(status));
    }
    const { address: host, port } = this.#address;
    // To ask the system where it leads takes a call.
    const remote = isIpv4(host) ? formatAddress({ host, port }) : undefined;
    this.#waiter.connected(this, HandleConn.over(this.#socket, remote));
  }
}

/** A handle that listens. */
class ListeningHandle implements ListeningSocket {
  readonly port: number;
  readonly #handle: TcpHandle;
  readonly #accepting: Disposable;

  private constructor(handle: TcpHandle, port: number, accepting: Disposable) {
    this.#handle = handle;
    this.port = port;
    this.#accepting = accepting;
  }

  static listen(
    { address, port }: SocketAddress,
    onConn: (conn: Conn) => void,
  ): ListeningHandle {
    const listener = newListener();
    try {
      const bound = address.includes(":")
        ? listener.bind6(address, port, 0)
        : listener.bind(address, port);
      check(bound);
      listener.onconnection = (status) => {
        if (status !== 0) return;
        const socket = newSocket();
        // It may be gone again, or no descriptor be left for it: that ends nothing.
        if (listener.accept(socket) === 0) onConn(HandleConn.over(socket));
        else socket.close();
      };
      check(listener.listen(BACKLOG));
      const local: Partial<SocketAddress> = {};
      check(listener.getsockname(local));
      const accepting = keepAccepting(() => listener);
      return new ListeningHandle(listener, local.port ?? port, accepting);
    } catch (error) {
      listener.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#accepting[Symbol.dispose]();
    this.#handle.close();
  }
}

function check(status: number): void {
  if (status !== 0) throw new SystemError(status);
}
