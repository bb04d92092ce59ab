// What happens in a connector, as typed events: changes of services, links and connections. The log
// and the state file subscribe; metrics, integrations and pages can. Nothing here knows who
// publishes or who subscribes.

import type { Address } from "./address.ts";
import { reasonOf } from "./errors.ts";
import type { PeerInfo } from "./peer_identity.ts";
import type { Service, ServiceStatus, Side } from "./service.ts";

/**
 * What has removed a service: the user of this connector, another configuration file, its peer, the policy, another service
 * in its place, or its link, which was lost for too long or will not come back.
 */
export type Remover = "user" | "configuration" | "peer" | "policy" | "replaced" | "link";

/** A service, of ours or of a peer, was taken up, has another status, or was removed. Not published when all end with the process. */
export type ServiceEvent =
  & {
    kind: "service";
    /** Who exposed it: the user of this connector, to a peer that we dial, or a peer, on this one. */
    origin: "own" | "peer";
    service: Service;
    /** Which side of it is here. */
    side: Side;
    /** The other side: as it is dialled, or who exposed it. */
    peer: PeerInfo;
  }
  & (
    /** `restored`: by an earlier run. It is kept already. `rule`: what allows it. */
    | { change: "exposed"; restored: boolean; rule: string | undefined }
    /** A peer has exposed it over another link than before. */
    | { change: "moved"; rule: string | undefined }
    | {
      change: "status";
      status: ServiceStatus;
      /** Why it is in error or pending, in words. */
      message: string | undefined;
      since: Date;
      /** Its peer's link is lost, and its port is kept so long for it, in milliseconds. Else absent. */
      graceMs?: number;
    }
    /** A peer has asked for its service over another link, over which it is carried from now on; its status is the same. */
    | { change: "relinked" }
    | { change: "removed"; by: Remover }
  );

/** A link to a peer. */
export type LinkEvent =
  & {
    kind: "link";
    /** Who dialled: this connector (`outbound`) or the peer. */
    direction: "outbound" | "inbound";
    peer: PeerInfo;
  }
  & (
    | { change: "up"; dialect?: string | undefined }
    /** It is lost: its connections wait until another one follows, over which they go on. */
    | { change: "suspended"; reason: string; connections: number }
    /** Another one has followed, after so many milliseconds, and nothing was lost. `peer` is where it comes from. */
    | { change: "resumed"; afterMs: number; connections: number }
    /** It takes no more streams; those that are open go on. */
    | { change: "leaving"; reason: string }
    /** It has ended. `reason` is empty when that was in order. */
    | { change: "down"; reason: string }
  );

/** What is known of a tunnelled connection. */
export interface ConnectionFacts {
  service: Pick<Service, "id" | "name">;
  side: Side;
  /** host:port of the visitor; empty where the peer does not tell. */
  visitor: string;
  /** The connector at the other end of the link; undefined before there is a link. */
  peer: PeerInfo | undefined;
  /** The service's destination, as it was exposed. */
  destination: Address;
}

/** A connection is carried, or no longer. */
export type ConnectionEvent =
  & ConnectionFacts
  & {
    kind: "connection";
    /** host:port of the other end of the socket here: the visitor, or the destination as it was dialled. */
    remote: string;
  }
  & (
    | { change: "opened" }
    | {
      change: "closed";
      /** Bytes from the visitor to the destination. */
      bytesIn: number;
      /** Bytes from the destination to the visitor. */
      bytesOut: number;
      durationMs: number;
      /** Why, in words; empty when both sides had finished. */
      reason: string;
    }
  );

/** Why a connection was never carried. Few and fixed: a label of metrics. */
export const REFUSAL_CODES = [
  "disabled", // this connector does not do that at all
  "draining", // it is shutting down
  "limit", // too many connections are open
  "waiting", // too many visitors wait for a link
  "address", // no tunnel leads to this destination
  "policy", // the policy file does not allow it
  "loop", // the connection leads back to itself
  "no_link", // there was no link for too long, or it took no more streams
  "unreachable", // the destination did not answer, or refused
  "left", // the visitor left before
  "removed", // the service was removed before
  "replaced", // another service has its port now, and the visitor is that one's
] as const;

/** One of them. */
export type RefusalCode = typeof REFUSAL_CODES[number];

/** A connection was refused, or came to nothing before it was carried. */
export type RefusalEvent = ConnectionFacts & {
  kind: "refusal";
  code: RefusalCode;
  /** What refused it: the code, or the rule of the policy. */
  rule: string;
  /** In words. */
  reason: string;
  /**
   * What was refused: a connection that is not carried, one that was carried until then, or no more than one of the addresses
   * of its destination, while another one was dialled.
   */
  refused: "connection" | "carried" | "address";
};

/** What can be published. */
export type ConnectorEvent = ServiceEvent | LinkEvent | ConnectionEvent | RefusalEvent;
/** What one can subscribe to. */
export type EventKind = ConnectorEvent["kind"];
/** Events that a subscriber was too slow for. A subscriber that needs the whole state reads it anew. */
export interface LostEvents {
  kind: "lost";
  count: number;
}
/** What a subscriber of these kinds is given. */
export type EventOf<K extends EventKind> = Extract<ConnectorEvent, { kind: K }> | LostEvents;

/**
 * Takes one event. It must return soon: it shares the thread with every connection. For what takes time it returns a
 * promise, and is given the next event once that has settled.
 */
export type Receive<K extends EventKind> = (event: EventOf<K>) => void | Promise<void>;

/** How to subscribe. */
export interface SubscribeOptions<K extends EventKind> {
  kinds: readonly K[];
  /** The most events that wait for the subscriber. */
  capacity: number;
}

/** A subscription, until it is disposed. */
export interface Subscription extends Disposable {
  /** Delivers what waits now, unless the subscriber is busy with an event. Disposing does that, too. */
  flush(): void;
}

/** Events that a subscriber is given in one turn of the event loop: the rest waits for connections to have theirs. */
const PER_TURN = 100;

/**
 * The events of one connector. Publishing never waits: each subscriber has a queue of its own, and gets its events
 * in order in a later turn. When its queue is full, new events are dropped until it has taken all that waited; then it
 * gets one `lost` event that says how many.
 */
export class EventStream {
  readonly #queues: Record<EventKind, Queue[]> = {
    service: [],
    link: [],
    connection: [],
    refusal: [],
  };
  readonly #onFailure: (subscriber: string, reason: string) => void;

  /** `onFailure` is told when a subscriber throws or rejects for the first time; it gets the events that follow. */
  constructor(onFailure: (subscriber: string, reason: string) => void) {
    this.#onFailure = onFailure;
  }

  /** Whether anybody is given such events: if not, they need not be made. */
  wants(kind: EventKind): boolean {
    return this.#queues[kind].length > 0;
  }

  /** Tells every subscriber, later. Never throws. */
  publish(event: ConnectorEvent): void {
    for (const queue of this.#queues[event.kind]) queue.offer(event);
  }

  /** Begins to give events to a subscriber. `name` is what it is called in the log. */
  subscribe<K extends EventKind>(
    name: string,
    { kinds, capacity }: SubscribeOptions<K>,
    receive: Receive<K>,
  ): Subscription {
    const queue: Queue = new Queue({
      capacity,
      // It is offered events of these kinds only.
      receive: (event) => receive(event as EventOf<K>),
      onFailure: (error) => this.#onFailure(name, reasonOf(error)),
      onEnd: () => {
        for (const kind of kinds) {
          this.#queues[kind] = this.#queues[kind].filter((each) => each !== queue);
        }
      },
    });
    // Anew each time: one may come or go while another is told.
    for (const kind of kinds) this.#queues[kind] = [...this.#queues[kind], queue];
    return queue;
  }
}

interface QueueOptions {
  capacity: number;
  receive: Receive<EventKind>;
  onFailure: (error: unknown) => void;
  onEnd: () => void;
}

/** What waits for one subscriber. */
class Queue implements Subscription {
  readonly #options: QueueOptions;
  /** Events that wait, and before `#at` some that do no longer: to move all for each would take a long queue long. */
  readonly #events: (ConnectorEvent | undefined)[] = [];
  #at = 0;
  /** Events that were dropped since the last one that waits. */
  #lost = 0;
  /** Whether a delivery is due in a turn to come. */
  #due = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Whether the subscriber has not settled the last event. */
  #busy = false;
  #failed = false;
  #ended = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  offer(event: ConnectorEvent): void {
    const full = this.#events.length - this.#at >= this.#options.capacity;
    if (full || this.#lost > 0) this.#lost += 1;
    else this.#events.push(event);
    if (this.#due || this.#busy) return;
    this.#due = true;
    queueMicrotask(() => this.#deliver());
  }

  flush(): void {
    for (let event = this.#next(); event !== undefined; event = this.#next()) this.#give(event);
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#options.onEnd();
    this.flush();
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  #deliver(): void {
    this.#due = false;
    for (let left = PER_TURN; left > 0; left -= 1) {
      const event = this.#next();
      if (event === undefined) return;
      this.#give(event);
    }
    this.#due = true;
    this.#timer = setTimeout(() => this.#deliver(), 0);
  }

  /** What is to be given now, if anything is. */
  #next(): EventOf<EventKind> | undefined {
    if (this.#busy || this.#ended) return undefined;
    const event = this.#events[this.#at];
    if (event !== undefined) {
      this.#events[this.#at] = undefined;
      this.#at += 1;
      if (2 * this.#at >= this.#events.length) {
        this.#events.splice(0, this.#at);
        this.#at = 0;
      }
      return event;
    }
    if (this.#lost === 0) return undefined;
    const count = this.#lost;
    this.#lost = 0;
    return { kind: "lost", count };
  }

  #give(event: EventOf<EventKind>): void {
    try {
      const settled = this.#options.receive(event);
      if (settled === undefined) return;
      this.#busy = true;
      settled.catch((error) => this.#fail(error)).then(() => {
        this.#busy = false;
        if (!this.#due) this.#deliver();
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#options.onFailure(error);
  }
}
