// The lines of a connector's access log, as fields.

import type { Logger } from "@logtape/logtape";
import { AccessLog } from "../../src/tunnel/access_log.ts";
import type { TestConnector } from "./world.ts";

/** Lines are kept from now on. Disposing keeps those that wait, and no later ones. */
export class AccessLines implements Disposable {
  readonly lines: Record<string, unknown>[] = [];
  readonly #log: AccessLog;

  constructor({ connector }: TestConnector) {
    const keep = (_message: string, fields: Record<string, unknown>) => this.lines.push(fields);
    // The access log calls only these two.
    this.#log = new AccessLog(connector.events, { info: keep, warn: keep } as unknown as Logger);
  }

  [Symbol.dispose](): void {
    this.#log[Symbol.dispose]();
  }
}
