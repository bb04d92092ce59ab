// Who sent a request, as far as its connection tells. Nothing that the client says is in here. Used by the guards.

import type { CertificateId } from "../model/principal.ts";

/** The two ends of the connection that a request came over. */
export interface Client {
  /** The client's IP address. */
  address: string;
  /** The address of ours that it connected to. */
  localAddress: string;
  /** The port of ours that it connected to; undefined for the Unix socket. */
  localPort: number | undefined;
  /** From its verified certificate, if it was asked for one and has shown it. */
  certificate?: CertificateId | undefined;
  /** Judges that certificate anew: it may have been revoked, or have ended. Absent where there is none. */
  judgeAgain?: (() => CertificateId | undefined) | undefined;
}

/** What stands for the address of a client, and for our own, over the Unix socket. */
const UNIX_SOCKET = "unix socket";

/** A client over the Unix socket. */
export const SOCKET_CLIENT: Readonly<Client> = {
  address: UNIX_SOCKET,
  localAddress: UNIX_SOCKET,
  localPort: undefined,
};

/** Whether it came over the Unix socket. */
export function isOnSocket({ localPort }: Client): boolean {
  return localPort === undefined;
}

/** Whether an IP address is reached from this machine alone. */
export function isLoopback(address: string): boolean {
  return LOOPBACK.test(address);
}

const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/i;

/**
 * Whether the client runs on this machine. That is so for the loopback addresses, and where both ends have one
 * address: what a machine sends to its own address in the network never leaves it.
 */
export function isOnThisMachine({ address, localAddress }: Client): boolean {
  return isLoopback(address) || address === localAddress;
}
