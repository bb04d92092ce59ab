// Dialling TCP: names are resolved, both address families are tried, and the time is limited.

import { Socket } from "node:net";
import { type Address, formatAddress, isIpv4 } from "../address.ts";
import { ConnectorError } from "../errors.ts";
import { Conn, ReadBuffers } from "./conn.ts";

/** How to dial. */
export interface DialOptions {
  /** The longest the dial may take, in milliseconds. */
  timeoutMs: number;
  /** Gives up when aborted. */
  signal: AbortSignal;
}

/**
 * Connects to an address.
 *
 * @throws {ConnectorError} `unavailable`, `deadline_exceeded` or `cancelled`, naming the address.
 */
export async function dialTcp(
  address: Address,
  { timeoutMs, signal }: DialOptions,
): Promise<Conn> {
  const action = `Cannot connect to ${formatAddress(address)}`;
  const reads = new ReadBuffers();
  const socket = new Socket({ allowHalfOpen: true, onread: reads.hooks });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onAbort = () => reject(new ConnectorError("cancelled", `${action}: cancelled`));
  const timer = setTimeout(() => {
    const reason = `${action}: no answer in ${timeoutMs / 1000} s`;
    reject(new ConnectorError("deadline_exceeded", reason));
  }, timeoutMs);
  const onError = (error: Error) => reject(ConnectorError.from(error, action));
  socket.once("error", onError);
  signal.addEventListener("abort", onAbort);
  try {
    if (signal.aborted) onAbort();
    else socket.connect({ host: address.host, port: address.port }, resolve);
    await promise;
  } catch (error) {
    // Errors of the attempts that are still under way have nobody to go to.
    socket.on("error", () => {});
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
  socket.off("error", onError);
  return Conn.connected(socket, reads, isIpv4(address.host) ? formatAddress(address) : undefined);
}
