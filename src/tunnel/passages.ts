// Finds connections that come back to this connector: a service whose destination is the port of another one, which leads
// here again. An egress knows the address that it dialled from, and each stream brings the address of its visitor: where the
// two are the same, the stream carries on what was dialled. Not for what a relay has passed on, from an address of its own.

/** A connection may be here so many times at once: no set-up that anybody wants comes near. */
export const MAX_PASSAGES = 16;
/**
 * A stream that carries on what was dialled comes soon after, in milliseconds: its visitor may have waited for its turn.
 * Addresses of this machine and of another one may be the same by chance; of few that are new that is rare, and of sixteen
 * in a row it does not happen.
 */
const SOON_MS = 15_000;

/** What an egress knows of a stream. */
export interface PassageOptions {
  /** The name of its service. */
  service: string;
  /** Where its service is listened for, and where its destination is. */
  sourcePort: number;
  destinationPort: number;
  /** host:port of its visitor, or empty where the dialect does not tell. */
  visitor: string;
}

/** A stream whose destination is dialled here, until `end`. */
export interface Passage {
  /** The services that the connection has come through, this one last: as many as times that it is here. */
  readonly services: string[];
  /** The destination is connected; `local` asks for the host:port that it was dialled from. */
  connected(local: () => string): void;
  /** It is over. Idempotent. */
  end(): void;
}

/** The streams whose destinations are dialled by one connector. */
export class Passages {
  /** How many streams there are of services that are listened for on a port. */
  readonly #ports = new Map<number, number>();
  /** By the address that was dialled from. */
  readonly #dialled = new Map<string, Leg>();
  /** By the visitor's address, of those whose former leg is not known. */
  readonly #arrived = new Map<string, Leg>();

  /** A stream has come. */
  enter(options: PassageOptions): Passage {
    const { sourcePort, destinationPort, visitor } = options;
    this.#ports.set(sourcePort, (this.#ports.get(sourcePort) ?? 0) + 1);
    const leg = new Leg(options, this);
    // Few destinations are a port that peers listen on: all others cost no more than this.
    if (!this.#ports.has(destinationPort) || visitor === "") return leg;
    leg.watched = true;
    const former = this.#dialled.get(visitor);
    if (former && isContinuedBy(former, leg)) leg.follow(former);
    else this.#arrived.set(visitor, leg);
    return leg;
  }

  /** For legs only. A stream may be here before the end of its dial is known. */
  connected(leg: Leg, local: string): void {
    this.#dialled.set(local, leg);
    const next = this.#arrived.get(local);
    if (next === undefined || !isContinuedBy(leg, next)) return;
    this.#arrived.delete(local);
    next.follow(leg);
  }

  /** For legs only. */
  forget(leg: Leg): void {
    const { options: { sourcePort, visitor }, local } = leg;
    const left = (this.#ports.get(sourcePort) ?? 0) - 1;
    if (left > 0) this.#ports.set(sourcePort, left);
    else this.#ports.delete(sourcePort);
    if (this.#arrived.get(visitor) === leg) this.#arrived.delete(visitor);
    if (this.#dialled.get(local) === leg) this.#dialled.delete(local);
  }
}

/** One stream among those that make up a connection. */
class Leg implements Passage {
  readonly options: PassageOptions;
  /** Whether it may be part of a loop. */
  watched = false;
  /** Where its destination was dialled from; empty until then. */
  local = "";
  /** Whether another one is known to carry it on. */
  continued = false;
  /** When it was last heard of. */
  at = performance.now();
  readonly #passages: Passages;
  #former: Leg | undefined;
  #ended = false;

  constructor(options: PassageOptions, passages: Passages) {
    this.options = options;
    this.#passages = passages;
  }

  get services(): string[] {
    const services = [this.options.service];
    for (let leg = this.#former; leg && services.length <= MAX_PASSAGES; leg = leg.#former) {
      services.unshift(leg.options.service);
    }
    return services;
  }

  follow(former: Leg): void {
    former.continued = true;
    this.#former = former;
  }

  connected(local: () => string): void {
    if (!this.watched || this.#ended) return;
    this.at = performance.now();
    this.local = local();
    this.#passages.connected(this, this.local);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#former = undefined;
    this.#passages.forget(this);
  }
}

function isContinuedBy(former: Leg, next: Leg): boolean {
  return former !== next && !former.continued &&
    former.options.destinationPort === next.options.sourcePort &&
    Math.abs(next.at - former.at) < SOON_MS;
}
