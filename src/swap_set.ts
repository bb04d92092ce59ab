// A set of things that come and go often. A leaf. JavaScript's own Set leaves a table behind each time that it makes room,
// with what was in it then, and each table refers to the next: once the first has grown old, everything that was ever
// in the set lives until the next full collection.

/** What can be in a set, one at a time. */
export interface SwapSetMember {
  /** Kept by the set: its place in it. */
  place: number;
}

/** A set without an order. */
export class SwapSet<T extends SwapSetMember> {
  readonly #members: T[] = [];

  /** How many are in it. */
  get size(): number {
    return this.#members.length;
  }

  /** Adds one that is in no such set. */
  add(member: T): void {
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** Whether it is in it. */
  has(member: T): boolean {
    return this.#members[member.place] === member;
  }

  /** Removes one; returns whether it was in it. */
  delete(member: T): boolean {
    if (!this.has(member)) return false;
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      last.place = member.place;
      this.#members[last.place] = last;
    }
    return true;
  }

  /** All that are in it now, in any order. */
  all(): T[] {
    return [...this.#members];
  }
}
