// Makes grpc-js resolve names with names.ts, like the rest of this process. Its own resolver would ask the system
// without a bound. A client looks up its name once: a lost link is opened by a new client, and the owner of the link
// does the retries. Imported for its side effect by modules that open links or listen.

import { experimental, status } from "@grpc/grpc-js";
import { reasonOf } from "../model/errors.ts";
import { names } from "../names.ts";

const { registerResolver, splitHostPort, statusOrFromError, statusOrFromValue } = experimental;

/** The port of a target that names none, as grpc-js has it. */
const DEFAULT_PORT = 443;

class NameResolver implements experimental.Resolver {
  readonly #target: experimental.GrpcUri;
  readonly #listener: experimental.ResolverListener;
  /** Ends what is under way. Undefined before it was asked. */
  #asked: AbortController | undefined;

  constructor(target: experimental.GrpcUri, listener: experimental.ResolverListener) {
    this.#target = target;
    this.#listener = listener;
  }

  /** What calls of the target say they are for, unless an option says otherwise. */
  static getDefaultAuthority({ path }: experimental.GrpcUri): string {
    return path;
  }

  updateResolution(): void {
    if (this.#asked) return;
    this.#asked = new AbortController();
    void this.#resolve(this.#asked.signal);
  }

  destroy(): void {
    this.#asked?.abort();
    this.#asked = undefined;
  }

  async #resolve(signal: AbortSignal): Promise<void> {
    const { host, port = DEFAULT_PORT } = splitHostPort(this.#target.path) ??
      { host: this.#target.path };
    let found: Parameters<experimental.ResolverListener>[0];
    try {
      const addresses = await names.addressesOf(host, { signal });
      found = statusOrFromValue(addresses.map((host) => ({ addresses: [{ host, port }] })));
    } catch (error) {
      found = statusOrFromError({ code: status.UNAVAILABLE, details: reasonOf(error) });
    }
    if (!signal.aborted) this.#listener(found, {}, null, "");
  }
}

registerResolver("dns", NameResolver);
