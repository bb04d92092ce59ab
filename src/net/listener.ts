// One port of a service, on all its addresses: a socket for each.

import { ConnectorError } from "../model/errors.ts";
import type { Conn } from "./conn.ts";
import type { Sockets } from "./sockets.ts";
import { systemCodeOf } from "./system_code.ts";

/** What the system says of "::" where there is no IPv6. */
const WITHOUT_IPV6 = ["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"];

/** Accepts connections until it is closed. `Network.listen` opens it. */
export class Listener implements Disposable {
  /** The port that it listens on. */
  readonly port: number;
  readonly #sockets: DisposableStack;

  private constructor(port: number, sockets: DisposableStack) {
    this.port = port;
    this.#sockets = sockets;
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
    using opened = new DisposableStack();
    let bound: number | undefined;
    let withoutIpv6: unknown = new TypeError("a port is listened on by an address");
    try {
      for (const address of hosts) {
        try {
          const socket = opened.use(sockets.listen({ address, port: bound ?? port }, onConn));
          bound ??= socket.port;
        } catch (error) {
          // A machine without IPv6 has no "::".
          if (address !== "::" || !WITHOUT_IPV6.includes(systemCodeOf(error))) throw error;
          withoutIpv6 = error;
        }
      }
      if (bound === undefined) throw withoutIpv6;
      return new Listener(bound, opened.move());
    } catch (error) {
      throw ConnectorError.from(error, `Cannot listen on port ${port}`);
    }
  }

  /** Stops listening; accepted connections live on. Idempotent. */
  close(): void {
    this.#sockets.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
