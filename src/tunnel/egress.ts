// The dialling side: connects a stream that the peer opened to a service's destination. No tunnel leads to this
// connector's own ports, nor to addresses of the network link: what is dialled is the address that was judged.

import type { Logger } from "@logtape/logtape";
import type { Address } from "../address.ts";
import { reasonOf } from "../errors.ts";
import type { Stream } from "../mux/stream.ts";
import type { Service } from "../service.ts";
import type { Conn } from "../tcp/conn.ts";
import type { OwnListeners } from "../tcp/own_listeners.ts";
import { MAX_PASSAGES, type Passage } from "./passages.ts";
import { type ServiceConnections, TOO_MANY, type TunnelledConnection } from "./connections.ts";

/** The longest that dialling a destination may take, in milliseconds. */
const DIAL_TIMEOUT_MS = 10_000;

/** Why a connection came to nothing that its destination is not to blame for. */
const LEFT = "the visitor left before the destination was connected";

/** What an egress needs to know. */
export interface EgressOptions {
  service: Pick<Service, "name" | "sourcePort">;
  /** Whose stream it is, for the log. */
  who: Record<string, unknown>;
  destination: Address;
  connections: ServiceConnections;
  /** Where this connector listens itself. */
  listeners: OwnListeners;
  logger: Logger;
}

/** Dials the destination and carries the stream. A destination that cannot be reached resets it. Never rejects. */
export async function carryToDestination(stream: Stream, options: EgressOptions): Promise<void> {
  const { service: { name, sourcePort }, destination, connections } = options;
  const connection = connections.admit();
  if (connection === undefined) {
    connections.log.warn("visitor turned away", { service: name, reason: TOO_MANY });
    return stream.reset("limit", TOO_MANY);
  }
  const passage = connections.passages.enterEgress({
    service: name,
    sourcePort,
    destinationPort: destination.port,
    visitor: stream.visitor,
  }, stream);
  if (passage.count > MAX_PASSAGES) endLoop(stream, { connection, passage, options });
  else {
    const conn = await connect(stream, { connection, options });
    if (conn !== undefined) {
      const dialled = passage.watched ? { local: conn.local, passages: passage.count } : undefined;
      if (dialled !== undefined) passage.dialled(dialled);
      stream.accept(stream.passages > 0 ? dialled : undefined);
      await connection.carry({ socket: conn, stream, remote: conn.remote });
    }
  }
  passage.end();
}

/**
 * Dials the destination; undefined when that came to nothing. A function of its own: what a dial needs would be kept as
 * long as the connection otherwise.
 */
async function connect(
  stream: Stream,
  { connection, options }: { connection: TunnelledConnection; options: EgressOptions },
): Promise<Conn | undefined> {
  const { service: { name }, who, destination, connections, listeners, logger } = options;
  // Whoever has left meanwhile needs no connection: dials that nobody waits for would have no bound.
  const dial = connections.network.dial(destination, DIAL_TIMEOUT_MS, {
    refuse: (ip) => listeners.refusalOf(ip, destination.port),
    asker: connections.holder,
  });
  stream.onLost(() => dial.cancel());
  connection.cut = () => dial.cancel();
  try {
    return await dial.conn;
  } catch (error) {
    if (dial.cancelled) {
      connection.fail(LEFT);
      logger.debug("visitor left before its destination was connected", { service: name });
      stream.reset("connection_reset", LEFT);
      return undefined;
    }
    const reason = reasonOf(error);
    connection.fail(reason);
    // Whoever may open streams may open thousands.
    const line = dial.refused ? "destination refused" : "destination cannot be reached";
    connections.log.warn(line, { ...who, service: name, reason });
    stream.reset("refused", reason);
    return undefined;
  }
}

/** The stream is its own visitor. */
function endLoop(
  stream: Stream,
  { connection, passage, options }: {
    connection: TunnelledConnection;
    passage: Passage;
    options: EgressOptions;
  },
): void {
  const { service: { name }, who, connections } = options;
  const names = [...new Set(passage.services)].map((service) => `"${service}"`).join(", ");
  const loop = `a loop: the connection has passed ${MAX_PASSAGES} services`;
  const reason = `${loop}, of which ${names}`;
  connection.fail(reason);
  connections.log.warn("connection ended that leads back to itself", {
    ...who,
    service: name,
    reason,
  });
  // Some of them may be other peers', and the address that they were found by is only what this one says.
  stream.reset("limit", loop);
}
