// The dialling side: connects a stream that the peer opened to a service's destination. No tunnel leads to this
// connector's own ports, nor to addresses of the network link: what is dialled is the address that was judged.

import type { Logger } from "@logtape/logtape";
import type { Address } from "../address.ts";
import { reasonOf } from "../errors.ts";
import type { Stream } from "../mux/stream.ts";
import type { Service } from "../service.ts";
import type { Conn } from "../tcp/conn.ts";
import { Dial } from "../tcp/dial.ts";
import type { OwnListeners } from "../tcp/own_listeners.ts";
import { MAX_PASSAGES, type Passage } from "./passages.ts";
import { type ServiceVisitors, TOO_MANY, type Visit } from "./visitors.ts";

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
  visitors: ServiceVisitors;
  /** Where this connector listens itself. */
  listeners: OwnListeners;
  logger: Logger;
}

/** Dials the destination and carries the stream. A destination that cannot be reached resets it. Never rejects. */
export async function carryToDestination(stream: Stream, options: EgressOptions): Promise<void> {
  const { service: { name, sourcePort }, destination, visitors } = options;
  const visit = visitors.admit();
  if (visit === undefined) {
    visitors.log.warn("visitor turned away", { service: name, reason: TOO_MANY });
    return stream.reset("limit", TOO_MANY);
  }
  const passage = visitors.passages.enterEgress({
    service: name,
    sourcePort,
    destinationPort: destination.port,
    visitor: stream.visitor,
  }, stream);
  if (passage.count > MAX_PASSAGES) endLoop(stream, { visit, passage, options });
  else {
    const conn = await connect(stream, { visit, options });
    if (conn !== undefined) {
      const dialled = passage.watched ? { local: conn.local, passages: passage.count } : undefined;
      if (dialled !== undefined) passage.dialled(dialled);
      stream.accept(stream.passages > 0 ? dialled : undefined);
      await visit.carry({ socket: conn, stream, remote: conn.remote });
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
  { visit, options }: { visit: Visit; options: EgressOptions },
): Promise<Conn | undefined> {
  const { service: { name }, who, destination, visitors, listeners, logger } = options;
  // Whoever has left meanwhile needs no connection: dials that nobody waits for would have no bound.
  const dial = new Dial(destination, DIAL_TIMEOUT_MS, {
    refuse: (ip) => listeners.refusalOf(ip, destination.port),
    asker: visitors.holder,
  });
  stream.onLost(() => dial.cancel());
  visit.cut = () => dial.cancel();
  try {
    return await dial.conn;
  } catch (error) {
    if (dial.cancelled) {
      visit.fail(LEFT);
      logger.debug("visitor left before its destination was connected", { service: name });
      stream.reset("connection_reset", LEFT);
      return undefined;
    }
    const reason = reasonOf(error);
    visit.fail(reason);
    // Whoever may open streams may open thousands.
    const line = dial.refused ? "destination refused" : "destination cannot be reached";
    visitors.log.warn(line, { ...who, service: name, reason });
    stream.reset("refused", reason);
    return undefined;
  }
}

/** The stream is its own visitor. */
function endLoop(
  stream: Stream,
  { visit, passage, options }: { visit: Visit; passage: Passage; options: EgressOptions },
): void {
  const { service: { name }, who, visitors } = options;
  const names = [...new Set(passage.services)].map((service) => `"${service}"`).join(", ");
  const loop = `a loop: the connection has passed ${MAX_PASSAGES} services`;
  const reason = `${loop}, of which ${names}`;
  visit.fail(reason);
  visitors.log.warn("connection ended that leads back to itself", {
    ...who,
    service: name,
    reason,
  });
  // Some of them may be other peers', and the address that they were found by is only what this one says.
  stream.reset("limit", loop);
}
