// A listening TCP socket for one service, on every interface, both address families.

import { ConnectorError } from "../errors.ts";
import { delay } from "../delay.ts";
import { Conn } from "./conn.ts";

/** The wait after a failed accept, in milliseconds: long enough not to spin while descriptors are short. */
const ACCEPT_RETRY_MS = 50;

/** Accepts connections until it is closed. */
export class Listener {
  /** The port that it listens on. */
  readonly port: number;
  readonly #listeners: Deno.TcpListener[];
  #closed = false;

  private constructor(listeners: Deno.TcpListener[], port: number) {
    this.#listeners = listeners;
    this.port = port;
  }

  /**
   * Listens on a port; 0 means any free one.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use, `permission_denied` when it may not be had.
   */
  static listen(port: number): Listener {
    try {
      const first = listenOnAnyFamily(port);
      const listeners = [first];
      // Windows keeps the families apart: "::" takes IPv6 only there.
      if (Deno.build.os === "windows" && first.addr.hostname === "::") {
        listeners.push(Deno.listen({ hostname: "0.0.0.0", port: first.addr.port }));
      }
      return new Listener(listeners, first.addr.port);
    } catch (error) {
      throw ConnectorError.from(error, `Cannot listen on port ${port}`);
    }
  }

  /** Gives each connection to `onConn`, until closed. Errors of single accepts are passed over. */
  async serve(onConn: (conn: Conn) => void): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => this.#accept(listener, onConn)));
  }

  /** Stops listening; accepted connections live on. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listeners) listener.close();
  }

  async #accept(listener: Deno.TcpListener, onConn: (conn: Conn) => void): Promise<void> {
    while (!this.#closed) {
      try {
        onConn(new Conn(await listener.accept()));
      } catch (error) {
        if (this.#closed) return;
        if (error instanceof TypeError) throw error;
        // A visitor that left before it was accepted, or no file descriptor left: neither ends the service.
        await delay(ACCEPT_RETRY_MS);
      }
    }
  }
}

function listenOnAnyFamily(port: number): Deno.TcpListener {
  try {
    return Deno.listen({ hostname: "::", port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) throw error;
    // A machine without IPv6 has no "::".
    return Deno.listen({ hostname: "0.0.0.0", port });
  }
}
