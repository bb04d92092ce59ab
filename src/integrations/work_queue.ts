// Work that is named by a key, such as a service: each key's is done by one worker at a time, again whenever something
// asks for it, and later when it has failed. Integrations keep their schedulers up to date with it.

import { Backoff, type BackoffOptions } from "../retry.ts";

/** How work is done. */
export interface WorkQueueOptions {
  /** The most keys that are worked on at once. */
  concurrency: number;
  backoff: Readonly<BackoffOptions>;
  /** Does what is due for a key. What it throws is tried again; what it returns is when to look again, in milliseconds. */
  work: (key: string, signal: AbortSignal) => Promise<number | undefined>;
  /** It has failed, and is tried again in so many milliseconds. Must not throw. */
  onFailure: (key: string, error: unknown, retryMs: number) => void;
}

/** What is known of a key that something is to be done for. */
interface Task {
  /** Whether it is to be done again, though a worker is at it. */
  again: boolean;
  running: boolean;
  backoff: Backoff;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** When it last succeeded, as of `performance.now()`; undefined after a failure. */
  succeededAt: number | undefined;
}

/** The work of one integration. Disposing ends it: what is under way is given up. */
export class WorkQueue implements AsyncDisposable {
  readonly #options: WorkQueueOptions;
  readonly #tasks = new Map<string, Task>();
  readonly #waiting = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #ended = new AbortController();
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Has something done for a key soon. `hurry`: also if it waits because it has failed. */
  add(key: string, { hurry = true }: { hurry?: boolean } = {}): void {
    if (this.#ended.signal.aborted) return;
    const task = this.#tasks.get(key) ?? this.#newTask(key);
    if (task.running) {
      task.again = true;
      return;
    }
    if (task.timer !== undefined && !hurry) return;
    clearTimeout(task.timer);
    task.timer = undefined;
    this.#waiting.add(key);
    queueMicrotask(() => this.#work());
  }

  /** Forgets a key for which nothing is to be done any more. */
  forget(key: string): void {
    clearTimeout(this.#tasks.get(key)?.timer);
    this.#tasks.delete(key);
    this.#waiting.delete(key);
  }

  /** Resolves when nothing is under way or due now: what waits for a later try counts as done. */
  idle(): Promise<void> {
    if (this.#running.size === 0 && this.#waiting.size === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    this.#waiting.clear();
    for (const { timer } of this.#tasks.values()) clearTimeout(timer);
    await Promise.all(this.#running);
    this.#noteIdle();
  }

  #newTask(key: string): Task {
    const task: Task = {
      again: false,
      running: false,
      backoff: new Backoff(this.#options.backoff),
      timer: undefined,
      succeededAt: undefined,
    };
    this.#tasks.set(key, task);
    return task;
  }

  #work(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.concurrency) return;
      this.#waiting.delete(key);
      const task = this.#tasks.get(key);
      if (task === undefined || task.running) continue;
      const done = this.#run(key, task).then(() => {
        this.#running.delete(done);
        this.#work();
        this.#noteIdle();
      });
      this.#running.add(done);
    }
  }

  #noteIdle(): void {
    if (this.#running.size > 0 || this.#waiting.size > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  async #run(key: string, task: Task): Promise<void> {
    task.running = true;
    task.again = false;
    let lookAgainMs: number | undefined;
    try {
      lookAgainMs = await this.#options.work(key, this.#ended.signal);
      task.succeededAt = performance.now();
    } catch (error) {
      if (!this.#ended.signal.aborted) {
        const livedMs = task.succeededAt === undefined ? 0 : performance.now() - task.succeededAt;
        task.succeededAt = undefined;
        lookAgainMs = task.backoff.next(livedMs);
        this.#options.onFailure(key, error, Math.round(lookAgainMs));
      }
    }
    task.running = false;
    // It may have been forgotten meanwhile.
    if (this.#ended.signal.aborted || this.#tasks.get(key) !== task) return;
    if (task.again && task.succeededAt !== undefined) this.#waiting.add(key);
    else if (lookAgainMs !== undefined) {
      task.timer = setTimeout(() => this.add(key), lookAgainMs);
    }
  }
}
