// A listening TCP socket for one service, on every interface, both address families.

import { createServer, type Server } from "node:net";
import { keepAccepting } from "../accepting.ts";
import { ConnectorError } from "../errors.ts";
import { Conn } from "./conn.ts";

/** Connections that may wait to be accepted. Linux cuts it to net.core.somaxconn, 4,096 by default. */
const BACKLOG = 4096;

/** Accepts connections until it is closed. */
export class Listener {
  /** The port that it listens on. */
  readonly port: number;
  readonly #servers: Server[];
  readonly #stops: (() => void)[];

  private constructor(servers: Server[], port: number) {
    this.#servers = servers;
    this.#stops = servers.map(keepAccepting);
    this.port = port;
  }

  /**
   * Listens on a port, 0 for any free one, and gives each connection to `onConn`.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use, `permission_denied` when it may not be had.
   */
  static async listen(port: number, onConn: (conn: Conn) => void): Promise<Listener> {
    try {
      const first = await listenOnAnyFamily(port, onConn);
      const servers = [first];
      const actual = portOf(first);
      // Windows keeps the families apart: "::" takes IPv6 only there.
      if (Deno.build.os === "windows") servers.push(await listenOn("0.0.0.0", actual, onConn));
      return new Listener(servers, actual);
    } catch (error) {
      throw ConnectorError.from(error, `Cannot listen on port ${port}`);
    }
  }

  /** Stops listening; accepted connections live on. Idempotent. */
  close(): void {
    for (const stop of this.#stops) stop();
    for (const server of this.#servers) server.close();
  }
}

async function listenOnAnyFamily(port: number, onConn: (conn: Conn) => void): Promise<Server> {
  try {
    return await listenOn("::", port, onConn);
  } catch (error) {
    // A machine without IPv6 has no "::"; a busy port is busy on either.
    if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") throw error;
    return await listenOn("0.0.0.0", port, onConn);
  }
}

function listenOn(host: string, port: number, onConn: (conn: Conn) => void): Promise<Server> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    onConn(Conn.accepted(socket));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off("error", reject);
      // Failures of single accepts end nothing.
      server.on("error", () => {});
      resolve(server);
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("not a TCP listener");
  return address.port;
}
