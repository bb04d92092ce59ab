// A listening TCP socket for one service, on every interface, both address families.

import { keepAccepting } from "../accepting.ts";
import { ConnectorError } from "../errors.ts";
import { Conn } from "./conn.ts";
import {
  newListener,
  newSocket,
  type SocketAddress,
  SystemError,
  type TcpHandle,
} from "./handle.ts";
import { everyInterface } from "./interfaces.ts";

/** Connections that may wait to be accepted. Linux cuts it to net.core.somaxconn, 4,096 by default. */
const BACKLOG = 4096;

/** What the system says of "::" where there is no IPv6. */
const WITHOUT_IPV6 = ["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"];

/** Accepts connections until it is closed. */
export class Listener {
  /** The port that it listens on. */
  readonly port: number;
  readonly #handles: TcpHandle[];
  readonly #stops: (() => void)[];
  #closed = false;

  private constructor(handles: TcpHandle[], port: number) {
    this.#handles = handles;
    this.#stops = handles.map((handle) => keepAccepting(() => handle));
    this.port = port;
  }

  /**
   * Listens on a port, 0 for any free one, and gives each connection to `onConn`.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use, `permission_denied` when it may not be had.
   */
  static listen(port: number, onConn: (conn: Conn) => void): Listener {
    const handles: TcpHandle[] = [];
    try {
      for (const address of everyInterface()) {
        const handle = listenIfThere(address, handles[0] ? portOf(handles[0]) : port, onConn);
        if (handle) handles.push(handle);
      }
      return new Listener(handles, portOf(handles[0]));
    } catch (error) {
      for (const handle of handles) handle.close();
      throw ConnectorError.from(error, `Cannot listen on port ${port}`);
    }
  }

  /** Stops listening; accepted connections live on. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stops) stop();
    for (const handle of this.#handles) handle.close();
  }
}

/** Undefined on a machine without IPv6, which has no "::". */
function listenIfThere(
  address: string,
  port: number,
  onConn: (conn: Conn) => void,
): TcpHandle | undefined {
  try {
    return listenOn(address, port, onConn);
  } catch (error) {
    const without = error instanceof SystemError && WITHOUT_IPV6.includes(error.code);
    if (address === "::" && without) return undefined;
    throw error;
  }
}

function listenOn(address: string, port: number, onConn: (conn: Conn) => void): TcpHandle {
  const listener = newListener();
  try {
    check(address === "::" ? listener.bind6(address, port, 0) : listener.bind(address, port));
    listener.onconnection = (status) => {
      if (status !== 0) return;
      const socket = newSocket();
      // It may be gone again, or no descriptor be left for it: that ends nothing.
      if (listener.accept(socket) === 0) onConn(Conn.over(socket));
      else socket.close();
    };
    check(listener.listen(BACKLOG));
    return listener;
  } catch (error) {
    listener.close();
    throw error;
  }
}

function check(status: number): void {
  if (status !== 0) throw new SystemError(status);
}

function portOf(listener: TcpHandle | undefined): number {
  const local: Partial<SocketAddress> = {};
  listener?.getsockname(local);
  if (local.port === undefined) throw new TypeError("a listener has a port");
  return local.port;
}
