// Queues of streams that wait to be opened because their service has used its share of unanswered opens: one queue for
// each service. The queues take turns as answers arrive. Pure: the session opens the streams, and checks which have
// waited too long.

import type { Share } from "../../share.ts";

/** Queues by the share that they wait for. */
export class OpenQueue<T> {
  readonly #open: (item: T) => void;
  readonly #now: () => number;
  /** Those that are not empty, in the order of their turns; of each item, since when it waits. */
  readonly #lines = new Map<Share, Map<T, number>>();
  #size = 0;

  /** `open` is called for each item when it has its place. It may not throw. */
  constructor(open: (item: T) => void, { now = () => performance.now() } = {}) {
    this.#open = open;
    this.#now = now;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether a stream waits for this share. */
  isAwaited(share: Share): boolean {
    return this.#lines.has(share);
  }

  /** Opens an item if its share has a place, and else lets it wait; returns whether it waits. */
  add(item: T, share: Share): boolean {
    const line = this.#lines.get(share);
    if (line === undefined && share.take()) {
      this.#open(item);
      return false;
    }
    this.#lines.set(share, (line ?? new Map()).set(item, this.#now()));
    this.#size += 1;
    return true;
  }

  /** Opens what there are places for, the services in turn. */
  serve(): void {
    // Once round, whoever may have no more is asked again only after another one was served.
    for (let refused = 0; refused < this.#lines.size;) {
      const [next] = this.#lines;
      if (next === undefined) return;
      const [share, line] = next;
      this.#lines.delete(share);
      const [item] = share.take() ? line.keys() : [];
      refused = item === undefined ? refused + 1 : 0;
      if (item !== undefined) line.delete(item);
      if (line.size > 0) this.#lines.set(share, line);
      if (item === undefined) continue;
      this.#size -= 1;
      this.#open(item);
    }
  }

  /** Takes out one that does not want to wait any more. Returns whether it did. */
  delete(item: T, share: Share): boolean {
    const line = this.#lines.get(share);
    if (!line?.delete(item)) return false;
    this.#size -= 1;
    if (line.size === 0) this.#lines.delete(share);
    return true;
  }

  /** All that wait. */
  all(): T[] {
    return [...this.#lines.values()].flatMap((line) => [...line.keys()]);
  }

  /** Those that have waited for so many milliseconds. */
  olderThan(ms: number): T[] {
    const limit = this.#now() - ms;
    return [...this.#lines.values()].flatMap((line) =>
      [...line].filter(([, since]) => since <= limit).map(([item]) => item)
    );
  }

  /** All begin to wait now. */
  restart(): void {
    for (const line of this.#lines.values()) {
      for (const item of line.keys()) line.set(item, this.#now());
    }
  }

  /** Forgets all. */
  clear(): void {
    this.#lines.clear();
    this.#size = 0;
  }
}
