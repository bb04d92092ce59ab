// The listening side of one service: accepts visitors and opens a stream to the peer for each. While there is no
// link, visitors wait for a limited time: a peer that returns soon finds its port and its visitors.

import { reasonOf } from "../model/errors.ts";
import type { Session } from "../mux/session.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { Conn } from "../net/conn.ts";
import type { OwnListeners } from "../net/own_listeners.ts";
import type { Refusal } from "./admission.ts";
import type { ServiceConnections, TunnelledConnection } from "./service_connections.ts";

/** What an ingress listens for. */
export interface IngressOptions {
  /** Those of the service. */
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
  | { kind: "absent"; refusal: Refusal };

interface Waiter {
  conn: Conn;
  connection: TunnelledConnection;
}

/** A listening service. */
export class Ingress implements Disposable {
  #connections: ServiceConnections;
  /** The peer of the last link. */
  #peer: PeerInfo | undefined;
  /** The listener, and what is held for it. */
  #listening = new DisposableStack();
  #state: State = { kind: "waiting" };
  #waiting: Waiter[] = [];
  #patience: ReturnType<typeof setTimeout> | undefined;

  private constructor(connections: ServiceConnections) {
    this.#connections = connections;
  }

  /**
   * Listens on the source port of a service, at its addresses. Visitors wait until `attach`.
   *
   * @throws {ConnectorError} `already_exists` when the port is in use, `resource_exhausted` when too many are.
   */
  static open({ connections, listeners }: IngressOptions): Ingress {
    const ingress = new Ingress(connections);
    using listening = new DisposableStack();
    listening.use(connections.holdPort());
    const { service: { sourcePort }, listensOn } = connections;
    const { port } = listening.use(
      connections.network.listen(
        sourcePort,
        (conn) => ingress.#receive(conn),
        listensOn.length === 0 ? {} : { hosts: listensOn },
      ),
    );
    for (const host of listensOn.length === 0 ? [""] : listensOn) {
      listening.use(listeners.add({ host, port }));
    }
    ingress.#listening = listening.move();
    return ingress;
  }

  /** The port belongs to another service from now on; visitors that wait are that one's. */
  reassign(connections: ServiceConnections): void {
    this.#connections = connections;
    for (const { connection } of this.#waiting) connection.fail(REPLACED);
    const conns = this.#waiting.map(({ conn }) => conn);
    this.#waiting = [];
    for (const conn of conns) this.#receive(conn);
  }

  /** Visitors are carried over this session, those too that have waited. */
  attach(session: Session): void {
    clearTimeout(this.#patience);
    this.#state = { kind: "linked", session };
    this.#peer = session.peer;
    // Carrying one may end the link: the rest waits on, or was turned away.
    while (this.#state.kind === "linked") {
      const waiter = this.#waiting.shift();
      if (waiter === undefined) return;
      // The peer, and everything else that the decision was made on, may have changed.
      const refusal = waiter.connection.refusalOver(session.peer);
      if (refusal === undefined) this.#carry(waiter);
      else this.#dismiss(waiter, refusal);
    }
  }

  /** There is no link: visitors wait, at most `graceMs` from now; later they are turned away for the reason. */
  detach({ graceMs, reason }: { graceMs: number; reason: string }): void {
    clearTimeout(this.#patience);
    if (this.#state.kind !== "absent") this.#state = { kind: "waiting" };
    this.#patience = setTimeout(() => {
      const refusal: Refusal = { code: "no_link", reason };
      this.#state = { kind: "absent", refusal };
      this.#dismissAll(refusal);
    }, graceMs);
  }

  /** Stops listening, and turns away who waits. Open connections live on. Idempotent. */
  close(): void {
    clearTimeout(this.#patience);
    this.#state = { kind: "absent", refusal: CLOSED };
    this.#dismissAll(CLOSED);
    this.#listening.dispose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #receive(conn: Conn): void {
    const connection = this.#connections.admit({ visitor: conn.remote, peer: this.#peer });
    if (connection.refusal) return turnAway(conn, connection.refusal);
    const state = this.#state;
    if (state.kind === "linked") return this.#carry({ conn, connection });
    const refusal = state.kind === "absent" ? state.refusal : connection.wait();
    if (refusal === undefined) this.#wait({ conn, connection });
    else this.#dismiss({ conn, connection }, refusal);
  }

  #wait(waiter: Waiter): void {
    this.#waiting.push(waiter);
    // The service that carries it later listens in this one's place.
    waiter.conn.onLost((reason) => {
      const place = this.#waiting.indexOf(waiter);
      if (place < 0) return;
      this.#waiting.splice(place, 1);
      this.#dismiss(waiter, { code: "left", reason });
    });
  }

  #carry({ conn, connection }: Waiter): void {
    const { service, destination, passages } = this.#connections;
    if (this.#state.kind !== "linked") throw new TypeError("there is no link");
    const { remote } = conn;
    const passage = passages.enterIngress({
      service: service.name,
      sourcePort: service.sourcePort,
      destinationPort: destination.port,
      visitor: remote,
    });
    try {
      const count = passage?.count ?? 0;
      const stream = this.#state.session.open(service.id, remote, { passages: count });
      const carried = connection.carry({ socket: conn, stream, remote });
      if (passage === undefined) return;
      stream.onDialled((how) => passage.dialled(how));
      carried.then(() => passage[Symbol.dispose]());
    } catch (error) {
      passage?.[Symbol.dispose]();
      this.#dismiss({ conn, connection }, { code: "no_link", reason: reasonOf(error) });
    }
  }

  #dismissAll(refusal: Refusal): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) this.#dismiss(waiter, refusal);
  }

  #dismiss({ conn, connection }: Waiter, refusal: Refusal): void {
    connection.fail(refusal);
    turnAway(conn, refusal);
  }
}

function turnAway(conn: Conn, { reason }: Refusal): void {
  conn.reset("limit", reason);
}

const CLOSED: Refusal = { code: "removed", reason: "the service was removed" };
const REPLACED: Refusal = { code: "replaced", reason: "the service was replaced" };
