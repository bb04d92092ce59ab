// The policy of a connector while it runs: read from its file at start, and in force anew whenever
// the file changes. Loaded only when there is a file, because what reads YAML takes memory.
// assemble.ts owns it.

import type { Logger } from "@logtape/logtape";
import { warnOfOpenFiles } from "../file_access.ts";
import { loadPolicy } from "../policy/policy_file.ts";
import type { WatchedFiles, WatchedGroup } from "../watched_files.ts";
import { PolicyGuard } from "./policy_guard.ts";

/** A policy file in use. Disposing ends the watch of the file. */
export class PolicyInForce implements Disposable {
  /** Holds peers to the policy in force. */
  readonly guard = new PolicyGuard();
  /** Called when another policy is in force: what the former has allowed is to be looked at. */
  onReplaced: () => void = () => {};
  #group: WatchedGroup | undefined;

  private constructor() {}

  /** @throws {ConnectorError} when the file cannot be read, or has a mistake. */
  static async open(
    path: string,
    { files, logger }: { files: WatchedFiles; logger: Logger },
  ): Promise<PolicyInForce> {
    const opened = new PolicyInForce();
    opened.#group = await files.watch({
      name: "policy rules",
      paths: [path],
      read: () => loadPolicy(path),
      use({ policy, access }) {
        warnOfOpenFiles(logger, access);
        opened.guard.replace(policy);
        opened.onReplaced();
      },
    });
    return opened;
  }

  /** Why the file on disk is not in use, in a sentence; undefined while it is. */
  get problem(): string | undefined {
    return this.#group?.problem;
  }

  [Symbol.dispose](): void {
    this.#group?.[Symbol.dispose]();
  }
}
