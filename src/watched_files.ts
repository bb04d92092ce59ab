// Reads files again when they have changed, or when asked to: certificates, the policy, tokens. It
// knows when to read, and what to do with files that cannot be used; what is in them is the
// caller's business. assemble.ts owns the one of a connector.
//
// Changes are found by asking for each file's status, through links, a few times a minute. That
// also finds what notifications of the system miss: Kubernetes exchanges a link two folders above
// the file, and network file systems notify nobody.

import type { Logger } from "@logtape/logtape";
import { ConnectorError, reasonOf } from "./model/errors.ts";

/** How often files are looked at, in milliseconds: a change is in use some seconds after it was made. */
const LOOK_MS = 10_000;
/**
 * How long changed files must have rested before they are read, in milliseconds: a certificate and its key are
 * seldom written in the same moment.
 */
const SETTLE_MS = 1_000;
/** The longest wait for that, in milliseconds: a file that never rests is read all the same. */
const UNSETTLED_MS = 15_000;
/** How often a refused set is tried again without a change, in milliseconds: it may have been read too early. */
const RETRY_MS = 60_000;

/** Files that are read together, and refused together. */
export interface WatchOptions<Value> {
  /** What the log calls them, in the plural: `certificates`. */
  name: string;
  /** Where they are. If one is a pipe or a device, which can be read only once, none of them is read again. */
  paths: readonly string[];
  /** Reads and checks all of them. It changes nothing. @throws {ConnectorError} naming the file at fault. */
  read: () => Promise<Value>;
  /** Takes what was read into use, in place of what was in use before. May neither fail nor wait. */
  use: (value: Value) => void;
}

/** Files that are watched. Disposing ends it: nothing of them is taken into use any more. */
export interface WatchedGroup extends Disposable {
  /** Why the files as they are now are not in use, in one sentence; undefined while they are. */
  readonly problem: string | undefined;
}

/** What became of the files of a group so far. */
export interface WatchedState {
  /** What the log calls them. */
  name: string;
  /** When the files that are in use were read. */
  loadedAt: Date;
  /** Whether the files as they were read last are those in use. */
  current: boolean;
  /** How often they were read again, by what became of that. */
  reloads: Readonly<Record<"used" | "refused", number>>;
}

/** Times for tests, in milliseconds. */
export interface WatchTimes {
  lookMs?: number;
  settleMs?: number;
  retryMs?: number;
}

/** Every file of a connector that may change while it runs. Disposing ends the watch of all. */
export class WatchedFiles implements Disposable {
  readonly #logger: Logger;
  readonly #times: Required<WatchTimes>;
  readonly #groups = new Set<Group>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Files are looked at and read one after the other, however often a reload is asked for. */
  #work: Promise<void> = Promise.resolve();
  /** A reload that has not begun: whoever asks for one meanwhile gets the same. */
  #asked: Promise<void> | undefined;
  #disposed = false;

  constructor(
    logger: Logger,
    { lookMs = LOOK_MS, settleMs = SETTLE_MS, retryMs = RETRY_MS }: WatchTimes = {},
  ) {
    this.#logger = logger;
    this.#times = { lookMs, settleMs, retryMs };
  }

  /**
   * Reads files for the first time, takes them into use, and watches them from then on. Whatever changes after the call is
   * noticed, also during the first read.
   *
   * @throws what `read` throws, the first time: then nothing is watched.
   */
  async watch<Value>({ name, paths, read, use }: WatchOptions<Value>): Promise<WatchedGroup> {
    const group: Group = new Group({
      name,
      paths,
      logger: this.#logger,
      times: this.#times,
      // Only here the type of the value is known.
      async load(stillWanted) {
        const value = await read();
        if (stillWanted()) use(value);
      },
      onDisposed: () => this.#forget(group),
    });
    await group.start();
    // It may have ended during the read.
    if (!this.#disposed) this.#groups.add(group);
    this.#plan();
    return group;
  }

  /** What became of each group so far. */
  get states(): WatchedState[] {
    return [...this.#groups].map(({ state }) => state);
  }

  /** Reads all files again, changed or not. Resolves when that is done. Never rejects: what is refused is logged. */
  reload(): Promise<void> {
    return this.#asked ??= this.#inTurn(async () => {
      this.#asked = undefined;
      for (const group of [...this.#groups]) await group.reload();
    });
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const group of [...this.#groups]) group[Symbol.dispose]();
  }

  #forget(group: Group): void {
    this.#groups.delete(group);
    if (this.#groups.size === 0) clearTimeout(this.#timer);
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    return this.#work = this.#work.then(action);
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#groups.size === 0) return;
    const unsettled = [...this.#groups].some((group) => group.unsettled);
    const { lookMs, settleMs } = this.#times;
    this.#timer = setTimeout(() => this.#look(), unsettled ? settleMs : lookMs);
  }

  #look(): void {
    const looked = this.#inTurn(async () => {
      for (const group of [...this.#groups]) await group.look();
    });
    looked.then(() => this.#plan());
  }
}

interface GroupOptions {
  name: string;
  paths: readonly string[];
  logger: Logger;
  times: Required<WatchTimes>;
  /** Reads the files, and takes them into use if they are wanted still. */
  load: (stillWanted: () => boolean) => Promise<void>;
  onDisposed: () => void;
}

/** One set of files. */
class Group implements WatchedGroup {
  readonly #options: GroupOptions;
  /** The state of the files that were read last. Undefined if they can be read only once. */
  #read: string | undefined;
  /** The state that was seen last, while it differs from `#read`. */
  #seen: string | undefined;
  /** When the files were first seen to differ from `#read`, and when they were read, by `performance.now()`. */
  #changedAt = 0;
  #readAt = 0;
  /** Why they were refused. */
  #refusal: string | undefined;
  #disposed = false;
  #loadedAt = new Date(0);
  readonly #reloads = { used: 0, refused: 0 };

  constructor(options: GroupOptions) {
    this.#options = options;
  }

  get problem(): string | undefined {
    if (this.#refusal === undefined) return undefined;
    return `the ${this.#options.name} on disk are not used, those before them are: ${this.#refusal}`;
  }

  get state(): WatchedState {
    return {
      name: this.#options.name,
      loadedAt: this.#loadedAt,
      current: this.#refusal === undefined,
      reloads: this.#reloads,
    };
  }

  /** Whether they have changed and do not rest yet. */
  get unsettled(): boolean {
    return this.#seen !== undefined;
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#options.onDisposed();
  }

  /** The first time. @throws what reading throws. */
  async start(): Promise<void> {
    this.#read = await stateOf(this.#options.paths);
    await this.#options.load(() => true);
    this.#loadedAt = new Date();
    this.#readAt = performance.now();
  }

  /** Reads them again if they have changed and rest, or if they were refused a while ago. */
  async look(): Promise<void> {
    if (this.#read === undefined) return;
    const state = await stateOf(this.#options.paths);
    const now = performance.now();
    if (state === this.#read) {
      this.#seen = undefined;
      const { retryMs } = this.#options.times;
      if (this.#refusal !== undefined && now - this.#readAt >= retryMs) await this.#load(state);
      return;
    }
    if (this.#seen === undefined) this.#changedAt = now;
    const rests = state === this.#seen || now - this.#changedAt >= UNSETTLED_MS;
    this.#seen = state;
    if (rests) await this.#load(state);
  }

  /** Reads them again, changed or not. */
  async reload(): Promise<void> {
    if (this.#read === undefined) {
      const reason = "one of them is a pipe or a device, which can be read only once";
      return this.#options.logger.warn("files not reloaded", { files: this.#options.name, reason });
    }
    await this.#load(await stateOf(this.#options.paths), { asked: true });
  }

  /** `asked`: a refusal is logged even if it is the same as before, because somebody waits for an answer. */
  async #load(state: string | undefined, { asked = false } = {}): Promise<void> {
    const { name, logger, load } = this.#options;
    if (this.#disposed) return;
    this.#read = state ?? "";
    this.#seen = undefined;
    const before = asked ? undefined : this.#refusal;
    const cause = asked ? "reload" : "change";
    try {
      // Each try to open a pipe into which nobody writes would hold one of the few threads that also look names up.
      if (state === undefined) throw noFiles(this.#options.paths);
      await load(() => !this.#disposed);
      this.#refusal = undefined;
      this.#loadedAt = new Date();
      this.#reloads.used += 1;
      if (!this.#disposed) logger.info("files reloaded", { files: name, cause });
    } catch (error) {
      // Whatever is in the files, and be it a defect that they lay bare, must not end what runs well.
      this.#refusal = reasonOf(error);
      this.#reloads.refused += 1;
      if (this.#disposed || this.#refusal === before) return;
      const hint = error instanceof ConnectorError ? error.hint : undefined;
      const message = "changed files refused, those before them stay in use";
      logger.error(message, { files: name, cause, reason: this.#refusal, hint });
    } finally {
      this.#readAt = performance.now();
    }
  }
}

function noFiles(paths: readonly string[]): ConnectorError {
  const which = paths.map((path) => `"${path}"`).join(", ");
  return new ConnectorError(
    "invalid_argument",
    `Cannot read ${which}: there is a pipe, a device or a folder now, want files`,
  );
}

/** A text that differs when files have changed; undefined if one of them is not a file. Never rejects. */
async function stateOf(paths: readonly string[]): Promise<string | undefined> {
  const states: string[] = [];
  for (const path of paths) {
    try {
      const { isFile, dev, ino, size, mtime, ctime } = await Deno.stat(path);
      if (!isFile) return undefined;
      states.push([dev, ino, size, mtime?.getTime(), ctime?.getTime()].join(" "));
    } catch (error) {
      // Whatever the reason is, reading gives it.
      states.push(error instanceof Error ? error.name : "unknown");
    }
  }
  return states.join("\n");
}
