// Who sent a request, as far as its TCP connection tells. Nothing that the client says is in here. Used by the guards.

/** The two ends of the connection that a request came over. */
export interface Client {
  /** The client's IP address. */
  address: string;
  /** The address of ours that it connected to. */
  localAddress: string;
  /** The port of ours that it connected to. */
  localPort: number;
}

const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/i;

/**
 * Whether the client runs on this machine. That is so for the loopback addresses, and where both ends have one
 * address: what a machine sends to its own address in the network never leaves it.
 */
export function isOnThisMachine({ address, localAddress }: Client): boolean {
  return LOOPBACK.test(address) || address === localAddress;
}
