// The listening side of one service: accepts visitors and opens a stream to the peer for each.

import type { Logger } from "@logtape/logtape";
import { ConnectorError, reasonOf } from "../errors.ts";
import type { Session } from "../mux/session.ts";
import type { Service } from "../service.ts";
import type { Conn } from "../tcp/conn.ts";
import { Listener } from "../tcp/listener.ts";
import type { ServiceVisitors } from "./visitors.ts";

/** What an ingress needs. */
export interface IngressOptions {
  /** The session that carries visitors now; undefined while there is none. */
  session: () => Session | undefined;
  visitors: ServiceVisitors;
  logger: Logger;
}

/** A listening service. */
export class Ingress {
  readonly #listener: Listener;

  private constructor(listener: Listener) {
    this.#listener = listener;
  }

  /**
   * Listens on the source port of a service. When that fails, its visitors are closed, too.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use.
   */
  static async open(service: Service, options: IngressOptions): Promise<Ingress> {
    try {
      const onConn = (conn: Conn) => admit(conn, service, options);
      return new Ingress(await Listener.listen(service.sourcePort, onConn));
    } catch (error) {
      options.visitors.close();
      throw error;
    }
  }

  /** Stops listening. Open connections live on. Idempotent. */
  close(): void {
    this.#listener.close();
  }
}

function admit(conn: Conn, service: Service, options: IngressOptions): void {
  const { session, visitors, logger } = options;
  try {
    const current = session();
    if (current === undefined) {
      throw new ConnectorError("unavailable", "no link to the peer");
    }
    const stream = current.open(service.id, conn.remote);
    visitors.carry(conn, stream, conn.remote);
  } catch (error) {
    const reason = reasonOf(error);
    visitors.countFailure(reason);
    logger.warn("visitor turned away", { service: service.name, remote: conn.remote, reason });
    conn.reset("limit", reason);
  }
}
