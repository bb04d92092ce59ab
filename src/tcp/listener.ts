// One port of a service, on every address that it is to be had by: a socket for each.

import { ConnectorError } from "../errors.ts";
import type { Conn } from "./conn.ts";
import type { ListeningSocket, Sockets } from "./sockets.ts";
import { systemCodeOf } from "./system_code.ts";

/** What the system says of "::" where there is no IPv6. */
const WITHOUT_IPV6 = ["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"];

/** Accepts connections until it is closed. `Network.listen` opens it. */
export class Listener implements Disposable {
  /** The port that it listens on. */
  readonly port: number;
  readonly #sockets: readonly ListeningSocket[];
  #closed = false;

  private constructor(first: ListeningSocket, others: readonly ListeningSocket[]) {
    this.port = first.port;
    this.#sockets = [first, ...others];
  }

  /** @throws {ConnectorError} `already_exists`, `permission_denied` or what else keeps it from listening. */
  static open(
    sockets: Sockets,
    { port, hosts, onConn }: {
      port: number;
      hosts: readonly string[];
      onConn: (conn: Conn) => void;
    },
  ): Listener {
    const opened: ListeningSocket[] = [];
    let withoutIpv6: unknown = new TypeError("a port is listened on by an address");
    try {
      for (const address of hosts) {
        try {
          opened.push(sockets.listen({ address, port: opened[0]?.port ?? port }, onConn));
        } catch (error) {
          // A machine without IPv6 has no "::".
          if (address !== "::" || !WITHOUT_IPV6.includes(systemCodeOf(error))) throw error;
          withoutIpv6 = error;
        }
      }
      const [first, ...others] = opened;
      if (first === undefined) throw withoutIpv6;
      return new Listener(first, others);
    } catch (error) {
      for (const socket of opened) socket.close();
      throw ConnectorError.from(error, `Cannot listen on port ${port}`);
    }
  }

  /** Stops listening; accepted connections live on. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const socket of this.#sockets) socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
