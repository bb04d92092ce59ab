// Saves the list of services that this connector exposes, so that it survives the process: a
// subscriber to events that writes the list as it is now, not what has changed. src/state/ knows
// where it is saved.

import type { Logger } from "@logtape/logtape";
import { BoundedLog } from "../bounded_log.ts";
import type { EventStream, Subscription } from "../model/events.ts";
import type { Service } from "../model/service.ts";

/** What it keeps, and where. */
export interface KeeperOptions {
  /** The list as it is to be kept now. */
  services: () => Service[];
  /** Keeps a list in place of the one before. Resolves when it is safe. @throws {ConnectorError} when it cannot be kept. */
  save: (services: Service[]) => Promise<void>;
  logger: Logger;
}

/** Events that wait at most. Whatever their number, the list is written once. */
const CAPACITY = 10_000;

/** A save that has not begun. */
interface Due {
  saved: PromiseWithResolvers<void>;
  /** Whether a caller is told when it fails. */
  awaited: boolean;
}

/** Saves whenever a service of ours is exposed or removed, until it is disposed: one save at a time. */
export class Keeper implements Disposable {
  readonly #options: KeeperOptions;
  readonly #subscription: Subscription;
  /** A peer may remove one service after the other while the disk is full. */
  readonly #log: BoundedLog;
  #due: Due | undefined;
  #saving = false;

  constructor(events: EventStream, options: KeeperOptions) {
    this.#options = options;
    this.#log = new BoundedLog(options.logger);
    this.#subscription = events.subscribe(
      "state file",
      { kinds: ["service"], capacity: CAPACITY },
      (event) => {
        // What was lost may have been anything.
        if (event.kind === "lost") return this.soon();
        if (event.origin !== "own") return;
        const isNew = event.change === "exposed" && !event.restored;
        if (isNew || event.change === "removed") this.soon();
      },
    );
  }

  /** Saves the list as it is when its turn comes. A failure is logged, unless a caller waits for the same save. */
  soon(): void {
    this.#request();
  }

  /**
   * Saves the list as it is when its turn comes, and resolves when that is safe.
   *
   * @throws {ConnectorError} when it cannot be kept. What was kept before is kept still.
   */
  settled(): Promise<void> {
    // What has happened already is in the same save.
    this.#subscription.flush();
    const due = this.#request();
    due.awaited = true;
    this.#saveDue();
    return due.saved.promise;
  }

  /** Takes no notice of events any more; what is asked for is saved still. */
  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#log[Symbol.dispose]();
  }

  #request(): Due {
    if (this.#due !== undefined) return this.#due;
    // Unless somebody waits for it not at once: what changes in the same turn is one change.
    queueMicrotask(() => this.#saveDue());
    return this.#due = { saved: Promise.withResolvers(), awaited: false };
  }

  async #saveDue(): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    for (let due = this.#due; due !== undefined; due = this.#due) {
      this.#due = undefined;
      try {
        await this.#options.save(this.#options.services());
        due.saved.resolve();
      } catch (error) {
        if (due.awaited) due.saved.reject(error);
        else this.#log.error("services not saved", { error });
      }
    }
    this.#saving = false;
  }
}
