// The token file of the API: read at start, and again when it changes. A file that cannot be used is
// refused whole, and the tokens before it stay. What a token must look like is in
// model/api_access.ts.

import type { Logger } from "@logtape/logtape";
import { readSmallFile, warnOfOpenFiles } from "../file_access.ts";
import { ApiTokens, TOKEN_HINT } from "../model/api_access.ts";
import type { WatchedFiles, WatchedGroup } from "../watched_files.ts";

/** The largest token file, in bytes: a thousand tokens of 32 bytes in hexadecimal, with a comment each. */
const MAX_BYTES = 256 * 1024;

/** A token file in use. Disposing ends the watch of the file. */
export class TokenFile implements Disposable {
  /** The tokens in use. */
  readonly tokens: () => ApiTokens;
  readonly #group: WatchedGroup;

  private constructor(tokens: () => ApiTokens, group: WatchedGroup) {
    this.tokens = tokens;
    this.#group = group;
  }

  /** @throws {ConnectorError} when it cannot be read, or has no token. */
  static async open(
    path: string,
    { files, logger }: { files: WatchedFiles; logger: Logger },
  ): Promise<TokenFile> {
    const label = `API token file "${path}"`;
    const rules = { label, maxBytes: MAX_BYTES, wanted: "a token a line", secret: () => true };
    let current: ApiTokens | undefined;
    const group = await files.watch({
      name: "API tokens",
      paths: [path],
      async read() {
        const { text, access } = await readSmallFile(path, rules);
        return { tokens: ApiTokens.parse(text, label), access };
      },
      use({ tokens, access }) {
        warnOfOpenFiles(logger, access);
        const [line] = tokens.shortLines;
        if (line !== undefined) {
          logger.warn("API token may be guessed", { file: label, line, hint: TOKEN_HINT });
        }
        logger.info("API tokens loaded", { count: tokens.count });
        current = tokens;
      },
    });
    const inUse = () => {
      if (current === undefined) {
        throw new TypeError("tokens are in use once their file has been read");
      }
      return current;
    };
    return new TokenFile(inUse, group);
  }

  /** Why the file on disk is not in use, in a sentence; undefined while it is. */
  get problem(): string | undefined {
    return this.#group.problem;
  }

  [Symbol.dispose](): void {
    this.#group[Symbol.dispose]();
  }
}
