// Connections that were refused before they became calls, and why: TLS that failed, or bytes that are not
// HTTP/2. grpc-js keeps this to itself, so the events of its HTTP/2 servers are read.

import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { formatAddress, unmapIpv4 } from "../address.ts";

/** Tells of every connection that a server refuses. */
export function watchRefusals(
  server: Http2Server,
  onRefused: (address: string, reason: string) => void,
): void {
  // Emitted by secure servers only; a secure server is an Http2Server in grpc-js's eyes.
  const emitter: NodeJS.EventEmitter = server;
  emitter.on("tlsClientError", (error: Error, socket: TLSSocket & { _parent?: Socket }) => {
    // The TLS socket has lost its address by now; the TCP socket under it has not.
    onRefused(addressOf(socket._parent ?? socket), tlsReason(error, socket.authorizationError));
  });
  emitter.on("session", (session: ServerHttp2Session) => {
    const address = addressOf(session.socket);
    session.on("error", (error: Error) => {
      if (/magic/.test(error.message)) onRefused(address, "it does not speak HTTP/2 in plaintext");
    });
  });
}

function addressOf(
  { remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">,
): string {
  if (remoteAddress === undefined || remotePort === undefined) return "unknown";
  return formatAddress({ host: unmapIpv4(remoteAddress), port: remotePort });
}

/** The runtime's words, and what they mean. */
const TLS_REASONS: [RegExp, string][] = [
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, "it has no certificate"],
  [
    /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/,
    "its certificate does not chain to the root",
  ],
  [/CERT_HAS_EXPIRED/, "its certificate has expired"],
  [/CERT_NOT_YET_VALID/, "its certificate is not valid yet"],
  [/INVALID_PURPOSE/, "its certificate is not for clients"],
  [/WRONG_VERSION_NUMBER/, "it does not speak TLS"],
];

function tlsReason(error: Error & { code?: unknown }, authorization: unknown): string {
  const texts = [String(authorization ?? ""), String(error.code ?? ""), error.message].join(" ");
  const known = TLS_REASONS.find(([pattern]) => pattern.test(texts))?.[1];
  const words = authorization ? String(authorization) : error.message;
  return known ?? `the TLS handshake failed: ${words.slice(0, 200)}`;
}
