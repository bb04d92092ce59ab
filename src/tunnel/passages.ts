// Detects loops: services whose destinations are each other's ports, so that one visitor becomes thousands of
// connections. An egress knows the address that it dialled from, and tells it to an ingress that needs it. Each stream
// has the address of its visitor: if the two are equal, the stream continues the dialled connection. Does not detect
// connections through a relay, which have the relay's address.

import type { Dialled } from "../wire/native_frame.ts";

/** A connection may pass so many services: no set-up that anybody wants comes near. */
export const MAX_PASSAGES = 16;
/**
 * A stream that carries on what was dialled comes soon after, in milliseconds: its visitor may have waited for its turn.
 * Addresses of this machine and of another one may be the same by chance; of few that are new that is rare, and of sixteen
 * in a row it does not happen.
 */
const SOON_MS = 15_000;

/** A service's part of a connection. */
export interface PassageOptions {
  /** The name of the service. */
  service: string;
  /** Where the service is listened for, and where its destination is. */
  sourcePort: number;
  destinationPort: number;
  /** host:port of the visitor, or empty where the dialect does not tell. */
  visitor: string;
}

/** A connection that passes a service, until it is disposed. */
export interface Passage extends Disposable {
  /** How many services it is known to have passed, this one included. */
  readonly count: number;
  /** The last of them that are known here. */
  readonly services: string[];
  /** Whether its destination is of interest: `dialled` is to be called. */
  readonly watched: boolean;
  /** The destination is connected. */
  dialled(how: Dialled): void;
}

/** The connections that pass one connector. */
export class Passages {
  /** How many connections there are, dialled here, of services that are listened for on a port. */
  readonly #ports = new Map<number, number>();
  /** By the address that was dialled from, here or at a peer. */
  readonly #dialled = new Map<string, Leg>();
  /** By the visitor's address, of those dialled here that may carry on what is not known yet. */
  readonly #arrived = new Map<string, Leg>();

  /** A stream has come whose destination is dialled here. `passages` is what the peer knows of it, 0 if it does not ask. */
  enterEgress(options: PassageOptions, { passages }: { passages: number }): Passage {
    const { sourcePort, destinationPort, visitor } = options;
    this.#ports.set(sourcePort, (this.#ports.get(sourcePort) ?? 0) + 1);
    // Few destinations are a port that peers listen on: all others cost no more than this.
    const watched = passages > 0 || this.#ports.has(destinationPort) && visitor !== "";
    if (!watched && !this.#dialled.has(visitor)) {
      return new Unwatched(options.service, () => this.#leavePort(sourcePort));
    }
    const leg = new Leg(options, this, { side: "egress", watched });
    leg.raise(passages);
    if (this.#findFormer(leg) || !leg.watched) return leg;
    this.#arrived.set(visitor, leg);
    return leg;
  }

  /** A visitor has come, whose destination a peer dials; undefined unless that may lead here. */
  enterIngress(options: PassageOptions): Passage | undefined {
    if (!this.#ports.has(options.destinationPort)) return undefined;
    const leg = new Leg(options, this, { side: "ingress", watched: true });
    this.#findFormer(leg);
    return leg;
  }

  /** For legs only. A stream may be here before it is known how it was dialled. */
  dialled(leg: Leg): void {
    this.#dialled.set(leg.local, leg);
    const next = this.#arrived.get(leg.local);
    if (next === undefined || !isContinuedBy(leg, next)) return;
    this.#arrived.delete(leg.local);
    next.follow(leg);
  }

  /** For legs only. */
  leave(leg: Leg): void {
    const { side, local, options: { sourcePort, visitor } } = leg;
    if (this.#dialled.get(local) === leg) this.#dialled.delete(local);
    if (side === "ingress") return;
    if (this.#arrived.get(visitor) === leg) this.#arrived.delete(visitor);
    this.#leavePort(sourcePort);
  }

  #leavePort(sourcePort: number): void {
    const left = (this.#ports.get(sourcePort) ?? 0) - 1;
    if (left > 0) this.#ports.set(sourcePort, left);
    else this.#ports.delete(sourcePort);
  }

  #findFormer(leg: Leg): boolean {
    const former = this.#dialled.get(leg.options.visitor);
    if (former === undefined || !isContinuedBy(former, leg)) return false;
    leg.follow(former);
    return true;
  }
}

/** The part of a connection that comes from nowhere and leads nowhere that is known: as nearly all do. */
class Unwatched implements Passage {
  readonly #service: string;
  #leave: (() => void) | undefined;

  constructor(service: string, leave: () => void) {
    this.#service = service;
    this.#leave = leave;
  }

  get count(): number {
    return 1;
  }

  get services(): string[] {
    return [this.#service];
  }

  get watched(): boolean {
    return false;
  }

  dialled(): void {}

  [Symbol.dispose](): void {
    this.#leave?.();
    this.#leave = undefined;
  }
}

/** One service's part of a connection. */
class Leg implements Passage {
  readonly options: PassageOptions;
  readonly side: "ingress" | "egress";
  readonly watched: boolean;
  count = 1;
  /** Where its destination was dialled from; empty until that is known. */
  local = "";
  /** Whether another one is known to carry it on. */
  continued = false;
  /** When it was last heard of. */
  at = performance.now();
  readonly #passages: Passages;
  #former: Leg | undefined;
  #ended = false;

  constructor(
    options: PassageOptions,
    passages: Passages,
    { side, watched }: { side: "ingress" | "egress"; watched: boolean },
  ) {
    this.options = options;
    this.#passages = passages;
    this.side = side;
    this.watched = watched;
  }

  get services(): string[] {
    const services = [this.options.service];
    for (let leg = this.#former; leg && services.length <= MAX_PASSAGES; leg = leg.#former) {
      services.unshift(leg.options.service);
    }
    return services;
  }

  /** It has passed so many at least. A peer may say any number: beyond the bound they are all the same. */
  raise(count: number): void {
    this.count = Math.min(Math.max(this.count, count), MAX_PASSAGES + 1);
  }

  follow(former: Leg): void {
    former.continued = true;
    this.#former = former;
    this.raise(former.count + 1);
  }

  dialled({ local, passages }: Dialled): void {
    if (this.#ended || this.local !== "") return;
    this.at = performance.now();
    this.local = local;
    this.raise(passages);
    this.#passages.dialled(this);
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#former = undefined;
    this.#passages.leave(this);
  }
}

function isContinuedBy(former: Leg, next: Leg): boolean {
  return former !== next && !former.continued &&
    former.options.destinationPort === next.options.sourcePort &&
    Math.abs(next.at - former.at) < SOON_MS;
}
