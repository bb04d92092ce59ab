// A TCP connection as the rest of the program sees it, whichever kind of sockets it uses.
// handles/conn.ts and deno/conn.ts implement it.

import type { ByteChannel } from "../byte_channel.ts";

/** A TCP connection. It is read ahead by one buffer, so that its loss is noticed while nobody reads it. */
export interface Conn extends ByteChannel {
  /** host:port of the other end. */
  readonly remote: string;
  /** host:port of this end. May ask the system each time. */
  readonly local: string;
}
