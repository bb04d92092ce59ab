// The kinds of sockets that services may have, by the names that `--sockets` takes.

/** Those of `Deno.listen` and `Deno.connect`, and the runtime's handles. */
export const SOCKET_KINDS = ["handles", "deno"] as const;
export type SocketKind = typeof SOCKET_KINDS[number];
