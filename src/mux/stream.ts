// One tunnelled TCP connection, as its two users see it: the session that carries it, and the splice that
// copies it from and to a socket. Each dialect implements it.

import type { ByteChannel } from "../byte_channel.ts";
import type { Dialled } from "../wire/native_frame.ts";

/** A channel inside a session. */
export interface Stream extends ByteChannel {
  /** The service that it belongs to. */
  readonly serviceId: string;
  /** host:port of the visitor's socket, as the ingress tells; empty where the dialect does not. */
  readonly visitor: string;
  /**
   * How many services the connection is known to have passed, this one included, if the ingress wants to find it again;
   * else 0.
   */
  readonly passages: number;
  /** Egress: tells the ingress that the destination is connected, and how it was dialled if it wanted to know. */
  accept(dialled?: Dialled): void;
  /** Ingress: is told that, if it is. One listener. */
  onDialled(listener: (dialled: Dialled) => void): void;
}

/** What is told with an open. */
export interface OpenOptions {
  /** As `Stream.passages`. */
  passages?: number;
}

/** Tells what the peer opened: its user must read the stream, or reset it. It may not block or throw. */
export type OnStream = (stream: Stream) => void;
