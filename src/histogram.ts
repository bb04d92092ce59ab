// Counts values in buckets, as Prometheus wants them. It knows no names and no labels, and costs a few numbers: it counts
// from the start, whether or not anybody ever asks.

/** How many values there were, in buckets, and their sum. */
export class Histogram {
  /** The highest value of each bucket but the last, which has none; ascending. */
  readonly bounds: readonly number[];
  /** How many values each bucket has, the last one too. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** Counts a value. */
  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.bounds.length && value > (this.bounds[bucket] ?? Infinity)) bucket += 1;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** For each bound, how many values are no higher. */
  get cumulative(): number[] {
    let sum = 0;
    return this.bounds.map((_, bucket) => sum += this.#counts[bucket] ?? 0);
  }

  /** How many values there were. */
  get count(): number {
    return this.#counts.reduce((all, count) => all + count, 0);
  }

  /** The sum of all values. */
  get sum(): number {
    return this.#sum;
  }
}
