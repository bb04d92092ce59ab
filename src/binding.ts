// Listens on every address that a user's bind address means, all with one port: both address families for "every
// interface", each address of a host name. Builds the errors for when that fails. Used by the gRPC server and the REST
// API; net/interfaces.ts finds the addresses.

import { type Address, formatAddress } from "./model/address.ts";
import { ConnectorError } from "./model/errors.ts";

/** A socket that listens. */
export interface BoundSocket {
  port: number;
  close(): void;
}

/** What the system says of an address that this machine does not have, or of a family that it does not know. */
const NOT_HERE = ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"];
/** How often any free port is looked for that is free on every address. */
const FREE_PORT_TRIES = 10;
/** The first port that takes no privilege on most systems. */
const FIRST_FREE_FOR_ALL = 1024;

/** Finds the IP addresses that stand for the host of a listener. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/**
 * Binds one port, 0 for any free one, on each address that stands for the host. One that this machine does not have is left
 * out, as `::` without IPv6, unless it has none of them.
 *
 * @throws what `resolve` or `bindOne` has thrown; nothing is bound then.
 */
export async function bindEach<Socket extends BoundSocket>(
  { host, port }: Address,
  { resolve = (host) => Promise.resolve([host]), bindOne }: {
    /** Default: it stands for itself. */
    resolve?: ResolveHost | undefined;
    bindOne: (address: Address) => Promise<Socket>;
  },
): Promise<[Socket, ...Socket[]]> {
  const hosts = await resolve(host);
  for (let triesLeft = port === 0 ? FREE_PORT_TRIES : 1;; triesLeft -= 1) {
    const bound: Socket[] = [];
    let notHere: unknown = new TypeError("a host has an address");
    try {
      for (const host of hosts) {
        try {
          bound.push(await bindOne({ host, port: bound[0]?.port ?? port }));
        } catch (error) {
          if (!NOT_HERE.includes(codeOf(error))) throw error;
          notHere = error;
        }
      }
      const [first, ...others] = bound;
      if (first !== undefined) return [first, ...others];
      throw notHere;
    } catch (error) {
      for (const socket of bound) socket.close();
      // What was free on the first address was not on another.
      if (codeOf(error) !== "EADDRINUSE" || bound.length === 0 || triesLeft <= 1) throw error;
    }
  }
}

/** Says that `what` cannot listen, with a hint that names the flag that chooses the address. */
export function bindError(
  error: unknown,
  { what, bind, flag }: { what: string; bind: Address; flag: string },
): ConnectorError {
  const action = `Cannot ${what} on ${formatAddress(bind)}`;
  const fail = (code: ConnectorError["code"], message: string, hint?: string) =>
    new ConnectorError(code, message, { cause: error, ...(hint !== undefined && { hint }) });
  if (NOT_HERE.includes(codeOf(error))) {
    const reason = "the address does not belong to this machine";
    return fail("invalid_argument", `${action}: ${reason}`, `Choose another address with ${flag}`);
  }
  if (/SSL routines|ERR_OSSL/.test(String(error))) {
    return fail("failed_precondition", `${action}: TLS cannot use the certificates`);
  }
  const { code, message } = ConnectorError.from(error, action);
  switch (code) {
    case "already_exists":
      return fail(code, message, `Stop the other program, or choose another address with ${flag}`);
    case "permission_denied":
      return fail(
        code,
        message,
        bind.port > 0 && bind.port < FIRST_FREE_FOR_ALL
          ? `Ports below ${FIRST_FREE_FOR_ALL} take a privilege: choose another with ${flag}, or see docs/install.md`
          : `Choose another address with ${flag}`,
      );
    // What is no trouble with the address is not mended by another.
    case "cancelled":
    case "internal":
    case "resource_exhausted":
      return fail(code, message);
    default:
      return fail(code, message, `Choose another address with ${flag}`);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
