// A path between two ends that send all they may, on a clock that only the simulation moves: so many bytes a millisecond, a
// delay, a queue without bounds. It tells how long what is sent waits, and what is carried. For the arithmetic of windows.

import { LinkWindow } from "../../src/mux/native/link_window.ts";

/** One direction. */
export interface Way {
  /** Bytes a millisecond at a time; 0 while the path carries nothing. */
  rate: (now: number) => number;
  /** How long each byte takes besides at a time, in milliseconds. */
  delayMs: (now: number) => number;
  /** Whether the end that sends has bulk to send at a time. */
  busy: (now: number) => boolean;
  /** It has no window, as an older connector: so many bytes are under way. */
  unbounded?: number;
}

/** What one direction was like at a time. */
export interface Sample {
  now: number;
  /** How long the path's queue was, in milliseconds. */
  queueMs: number;
  /** Bytes of the window. */
  size: number;
  /** Bytes that have arrived so far. */
  carried: number;
}

interface Parcel {
  bytes: number;
  ping?: number;
  pong?: number;
}

/** One end, and the way from it. */
class End {
  readonly window = new LinkWindow();
  readonly way: Way;
  peer: End | undefined;
  carried = 0;
  /** Bytes that have left this end and are not through the narrow part. */
  queued: Parcel[] = [];
  #head = 0;
  #travelling: { due: number; parcel: Parcel }[] = [];

  constructor(way: Way) {
    this.way = way;
  }

  get queuedBytes(): number {
    return this.queued.reduce((sum, { bytes }) => sum + bytes, 0) - this.#head;
  }

  ping(now: number): void {
    const ping = this.window.mark(now);
    this.#send({ bytes: 20, ping });
  }

  pump(now: number): void {
    const { window, way } = this;
    if (way.busy(now)) {
      if (way.unbounded !== undefined) {
        while (this.queuedBytes < way.unbounded) this.#send({ bytes: 16_384 });
        return;
      }
      while (window.room > 0) {
        const bytes = Math.min(window.room + 40, Math.max(2048, window.size / 4 | 0));
        const parcel: Parcel = { bytes };
        this.#send(parcel);
        if (window.wantsMark) parcel.ping = window.mark(now);
      }
      window.limit();
    }
    if (window.wantsMark) {
      this.ping(now);
      // The end of a pause leaves room.
      if (window.room > 0) this.pump(now);
    }
  }

  step(now: number, ms: number): void {
    let budget = this.way.rate(now) * ms;
    while (budget > 0) {
      const [parcel] = this.queued;
      if (parcel === undefined) break;
      const left = parcel.bytes - this.#head;
      if (left > budget) {
        this.#head += budget;
        break;
      }
      budget -= left;
      this.#head = 0;
      this.queued.shift();
      this.#travelling.push({ due: now + this.way.delayMs(now), parcel });
    }
    while ((this.#travelling[0]?.due ?? Infinity) <= now) {
      const parcel = this.#travelling.shift()?.parcel;
      if (parcel === undefined) break;
      this.carried += parcel.bytes;
      if (parcel.pong !== undefined) this.peer?.window.answer(parcel.pong, now);
      else if (this.peer) this.peer.#take(parcel, now);
      if (parcel.pong !== undefined) this.peer?.pump(now);
    }
  }

  #take({ ping }: Parcel, now: number): void {
    if (ping === undefined) return;
    this.window.ping(this.peer?.way.unbounded === undefined ? ping : 1, now);
    this.#send({ bytes: 20, pong: ping });
    this.pump(now);
  }

  #send(parcel: Parcel): void {
    this.window.send(parcel.bytes);
    this.queued.push(parcel);
  }
}

/** Runs both directions for so long. Returns what each was like, every 10 ms. */
export function simulate(ways: readonly [Way, Way], ms: number): [Sample[], Sample[]] {
  const ends = [new End(ways[0]), new End(ways[1])] as const;
  ends[0].peer = ends[1];
  ends[1].peer = ends[0];
  const samples: [Sample[], Sample[]] = [[], []];
  for (let now = 0; now < ms; now += 1) {
    for (const end of ends) {
      if (now % 5_000 === 0) end.ping(now);
      end.pump(now);
    }
    for (const end of ends) end.step(now, 1);
    if (now % 10 > 0) continue;
    for (const [index, end] of ends.entries()) {
      const { window: { size }, carried, queuedBytes, way } = end;
      const queueMs = queuedBytes / way.rate(now);
      samples[index === 0 ? 0 : 1].push({ now, queueMs, size, carried });
    }
  }
  return samples;
}
