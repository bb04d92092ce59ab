// Maps the ids of services to their ids on the wire of one session, if these differ: an id that a peer of the reference
// dialect has seen over an earlier link cannot be used again. Users of the session see only the services' own ids.
// docs/PROTOCOL.md, "Ids on the wire".

/** Own ids and those on the wire. An id that was never renamed is the same in both. */
export class WireIds {
  readonly #wire = new Map<string, string>();
  readonly #own = new Map<string, string>();

  /** Gives a service another id on the wire. */
  rename(own: string, wire: string): void {
    this.delete(own);
    this.#wire.set(own, wire);
    this.#own.set(wire, own);
  }

  /** Whether a service has another id on the wire. */
  isRenamed(own: string): boolean {
    return this.#wire.has(own);
  }

  /** The id that is sent for a service. */
  wireOf(own: string): string {
    return this.#wire.get(own) ?? own;
  }

  /** The service that is meant by an id that was received; undefined for one that it does not have on this wire. */
  ownOf(wire: string): string | undefined {
    return this.#own.get(wire) ?? (this.#wire.has(wire) ? undefined : wire);
  }

  /** Forgets the other id of a service. */
  delete(own: string): void {
    this.#own.delete(this.wireOf(own));
    this.#wire.delete(own);
  }
}
