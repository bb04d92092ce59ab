// The configuration file of a connector while it runs: its services are exposed from the start on, and brought in line with
// the file whenever that changes. What the file says of options is for the next start. assemble.ts owns it; who reads the
// file is src/cli/config_file.ts.

import type { Logger } from "@logtape/logtape";
import { type OpenFile, warnOfOpenFiles } from "../file_access.ts";
import type { ServiceRequest } from "../model/service.ts";
import type { WatchedFiles, WatchedGroup } from "../watched_files.ts";
import type { Connector } from "./connector.ts";

/** A file that can be read again. */
export interface ConfigSource {
  path: string;
  /** Reads and checks all of it. @throws {ConnectorError} naming the mistake. */
  read: () => Promise<ConfigRead>;
}

/** What a file says now. */
export interface ConfigRead {
  services: readonly ServiceRequest[];
  /** The keys of options that have other values than those that the connector runs with. */
  needRestart: readonly string[];
  /** What others may do with the file that they should not. */
  access: OpenFile[];
}

/** How a file in use is. */
export interface ConfigState {
  file: string;
  needRestart: readonly string[];
  /** Why the file on disk is not in use, in a sentence. */
  problem: string | undefined;
}

/** A configuration file in use. Disposing ends the watch of the file. */
export class ConfigInForce implements Disposable {
  readonly #path: string;
  #group: WatchedGroup | undefined;
  #needRestart: readonly string[] = [];

  private constructor(path: string) {
    this.#path = path;
  }

  /** @throws {ConnectorError} when the file cannot be read, or has a mistake. */
  static async open(
    { path, read }: ConfigSource,
    { connector, files, logger }: { connector: Connector; files: WatchedFiles; logger: Logger },
  ): Promise<ConfigInForce> {
    const opened = new ConfigInForce(path);
    opened.#group = await files.watch({
      name: "settings",
      paths: [path],
      async read() {
        const found = await read();
        // At a start, what is not allowed is in error, as is what an earlier run has left: the rest is not held up by it.
        if (opened.#group !== undefined) connector.checkFile(found.services);
        return found;
      },
      use({ services, needRestart, access }) {
        warnOfOpenFiles(logger, access);
        const changed = connector.useFile(services);
        logger.info("services of the configuration in force", { file: path, ...changed });
        opened.#needRestart = needRestart;
        if (needRestart.length > 0) {
          const options = needRestart.join(", ");
          logger.warn("changed options need a restart", { file: path, options });
        }
      },
    });
    return opened;
  }

  /** For `GET /config`. */
  get state(): ConfigState {
    return {
      file: this.#path,
      needRestart: this.#needRestart,
      problem: this.#group?.problem,
    };
  }

  /** What an operator should know of the file on disk, a sentence each. */
  get notes(): string[] {
    const problem = this.#group?.problem;
    if (problem !== undefined) return [problem];
    if (this.#needRestart.length === 0) return [];
    return [`changes in "${this.#path}" need a restart: ${this.#needRestart.join(", ")}`];
  }

  [Symbol.dispose](): void {
    this.#group?.[Symbol.dispose]();
  }
}
