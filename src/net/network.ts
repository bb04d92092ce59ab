// TCP for services: listening and dialling, over one of two kinds of sockets (sockets.ts). What both kinds have in common
// is here, in dial.ts and in listener.ts: names, address families, refusals and time limits. choose_network.ts says which
// kind serves.

import type { Address } from "../model/address.ts";
import type { Conn } from "./conn.ts";
import { Dial, type DialParts } from "./dial.ts";
import { everyInterface } from "./interfaces.ts";
import { Listener } from "./listener.ts";
import type { SocketKind } from "./socket_kinds.ts";
import type { Sockets } from "./sockets.ts";

/** Listens and dials. */
export class Network {
  readonly #sockets: Sockets;

  constructor(sockets: Sockets) {
    this.#sockets = sockets;
  }

  get kind(): SocketKind {
    return this.#sockets.kind;
  }

  /** Whether `reset` of a connection arrives as a reset at the other end. If not, it arrives as an end. */
  get canReset(): boolean {
    return this.#sockets.canReset;
  }

  /**
   * Listens on a port, 0 for any free one, and gives each connection to `onConn`. Default of `hosts`: every interface.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use, `permission_denied` when it may not be had.
   */
  listen(
    port: number,
    onConn: (conn: Conn) => void,
    { hosts = everyInterface() }: { hosts?: readonly string[] } = {},
  ): Listener {
    return Listener.open(this.#sockets, { port, hosts, onConn });
  }

  /** Begins to dial an address. It may take `timeoutMs` milliseconds, which are looked at twice a second. */
  dial(address: Address, timeoutMs: number, parts: DialParts = {}): Dial {
    return Dial.start(this.#sockets, { address, timeoutMs, parts });
  }
}
