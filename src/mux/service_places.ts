// Counts the streams of each service on one side of a session, so that no service takes places that another one needs.
// Used for the streams that we open, and for those of peers that do not limit their services themselves.

import { Share } from "../share.ts";

/**
 * Of the streams that the other services leave, the part that one may not have: most links carry one service that
 * matters.
 */
const STREAMS_RESERVE = 1 / 8;
/** A service with fewer streams finds one as long as there is any; an eighth of all is kept for such. */
const FEW_STREAMS = 16;
/**
 * The same for opens without an answer: half, so that services whose destinations swallow everything end up with equal
 * parts, one of which is free.
 */
const OPENS_RESERVE = 1 / 2;
/** One waits for its answer while the next is on its way. */
const FEW_OPENS = 2;

/** The places of one service. */
export interface ServicePlaces {
  readonly streams: Share;
  /** Of those, the ones whose open is on its way or without an answer. */
  readonly opens: Share;
}

/** The places of all services, of one side. */
export class Places {
  /** All streams. */
  readonly streams: Share;
  /** All opens without an answer. */
  readonly opens: Share;
  readonly #services = new Map<string, ServicePlaces>();

  constructor({ streams, opens }: { streams: number; opens: number }) {
    this.streams = Share.ofAll(streams);
    this.opens = Share.ofAll(opens);
  }

  /** Takes a place for a stream of a service, and returns the service's places; undefined when it may have no more. */
  enter(serviceId: string): ServicePlaces | undefined {
    const places = this.#of(serviceId);
    if (places.streams.take()) return places;
    if (places.streams.taken === 0) this.#forget(serviceId, places);
    return undefined;
  }

  /** Counts a stream that the peer has opened, and returns whether its service may have it. */
  takeOver(serviceId: string): boolean {
    const { streams, opens } = this.#of(serviceId);
    const { full } = streams;
    streams.takeOver();
    opens.takeOver();
    return !full;
  }

  /** How many streams of each service there are. */
  get counts(): [serviceId: string, count: number][] {
    return [...this.#services].map(([id, { streams }]) => [id, streams.taken]);
  }

  /** The opens without an answer, of a service that has a stream. */
  opensOf(serviceId: string): Share {
    return this.#of(serviceId).opens;
  }

  /** A stream of a service has ended, whose open needs no answer any more. */
  leave(serviceId: string): void {
    const places = this.#of(serviceId);
    places.streams.give();
    if (places.streams.taken === 0) this.#forget(serviceId, places);
  }

  #of(serviceId: string): ServicePlaces {
    const known = this.#services.get(serviceId);
    if (known) return known;
    const places = {
      streams: this.streams.within(serviceId, { reserve: STREAMS_RESERVE, few: FEW_STREAMS }),
      opens: this.opens.within(serviceId, { reserve: OPENS_RESERVE, few: FEW_OPENS }),
    };
    this.#services.set(serviceId, places);
    return places;
  }

  #forget(serviceId: string, { streams, opens }: ServicePlaces): void {
    this.#services.delete(serviceId);
    streams.release();
    opens.release();
  }
}
