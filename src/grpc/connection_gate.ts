// Keeps out connections above the bounds at the gRPC port: how many there may be, in all and of one address, and how many
// of them may be new. A leaf of gates.ts: the table is connections.ts.
//
// Honest peers send the first message of a link at once, so new connections make room for newer ones when there are too
// many: whoever only holds connections open holds few, and keeps nobody out, from however many addresses.

import type { Socket } from "node:net";
import type { Connection, ConnectionTable, OnGateRefusal, Source } from "./connections.ts";
import { peerAddressOf } from "./socket_address.ts";

/**
 * Of the connections that there may be (2,000, or fewer with few file descriptors), the part of one address: some hundred
 * peers behind one NAT, with those of theirs that a broken path has left behind.
 */
const ADDRESS_PART = 1 / 2;
/** The last part is for addresses that have none yet. Loopback has no bound but this: a proxy may stand before us. */
const NEWCOMERS_PART = 1 / 8;
/** The part that may be new, and of that the part of one address: a herd that returns takes turns. */
const NEW_PART = 1 / 4;
const NEW_ADDRESS_PART = 1 / 8;
/** So many may be new however few there may be in all; an address that has no more gets in at the cost of any new one. */
const MIN_NEW = 8;
/**
 * A new connection makes room for a newer one when it is so old, in milliseconds: far above a handshake. Before that only
 * chance takes it, where there is a crowd.
 */
export const NEW_GRACE_MS = 2_000;

/** What the gate needs. */
export interface ConnectionGateOptions {
  /** A connection was refused: whose it was, and why. */
  onRefused: OnGateRefusal;
  /** Whether there may be so many connections at the port. */
  allows: (connections: number) => boolean;
  /** As `NEW_GRACE_MS`. */
  newGraceMs: number;
}

/** Lets connections into a table. */
export class ConnectionGate {
  readonly #table: ConnectionTable;
  readonly #options: ConnectionGateOptions;

  constructor(table: ConnectionTable, options: ConnectionGateOptions) {
    this.#table = table;
    this.#options = options;
  }

  /** Whether a connection is let in. One that is not has been ended. */
  admit(socket: Socket): boolean {
    const { remoteAddress } = socket;
    // It has gone already.
    if (remoteAddress === undefined) return end(socket);
    const source = this.#table.sourceOf(remoteAddress);
    const reason = this.#obstacle(source);
    if (reason !== undefined) {
      this.#options.onRefused(peerAddressOf(socket), { rule: "connections", reason });
      return end(socket);
    }
    this.#table.add(socket, source);
    return true;
  }

  /** Why no more connections of an address are let in now; makes room among the new ones if it can. */
  #obstacle(source: Source): string | undefined {
    const { allows } = this.#options;
    const table = this.#table;
    if (!allows(1)) return "too few files may be open to let any peer in: raise ulimit -n";
    // First what it has itself: whoever has too many costs no other a place.
    const own = source.connections + 1;
    if (!source.loopback && !allows(Math.ceil(own / ADDRESS_PART))) {
      return `its address has ${own - 1} connections already`;
    }
    const ownNew = source.newOnes.size + 1;
    const part = source.loopback ? NEW_PART * (1 - NEWCOMERS_PART) : NEW_ADDRESS_PART;
    if (
      ownNew > MIN_NEW && !allows(Math.ceil(ownNew / part)) &&
      !this.#cutIfOld(first(source.newOnes))
    ) {
      return `its address has ${ownNew - 1} connections already that are no link yet`;
    }
    // All of them, and those that can give way to nobody.
    const all = table.size + 1;
    const lasting = all - table.newOnes.size;
    const places = (count: number) =>
      source.connections === 0 ? count : Math.ceil(count / (1 - NEWCOMERS_PART));
    if (!allows(places(all)) && !(allows(places(lasting)) && this.#makeRoom(source))) {
      return `there are ${all - 1} connections of peers already`;
    }
    const allNew = table.newOnes.size + 1;
    if (allNew > 2 * MIN_NEW && !allows(Math.ceil(allNew / NEW_PART)) && !this.#makeRoom(source)) {
      return `there are ${allNew - 1} connections already that are no link yet`;
    }
    return undefined;
  }

  /**
   * Cuts a new connection for one of an address: one that has had its time, of the address that has most of them, or the
   * oldest of all. In a crowd none may be so old. Then it is any of them if the address has few: if it were the oldest,
   * nobody would get far against a quick crowd, and if it were none, nobody would get in.
   */
  #makeRoom(source: Source): boolean {
    const { newOnes } = this.#table;
    if (this.#cutIfOld(first(this.#crowd()?.newOnes)) || this.#cutIfOld(first(newOnes))) {
      return true;
    }
    if (newOnes.size === 0 || source.newOnes.size >= MIN_NEW) return false;
    const chosen = [...newOnes][Math.floor(Math.random() * newOnes.size)];
    return chosen !== undefined && this.#cut(chosen);
  }

  /** Cuts a new connection if it has had its time. Returns whether it was cut. */
  #cutIfOld(connection: Connection | undefined): boolean {
    if (connection === undefined) return false;
    if (performance.now() - connection.openedAt < this.#options.newGraceMs) return false;
    return this.#cut(connection);
  }

  /** The address with most new connections. */
  #crowd(): Source | undefined {
    let crowd: Source | undefined;
    for (const source of this.#table.sources()) {
      if (source.newOnes.size > (crowd?.newOnes.size ?? 0)) crowd = source;
    }
    return crowd;
  }

  /** Cuts a connection for a newer one. */
  #cut(connection: Connection): true {
    const reason = "newer connections need its place";
    const principal = connection.principal();
    this.#options.onRefused(connection.address, { rule: "connections", reason, principal });
    this.#table.remove(connection);
    connection.session?.destroy();
    connection.socket.destroy();
    return true;
  }
}

function first<T>(set: ReadonlySet<T> | undefined): T | undefined {
  return set?.values().next().value;
}

/** False: it is not let in. */
function end(socket: Socket): false {
  socket.on("error", () => {});
  socket.destroy();
  return false;
}
