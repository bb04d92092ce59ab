// Divides something scarce: a tree of shares, such as all connections, those of one peer, those of
// one service. No user may have everything: a part of what the others leave stays free for
// newcomers. A leaf: pure arithmetic for mux/ and tunnel/. Each question costs a few additions,
// because it is asked for every connection.

/** The part of all that is kept for who has few, where that is asked for: some dozens of newcomers, whatever the others do. */
const KEPT_FOR_FEW = 1 / 8;

/** What a share may have. */
export interface ShareOptions {
  /** The most, whatever else is free. Default: no bound of its own. */
  max?: number;
  /** Of what the others beside it leave, the part that it may not have: it stays free for whoever comes. */
  reserve: number;
  /**
   * Who has fewer than this is let in as long as there is anything at all; who has as many leaves an eighth of all to those.
   * Without it newcomers find less and less once a handful of others have taken their part in turn. Default: 0, nothing is kept.
   */
  few?: number;
}

/** A share of something countable, and the shares within it. */
export class Share {
  readonly #parent: Share | undefined;
  readonly #forget: () => void;
  #max: number;
  readonly #reserve: number;
  readonly #few: number;
  readonly #within = new Map<string, Share>();
  #taken = 0;
  /** How many have asked for it and have not let it go. */
  #users = 1;

  private constructor(
    parent: Share | undefined,
    { max = Infinity, reserve, few = 0, forget = () => {} }: ShareOptions & {
      forget?: () => void;
    },
  ) {
    this.#parent = parent;
    this.#forget = forget;
    this.#max = max;
    this.#reserve = reserve;
    this.#few = few;
  }

  /** All that there is. */
  static ofAll(max: number): Share {
    return new Share(undefined, { max, reserve: 0 });
  }

  /** There is more or less of it now. What is taken already stays. */
  resize(max: number): void {
    this.#max = max;
  }

  /** A share within this one: the same for the same key, until everybody who asked has called `release`. */
  within(key: string, options: ShareOptions): Share {
    const known = this.#within.get(key);
    if (known) {
      known.#users += 1;
      return known;
    }
    const share = new Share(this, { ...options, forget: () => this.#within.delete(key) });
    this.#within.set(key, share);
    return share;
  }

  /** How much of it is taken. */
  get taken(): number {
    return this.#taken;
  }

  /** How much of it may be taken now: less, the more the others have. */
  get limit(): number {
    if (this.#parent === undefined) return this.#max;
    const all = this.#parent.limit;
    const left = all - this.#parent.#taken + this.#taken;
    const shared = this.#few === 0 ? left : left - Math.floor(all * KEPT_FOR_FEW);
    // Of very little nothing is kept back: a bound of three lets one peer have three.
    const fair = shared - Math.floor(shared * this.#reserve);
    return Math.min(this.#max, left, Math.max(this.#few, fair));
  }

  /** Whether no more of it may be taken now. */
  get full(): boolean {
    return this.#taken >= this.limit;
  }

  /** Whether it is its own bound that is reached: however much there is of all, it gets no more. */
  get atMax(): boolean {
    return this.#taken >= this.#max;
  }

  /** Takes one, of this share and of all around it, if it may. */
  take(): boolean {
    if (this.full) return false;
    this.#add(1);
    return true;
  }

  /** Takes one that exists already, whatever the limit: what is there is counted. */
  takeOver(): void {
    this.#add(1);
  }

  /** Gives one back. */
  give(): void {
    this.#add(-1);
  }

  /** It is of no more use to one who asked for it. All that was taken must have been given back by the last. */
  release(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#forget();
  }

  #add(count: number): void {
    this.#taken += count;
    if (this.#parent) this.#parent.#add(count);
  }
}
