// One port of a service, on all its addresses: a socket for each.

import { ConnectorError } from "../model/errors.ts";
import type { Conn } from "./conn.ts";
import type { Sockets } from "./sockets.ts";
import { systemCodeOf } from "./system_code.ts";

/** What the system says of "::" where there is no IPv6. */
const WITHOUT_IPV6 = ["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"];
/** What it says of an address that no interface has. */
const NOT_OURS = ["EADDRNOTAVAIL", "EINVAL"];

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
          const code = systemCodeOf(error);
          // A machine without IPv6 has no "::".
          if (address === "::" && WITHOUT_IPV6.includes(code)) withoutIpv6 = error;
          // It may be there later, as that of a VPN.
          else if (NOT_OURS.includes(code)) throw notHere(address);
          else throw error;
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

function notHere(address: string): ConnectorError {
  return new ConnectorError(
    "unavailable",
    `no interface of this machine has the address ${address}`,
  );
}
