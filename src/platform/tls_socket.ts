// Finds the TLS socket around a TCP socket while the handshake is under way, and the other way
// round. Used by the code that explains why a handshake was refused.
//
// What is wrong: a server reports a connection before TLS, and then only if TLS has accepted it.
// When "tlsClientError" reports a refused connection, its certificate is gone, and nothing public
// leads to its socket earlier. Seen in Deno 2.9.6.
// Upstream: no report found. To reproduce: print `socket.getPeerCertificate()` in a listener of "tlsClientError".
// Once mended: take the certificate from that event, and delete `tlsSocketOf`.

import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** A TLS socket, and the TCP socket under it, which keeps its address when it is closed. */
export type AcceptedTls = TLSSocket & { _parent?: Socket };

/** The TCP socket of a connection, whichever of its sockets is given. */
export function tcpSocketOf(socket: AcceptedTls | Socket): Socket {
  return "_parent" in socket && socket._parent || socket;
}

/**
 * The TLS socket around a TCP socket: the owner of its handle. Were the platform to change that, reasons would
 * be plainer, and a test would fail.
 */
export function tlsSocketOf(socket: Socket): TLSSocket | undefined {
  // Private in its types, a plain property in fact.
  const { _handle: handle } = socket as Socket & { _handle?: object };
  if (!handle) return undefined;
  for (const key of Object.getOwnPropertySymbols(handle)) {
    const value: unknown = Reflect.get(handle, key);
    if (value instanceof TLSSocket) return value;
  }
  return undefined;
}
