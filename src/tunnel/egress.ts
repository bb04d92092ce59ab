// The dialling side: connects a stream that the peer opened to a service's destination. It dials
// exactly the address that it asked Admission about.

import type { Address, ResolveDestination } from "../model/address.ts";
import { reasonOf } from "../model/errors.ts";
import type { Stream } from "../mux/stream.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { Conn } from "../net/conn.ts";
import { type Refusal, resetOf } from "./admission.ts";
import { MAX_PASSAGES, type Passage } from "./passages.ts";
import type { ServiceConnections, TunnelledConnection } from "./service_connections.ts";

/** The longest that dialling a destination may take, in milliseconds. */
const DIAL_TIMEOUT_MS = 10_000;

/** Why a connection came to nothing that its destination is not to blame for. */
const LEFT = "the visitor left before the destination was connected";

/** What an egress needs to know. */
export interface EgressOptions {
  /** Those of the stream's service. */
  connections: ServiceConnections;
  /** Whose stream it is. */
  peer: PeerInfo;
}

/** Dials the destination and carries the stream. A destination that cannot be reached resets it. Never rejects. */
export async function carryToDestination(
  stream: Stream,
  { connections, peer }: EgressOptions,
): Promise<void> {
  const connection = connections.admit({ visitor: stream.visitor, peer });
  if (connection.refusal) return stream.reset(...resetOf(connection.refusal));
  const { service: { name, sourcePort }, resolve } = connections;
  const found = resolve && await find(stream, { connection, connections, resolve });
  if (resolve && found === undefined) return;
  const destination = found ?? connections.destination;
  const passage = connections.passages.enterEgress({
    service: name,
    sourcePort,
    destinationPort: destination.port,
    visitor: stream.visitor,
  }, stream);
  if (passage.count > MAX_PASSAGES) {
    const refusal = loopOf(passage);
    connection.fail(refusal);
    stream.reset(...resetOf(refusal));
  } else {
    const conn = await connect(stream, { connection, connections, found });
    if (conn !== undefined) {
      const dialled = passage.watched ? { local: conn.local, passages: passage.count } : undefined;
      if (dialled !== undefined) passage.dialled(dialled);
      stream.accept(stream.passages > 0 ? dialled : undefined);
      await connection.carry({ socket: conn, stream, remote: conn.remote });
    }
  }
  // Not by `using`: that takes memory for as long as the connection is open.
  passage[Symbol.dispose]();
}

/**
 * Dials the destination; undefined when that came to nothing. A function of its own: what a dial needs would be kept as
 * long as the connection otherwise.
 */
async function connect(
  stream: Stream,
  { connection, connections, found }: {
    connection: TunnelledConnection;
    connections: ServiceConnections;
    /** Where the destination was found, if its port has a name. */
    found: Address | undefined;
  },
): Promise<Conn | undefined> {
  let refusal: Refusal | undefined;
  const began = performance.now();
  // A visitor that has left needs no connection: dials that nobody waits for would have no bound.
  const dial = connections.network.dial(found ?? connections.destination, DIAL_TIMEOUT_MS, {
    refuse: (ip) => {
      const refused = connection.refusalOf(ip, found?.port);
      refusal ??= refused;
      return refused?.reason;
    },
    asker: connections.shareKey,
  });
  stream.onLost(() => dial.abort());
  connection.cut = () => dial.abort();
  try {
    const conn = await dial.conn;
    connections.dials.connected.observe((performance.now() - began) / 1000);
    if (refusal !== undefined) connection.passOver(refusal);
    return conn;
  } catch (error) {
    if (dial.aborted) {
      connection.fail({ code: "left", reason: LEFT });
      stream.reset("connection_reset", LEFT);
      return undefined;
    }
    // What was not allowed was not dialled.
    if (!dial.refused) connections.dials.failed.observe((performance.now() - began) / 1000);
    const reason = reasonOf(error);
    const failure: Refusal = dial.refused && refusal
      ? { ...refusal, reason }
      : { code: "unreachable", reason };
    connection.fail(failure);
    stream.reset(...resetOf(failure));
    return undefined;
  }
}

/** Finds the destination with the scheduler; undefined when that came to nothing. */
async function find(
  stream: Stream,
  { connection, connections, resolve }: {
    connection: TunnelledConnection;
    connections: ServiceConnections;
    resolve: ResolveDestination;
  },
): Promise<Address | undefined> {
  const left = new AbortController();
  stream.onLost(() => left.abort());
  connection.cut = () => left.abort();
  const timeout = AbortSignal.timeout(DIAL_TIMEOUT_MS);
  let failure: Refusal = { code: "left", reason: LEFT };
  try {
    const signal = AbortSignal.any([left.signal, timeout]);
    const found = await resolve(connections.destination, { signal });
    if (!left.signal.aborted) return found;
  } catch (error) {
    if (!left.signal.aborted) failure = { code: "unreachable", reason: reasonOf(error) };
  }
  connection.fail(failure);
  if (failure.code === "left") stream.reset("connection_reset", LEFT);
  else stream.reset(...resetOf(failure));
  return undefined;
}

/** The stream is its own visitor. */
function loopOf(passage: Passage): Refusal {
  const names = [...new Set(passage.services)].map((service) => `"${service}"`).join(", ");
  const told = `a loop: the connection has passed ${MAX_PASSAGES} services`;
  // Some of them may be other peers', and the address that they were found by is only what this one says.
  return { code: "loop", reason: `${told}, of which ${names}`, told };
}
