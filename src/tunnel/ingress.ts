// The listening side of one service: accepts visitors and opens a stream to the peer for each. While there is no
// link, visitors wait for a limited time: a peer that returns soon finds its port and its visitors.

import { parseAddress } from "../address.ts";
import { reasonOf } from "../errors.ts";
import type { Session } from "../mux/session.ts";
import type { Service } from "../service.ts";
import type { Conn } from "../tcp/conn.ts";
import type { Listener } from "../tcp/listener.ts";
import type { OwnListeners } from "../tcp/own_listeners.ts";
import { type ServiceConnections, TOO_MANY, type TunnelledConnection } from "./connections.ts";

/** What an ingress listens for. */
export interface IngressOptions {
  service: Pick<Service, "id" | "name" | "sourcePort" | "destinationAddr">;
  connections: ServiceConnections;
  /** Told where it listens: no tunnel leads there. */
  listeners: OwnListeners;
}

/** What becomes of visitors now. */
type State =
  /** They are carried over the link. */
  | { kind: "linked"; session: Session }
  /** They wait for a link. */
  | { kind: "waiting" }
  /** They have waited long enough: they are turned away. */
  | { kind: "absent"; reason: string };

interface Waiter {
  conn: Conn;
  connection: TunnelledConnection;
}

/** A listening service. */
export class Ingress {
  #options: IngressOptions;
  #destinationPort: number;
  #listener: Listener | undefined;
  #unlist: () => void = () => {};
  /** Gives the port's descriptor back. */
  #letPortGo: (() => void) | undefined;
  #state: State = { kind: "waiting" };
  #waiting: Waiter[] = [];
  #patience: ReturnType<typeof setTimeout> | undefined;

  private constructor(options: IngressOptions) {
    this.#options = options;
    this.#destinationPort = destinationPortOf(options);
  }

  /**
   * Listens on the source port of a service. Visitors wait until `attach`.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use, `resource_exhausted` when too many are.
   */
  static open(options: IngressOptions): Ingress {
    const ingress = new Ingress(options);
    const letPortGo = options.connections.holdPort();
    try {
      ingress.#listener = options.connections.network.listen(
        options.service.sourcePort,
        (conn) => ingress.#receive(conn),
      );
    } catch (error) {
      letPortGo();
      throw error;
    }
    ingress.#letPortGo = letPortGo;
    ingress.#unlist = options.listeners.add({ host: "", port: ingress.#listener.port });
    return ingress;
  }

  /** The port belongs to another service from now on; whoever waits is that one's visitor. */
  reassign(options: IngressOptions): void {
    this.#options = options;
    this.#destinationPort = destinationPortOf(options);
    for (const { connection } of this.#waiting) connection.fail("the service was replaced");
    const conns = this.#waiting.map(({ conn }) => conn);
    this.#waiting = [];
    for (const conn of conns) this.#receive(conn);
  }

  /** Visitors are carried over this session, those too that have waited. */
  attach(session: Session): void {
    clearTimeout(this.#patience);
    this.#state = { kind: "linked", session };
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) this.#carry(waiter);
  }

  /** There is no link: visitors wait, at most `graceMs` from now; later they are turned away for the reason. */
  detach({ graceMs, reason }: { graceMs: number; reason: string }): void {
    clearTimeout(this.#patience);
    if (this.#state.kind !== "absent") this.#state = { kind: "waiting" };
    this.#patience = setTimeout(() => {
      this.#state = { kind: "absent", reason };
      this.#dismissAll(reason);
    }, graceMs);
  }

  /** Stops listening, and turns away who waits. Open connections live on. Idempotent. */
  close(): void {
    clearTimeout(this.#patience);
    this.#state = { kind: "absent", reason: CLOSED };
    this.#dismissAll(CLOSED);
    this.#listener?.close();
    this.#unlist();
    this.#letPortGo?.();
    this.#letPortGo = undefined;
  }

  #receive(conn: Conn): void {
    const connection = this.#options.connections.admit();
    if (connection === undefined) return this.#turnAway(conn, TOO_MANY);
    const state = this.#state;
    if (state.kind === "linked") return this.#carry({ conn, connection });
    const reason = state.kind === "absent"
      ? state.reason
      : this.#options.connections.wait(connection)
      ? undefined
      : "too many visitors wait for the peer already";
    if (reason === undefined) this.#wait({ conn, connection });
    else this.#dismiss({ conn, connection }, reason);
  }

  #wait(waiter: Waiter): void {
    this.#waiting.push(waiter);
    // Whoever carries it later listens in this one's place.
    waiter.conn.onLost((reason) => {
      const place = this.#waiting.indexOf(waiter);
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      this.#dismiss(waiter, reason);
    });
  }

  #carry({ conn, connection }: Waiter): void {
    const { service, connections } = this.#options;
    if (this.#state.kind !== "linked") throw new TypeError("there is no link");
    const { remote } = conn;
    const passage = connections.passages.enterIngress({
      service: service.name,
      sourcePort: service.sourcePort,
      destinationPort: this.#destinationPort,
      visitor: remote,
    });
    try {
      const passages = passage?.count ?? 0;
      const stream = this.#state.session.open(service.id, remote, { passages });
      const carried = connection.carry({ socket: conn, stream, remote });
      if (passage === undefined) return;
      stream.onDialled((how) => passage.dialled(how));
      carried.then(() => passage.end());
    } catch (error) {
      passage?.end();
      this.#dismiss({ conn, connection }, reasonOf(error));
    }
  }

  #dismissAll(reason: string): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) this.#dismiss(waiter, reason);
  }

  #dismiss({ conn, connection }: Waiter, reason: string): void {
    connection.fail(reason);
    this.#turnAway(conn, reason);
  }

  #turnAway(conn: Conn, reason: string): void {
    const { service, connections } = this.#options;
    connections.log.warn("visitor turned away", {
      service: service.name,
      remote: conn.remote,
      reason,
    });
    conn.reset("limit", reason);
  }
}

function destinationPortOf({ service }: IngressOptions): number {
  return parseAddress(service.destinationAddr).port;
}

const CLOSED = "the service was removed";
