// Connections that were refused before they became calls, and why: TLS that failed, bytes that are not HTTP/2,
// or nothing at all for too long. grpc-js keeps this to itself, so the events of its HTTP/2 servers are read.
// It is TLS that refuses certificates; here is found out why.

import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { formatAddress, unmapIpv4 } from "../address.ts";

/** How long a connection may take until it speaks HTTP/2, in milliseconds: a handshake is a few round trips. */
const SETUP_TIMEOUT_MS = 10_000;

/** Says what is wrong with a certificate in DER that TLS refused. */
export type ExplainRefusal = (certificate: Uint8Array) => string;

/** How to watch a server. */
export interface WatchOptions {
  /** A connection was refused: who it was, and why. Called at most once for each. */
  onRefused: (address: string, reason: string) => void;
  explainRefusal?: ExplainRefusal | undefined;
  /** In milliseconds. */
  setupTimeoutMs?: number;
}

/** A connection that has not spoken HTTP/2 yet. */
interface Attempt {
  /** Tells why it is refused, the first time. */
  refuse: (reason: string) => void;
  /** Cuts it. */
  cut: () => void;
  /** It has spoken HTTP/2, or nothing more is told of it. */
  forget: () => void;
  /** What the peer showed, in DER. */
  certificate?: Uint8Array;
}

/** A TLS socket, and the TCP socket under it, which keeps its address when it is closed. */
type AcceptedTls = TLSSocket & { _parent?: Socket };

/**
 * Tells of every connection that a server refuses, and refuses those that take too long to speak. Returns what
 * cuts those that have not spoken yet.
 */
export function watchRefusals(server: Http2Server, options: WatchOptions): () => void {
  const { onRefused, explainRefusal = () => REFUSED } = options;
  const setupTimeoutMs = options.setupTimeoutMs ?? SETUP_TIMEOUT_MS;
  const attempts = new Map<string, Attempt>();
  // Some events are emitted by secure servers only; a secure server is an Http2Server in grpc-js's eyes.
  const emitter: NodeJS.EventEmitter = server;

  // Ahead of the platform's own listener, which makes a plaintext connection a session at once.
  emitter.prependListener("connection", (socket: Socket) => {
    const address = addressOf(socket);
    let told = false;
    const refuse = (reason: string) => {
      if (!told) onRefused(address, reason);
      told = true;
    };
    const timer = setTimeout(() => {
      refuse(`it did not complete the handshake in ${setupTimeoutMs / 1000} s`);
      socket.destroy();
    }, setupTimeoutMs);
    socket.once("close", () => clearTimeout(timer));
    attempts.set(address, {
      refuse,
      cut: () => socket.destroy(),
      forget: () => {
        clearTimeout(timer);
        attempts.delete(address);
      },
    });
  });

  // After the platform's own, which has put TLS around the socket by now.
  emitter.on("connection", (socket: Socket) => {
    const attempt = attempts.get(addressOf(socket));
    const tls = tlsSocketOf(socket);
    if (attempt) (tls ?? socket).once("close", attempt.forget);
    // Ahead of the platform's own listener, which forgets the certificate as it refuses it.
    tls?.prependListener("secure", () => {
      const certificate = tls.getPeerCertificate()?.raw;
      if (attempt && certificate) attempt.certificate = certificate;
    });
  });

  // The platform lets a TLS session that is resumed pass without a certificate. Nobody enters without one.
  const enter = emitter.listeners("secureConnection");
  emitter.removeAllListeners("secureConnection");
  emitter.on("secureConnection", (socket: AcceptedTls) => {
    if (socket.authorized) {
      for (const listener of enter) Reflect.apply(listener, server, [socket]);
    } else {
      attempts.get(addressOf(socket))?.refuse(NO_CERTIFICATE);
      socket.destroy();
    }
  });

  emitter.on("tlsClientError", (error: Error, socket: AcceptedTls) => {
    const under = socket._parent ?? socket;
    const attempt = attempts.get(addressOf(under));
    if (socket.authorizationError) {
      const { certificate } = attempt ?? {};
      attempt?.refuse(certificate ? explainRefusal(certificate) : REFUSED);
    } else if (!LEFT.test(error.message)) {
      attempt?.refuse(tlsReason(error));
    } else if (under.bytesRead > 0) {
      // One that left without a word was a probe of the port.
      attempt?.refuse("it left before the TLS handshake was complete");
    }
  });

  emitter.on("unknownProtocol", (socket: AcceptedTls) => {
    attempts.get(addressOf(socket._parent ?? socket))?.refuse(NO_HTTP2);
    socket.destroy();
  });

  emitter.on("session", (session: ServerHttp2Session) => {
    const attempt = attempts.get(addressOf(session.socket));
    session.once("remoteSettings", () => attempt?.forget());
    session.on("error", (error: Error) => {
      if (/magic/.test(error.message)) attempt?.refuse(NO_PLAINTEXT_HTTP2);
    });
  });

  return () => {
    for (const attempt of attempts.values()) attempt.cut();
  };
}

/**
 * The TLS socket around a TCP socket: the owner of its handle. Were the platform to change that, reasons would
 * be plainer, and a test would fail.
 */
function tlsSocketOf(socket: Socket): TLSSocket | undefined {
  // Private in its types, a plain property in fact.
  const { _handle: handle } = socket as Socket & { _handle?: object };
  if (!handle) return undefined;
  for (const key of Object.getOwnPropertySymbols(handle)) {
    const value: unknown = Reflect.get(handle, key);
    if (value instanceof TLSSocket) return value;
  }
  return undefined;
}

function addressOf(
  { remoteAddress, remotePort }: Pick<Socket, "remoteAddress" | "remotePort">,
): string {
  if (remoteAddress === undefined || remotePort === undefined) return "unknown";
  return formatAddress({ host: unmapIpv4(remoteAddress), port: remotePort });
}

const REFUSED = "its certificate was refused";
const NO_CERTIFICATE = "it has no certificate";
const NO_HTTP2 = "it does not offer HTTP/2";
const NO_PLAINTEXT_HTTP2 = "it does not speak HTTP/2 in plaintext: TLS, perhaps";

/** The platform's words when the peer has closed the connection. */
const LEFT = /socket hang up|disconnected|ECONNRESET|unexpected.?eof/i;

/** The platform's words for what failed, and what they mean. */
const TLS_REASONS: [RegExp, string][] = [
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, NO_CERTIFICATE],
  // The certificate itself is judged later: here it is the signature that proves the key.
  [/UNABLE_TO_VERIFY_LEAF_SIGNATURE/, "it does not hold the key of its certificate"],
  [/WRONG_VERSION_NUMBER/, "it does not speak TLS"],
  [
    /SignatureAlgorithmsExtensionRequired|Tls1[23]NotOffered|UNSUPPORTED_PROTOCOL/,
    "it does not speak TLS 1.2 or 1.3",
  ],
  [/InCommon/, "it has no kind of encryption in common with us"],
  [/NO_APPLICATION_PROTOCOL/, NO_HTTP2],
  [
    /ServerName/,
    "it asks for a server name that is none, perhaps one with a port: see docs/security.md",
  ],
  [/alert: UnknownCA/i, "it does not know the root of our certificate"],
  [/alert: CertificateExpired/, "it finds our certificate expired"],
  [/alert: \w*Certificate\w*/, "it does not accept our certificate"],
];

function tlsReason(error: Error & { code?: unknown }): string {
  const texts = `${String(error.code ?? "")} ${error.message}`;
  const known = TLS_REASONS.find(([pattern]) => pattern.test(texts))?.[1];
  return known ?? `the TLS handshake failed: ${error.message.slice(0, 200)}`;
}
