// Serves the REST API, and goes on serving it when the runtime gives up. What is answered is api/'s business; cli/run.ts
// starts and ends it.

import type { Logger } from "@logtape/logtape";
import { type Address, formatAddress } from "../address.ts";
import { delay } from "../delay.ts";
import { ConnectorError, type ErrorCode, reasonOf } from "../errors.ts";
import type { TlsPem } from "../grpc/credentials.ts";

/** How long requests of the REST API may take once it is told to end, in milliseconds. */
const GRACE_MS = 500;

/** What is served, and whether over TLS. No client certificate is asked for. */
export interface HttpContent {
  fetch: Deno.ServeHandler;
  tls: TlsPem | undefined;
  logger: Logger;
}

export interface HttpServer {
  port: number;
  /** Lets open requests finish, then ends the rest. */
  close: () => Promise<void>;
}

/** How long until the REST API is served again after the runtime has given it up, in milliseconds. */
const RETRY_MS = 500;

/** Serves the REST API. An empty host means every interface. @throws {ConnectorError} when the address cannot be had. */
export function serveHttp(bind: Address, content: HttpContent): HttpServer {
  const { logger } = content;
  const ended = new AbortController();
  const closing = new AbortController();
  let server = serveOnAnyFamily(bind, content, ended.signal);
  const { port } = server.addr;
  // Deno.serve ends when an accept fails, which it does while no file descriptor is left; a rejection that nobody
  // takes would end the process, and every tunnel with it.
  const serving = (async () => {
    while (!closing.signal.aborted) {
      try {
        return await server.finished;
      } catch (error) {
        logger.warn("REST API interrupted", { reason: reasonOf(error) });
      }
      await delay(RETRY_MS, { signal: closing.signal });
      try {
        if (!closing.signal.aborted) {
          server = serveOnAnyFamily({ ...bind, port }, content, ended.signal);
        }
      } catch (error) {
        logger.warn("REST API cannot be served yet", { reason: reasonOf(error) });
      }
    }
  })();
  return {
    port,
    async close() {
      closing.abort();
      const timer = setTimeout(() => ended.abort(), GRACE_MS);
      await server.shutdown();
      await serving;
      clearTimeout(timer);
    },
  };
}

function serveOnAnyFamily(
  bind: Address,
  { fetch, tls }: HttpContent,
  signal: AbortSignal,
): Deno.HttpServer<Deno.NetAddr> {
  const secure = tls && { cert: tls.certificate, key: tls.key };
  const serve = (hostname: string) =>
    Deno.serve({ hostname, port: bind.port, signal, onListen: () => {}, ...secure }, fetch);
  try {
    return serve(bind.host || "::");
  } catch (error) {
    // A machine without IPv6 has no "::".
    if (bind.host === "" && !(error instanceof Deno.errors.AddrInUse)) return serve("0.0.0.0");
    throw httpBindError(error, bind);
  }
}

function httpBindError(error: unknown, bind: Address): ConnectorError {
  const { code, message } = ConnectorError.from(
    error,
    `Cannot serve the REST API on ${formatAddress(bind)}`,
  );
  return new ConnectorError(code, message, { cause: error, ...hintFor(code) });
}

/** What is no trouble with the address is not mended by another. */
function hintFor(code: ErrorCode): { hint?: string } {
  const another = "hoose another address with --http-bind";
  if (code === "already_exists") return { hint: `Stop the other program, or c${another}` };
  return code === "internal" ? {} : { hint: `C${another}` };
}
