// Names of accepted connections: where the peer is, for people and decisions, and which connection it is, for tables.

import type { Socket } from "node:net";
import { formatAddress, unmapIpv4 } from "../model/address.ts";

type Ends = Pick<Socket, "remoteAddress" | "remotePort" | "localAddress" | "localPort">;

/** host:port of the peer; `unknown` once the connection is lost. */
export function peerAddressOf({ remoteAddress, remotePort }: Ends): string {
  if (remoteAddress === undefined || remotePort === undefined) return "unknown";
  return formatAddress({ host: unmapIpv4(remoteAddress), port: remotePort });
}

/**
 * Both ends of a connection, which no two that are open share. The peer's alone may be those of two: it can connect from
 * one port to two addresses of ours.
 */
export function connectionKeyOf(socket: Ends): string {
  return `${peerAddressOf(socket)} ${socket.localAddress} ${socket.localPort}`;
}
