// One tunnelled TCP connection, as its two users see it: the session that carries it, and the splice that
// copies it from and to a socket. Each dialect implements it.

import type { ByteChannel } from "../byte_channel.ts";

/** A channel inside a session. */
export interface Stream extends ByteChannel {
  /** Unique within the session, for logs. */
  readonly id: string;
  /** The service that it belongs to. */
  readonly serviceId: string;
}
