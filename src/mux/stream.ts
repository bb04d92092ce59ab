// One tunnelled TCP connection, as its two users see it: the session that carries it, and the splice that
// copies it from and to a socket. Each dialect implements it.

import type { ByteChannel } from "../byte_channel.ts";

/** A channel inside a session. */
export interface Stream extends ByteChannel {
  /** The service that it belongs to. */
  readonly serviceId: string;
  /** host:port of the visitor's socket, as the ingress tells; empty where the dialect does not. */
  readonly visitor: string;
  /** Egress: tells the ingress that the destination is connected. */
  accept(): void;
}

/** Tells what the peer opened: its user must read the stream, or reset it. It may not block or throw. */
export type OnStream = (stream: Stream) => void;
