// Why TLS refused a connection, in words for the log: TLS decides, and says little more than "no". Nothing is decided here:
// handshake_gate.ts decides. Whoever is refused is a stranger, so explanations cost a bounded amount of time.

import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { ConnectorError } from "../model/errors.ts";
import type { JudgePeer } from "../model/peer_judge.ts";
import { shownCertificates } from "../platform/peer_certificates.ts";
import { type AcceptedTls, tcpSocketOf, tlsSocketOf } from "../platform/tls_socket.ts";

/**
 * How much of its time, at the most, a connector spends on finding words for refusals of certificates. What was spent is
 * given back as time goes by, up to `SAVED_MS`.
 */
const EXPLANATION_SHARE = 0.02;
/** In milliseconds: enough for dozens of plain mistakes at once. */
const SAVED_MS = 500;

/** Explains, for every handshake of a server that TLS or HTTP/2 ends by itself, why it did. */
export function explainRefusals(
  server: Http2Server,
  { judge, refusing }: {
    judge: JudgePeer | undefined;
    /** What tells why a connection is refused; undefined when it has been told, or nothing is to be told. */
    refusing: (socket: AcceptedTls | Socket) => ((reason: string) => void) | undefined;
  },
): void {
  const explanations = new Explanations(judge);
  const shown = new WeakMap<Socket, Uint8Array[]>();
  // Some events are emitted by secure servers only.
  const emitter: NodeJS.EventEmitter = server;

  // After the platform's own listener, which has put TLS around the socket by now.
  emitter.on("connection", (socket: Socket) => {
    const tls = tlsSocketOf(socket);
    // Ahead of the platform's own listener, which forgets the certificate as it refuses it.
    tls?.prependListener("secure", () => {
      if (!tls.authorized) shown.set(socket, shownCertificates(tls));
    });
  });

  emitter.on("tlsClientError", (error: Error, socket: AcceptedTls) => {
    const tcp = tcpSocketOf(socket);
    const refuse = refusing(tcp);
    if (socket.authorizationError) {
      refuse?.(explanations.of(shown.get(tcp) ?? []));
    } else if (!LEFT.test(error.message)) {
      refuse?.(explainTlsError(error));
    } else if (tcp.bytesRead > 0) {
      // One that left without a word was a probe of the port.
      refuse?.("it left before the TLS handshake was complete");
    }
  });

  emitter.on("session", (session: ServerHttp2Session) => {
    const refuse = refusing(session.socket);
    session.on("error", (error: Error) => {
      if (/magic/.test(error.message)) refuse?.(NO_PLAINTEXT_HTTP2);
    });
  });
}

/** Explains refusals of certificates, as long as that costs little; the rest is refused without an explanation. */
class Explanations {
  readonly #judge: JudgePeer | undefined;
  /** Milliseconds that may be spent, as of `#at`. */
  #saved = SAVED_MS;
  #at = performance.now();

  constructor(judge: JudgePeer | undefined) {
    this.#judge = judge;
  }

  /** A clause about who has shown these certificates, which TLS has refused. */
  of(shown: readonly Uint8Array[]): string {
    const now = performance.now();
    this.#saved = Math.min(SAVED_MS, this.#saved + (now - this.#at) * EXPLANATION_SHARE);
    this.#at = now;
    if (this.#saved <= 0) return REFUSED;
    const reason = this.#explain(shown);
    this.#saved -= performance.now() - now;
    return reason;
  }

  #explain(shown: readonly Uint8Array[]): string {
    try {
      this.#judge?.(shown, { purpose: "client" });
    } catch (error) {
      if (error instanceof ConnectorError) return error.message;
      throw error;
    }
    return REFUSED;
  }
}

const REFUSED = "its certificate was refused";
export const NO_CERTIFICATE =
  "it has no certificate, or none with a key that our TLS library accepts";
export const NO_HTTP2 = "it does not offer HTTP/2";
const NO_PLAINTEXT_HTTP2 = "it does not speak HTTP/2 in plaintext: it may speak TLS or HTTP/1.1";

/** The platform's words when the peer has closed the connection. */
const LEFT = /socket hang up|disconnected|ECONNRESET|unexpected.?eof/i;

/** The platform's words for what failed, and what they mean. */
const TLS_REASONS: [RegExp, string][] = [
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, NO_CERTIFICATE],
  // Of the certificate or of the handshake: which, it does not say.
  [
    /UNABLE_TO_VERIFY_LEAF_SIGNATURE/,
    "its certificate cannot be used, or it does not hold the key of it",
  ],
  [/WRONG_VERSION_NUMBER/, "it does not speak TLS"],
  [
    /SignatureAlgorithmsExtensionRequired|Tls1[23]NotOffered|UNSUPPORTED_PROTOCOL/,
    "it does not speak TLS 1.2 or 1.3",
  ],
  [/InCommon/, "it has no cipher in common with us"],
  [/NO_APPLICATION_PROTOCOL/, NO_HTTP2],
  [
    /ServerName/,
    "it asks for a server name that is not valid, perhaps one with a port: see docs/security.md",
  ],
  [/alert: UnknownCA/i, "it does not know the root of our certificate"],
  [
    /alert: CertificateExpired/,
    "it says that our certificate has expired or is not valid yet: is its clock right?",
  ],
  [/alert: \w*Certificate\w*/, "it does not accept our certificate"],
];

/** Why a handshake failed, as a clause about the peer. */
function explainTlsError(error: Error & { code?: unknown }): string {
  const texts = `${String(error.code ?? "")} ${error.message}`;
  const known = TLS_REASONS.find(([pattern]) => pattern.test(texts))?.[1];
  return known ?? `the TLS handshake failed: ${error.message.slice(0, 200)}`;
}
