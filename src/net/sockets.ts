// The part that differs between the kinds of sockets, for one IP address at a time. handles/ and
// deno/ implement it; network.ts makes a network of either.

import type { Conn } from "./conn.ts";
import type { SocketKind } from "./socket_kinds.ts";

/** One end of a connection, by IP address. */
export interface SocketAddress {
  address: string;
  port: number;
}

/** An attempt to connect to one IP address. */
export interface Attempt {
  /** Gives the attempt up: the caller is told nothing more. */
  abort(): void;
}

/** The caller that waits for an attempt. Told once, after `connect` has returned. */
export interface AttemptWaiter {
  connected(attempt: Attempt, conn: Conn): void;
  /** The error has the system's code, such as `ECONNREFUSED`, in `code`. */
  failed(attempt: Attempt, error: unknown): void;
}

/**
 * A socket that listens on one IP address, until it is disposed: accepted connections live on, and the port is free for
 * `listen` at once.
 */
export interface ListeningSocket extends Disposable {
  readonly port: number;
}

/** What a kind of sockets does itself. */
export interface Sockets {
  readonly kind: SocketKind;
  /** Whether `reset` of a connection arrives as a reset at the other end. If not, it arrives as an end. */
  readonly canReset: boolean;
  /** Begins to connect. @throws with the system's code in `code` when that fails at once. */
  connect(address: SocketAddress, waiter: AttemptWaiter): Attempt;
  /**
   * Listens, and goes on accepting when an accept fails, as for want of a file descriptor.
   *
   * @throws with the system's code in `code`.
   */
  listen(address: SocketAddress, onConn: (conn: Conn) => void): ListeningSocket;
}
