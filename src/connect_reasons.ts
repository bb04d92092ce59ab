// The platform's words for a connection that could not be opened, and what they mean to a user. Used where links are
// dialled and where `connector health` asks.

/** How the connection was spoken over. */
export type Security = "plaintext" | "TLS";

/** Who ends a connection without a word may have more than one reason. */
const ENDED: Readonly<Record<Security, string>> = {
  plaintext:
    "it ended the connection without an answer: it may want TLS, or not be a connector; its log may tell why",
  TLS:
    "it ended the connection before the link was open: it may not accept our certificate, or not be a connector; its log may tell why",
};

/** The first pattern that fits counts. */
const REASONS: readonly (readonly [RegExp, string | typeof ENDED])[] = [
  [/self-signed certificate|issuer certificate/, "its certificate does not chain to our root"],
  [
    /unable to verify the first certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE/,
    "its certificate is not valid now, is not for servers, or was not signed by our root",
  ],
  [
    /wrong version number/,
    "it does not speak TLS: it may run without certificates, or not be a connector",
  ],
  [/alert: CertificateRequired/, "it wants a certificate, and got none that it can use"],
  [
    /alert: CertificateExpired/,
    "it says that our certificate has expired or is not valid yet: is its clock right?",
  ],
  [
    /alert: HandshakeFailure/,
    "it has no cipher in common with us, or its certificate has a key that our TLS library does not accept",
  ],
  [/alert: \w*(Certificate|UnknownCA|AccessDenied)/, "it does not accept our certificate"],
  [/alert: NoApplicationProtocol/, "it does not speak HTTP/2: is this the port of its REST API?"],
  [/alert: ProtocolVersion/, "it does not speak TLS 1.2 or 1.3"],
  [/fatal alert: |EPROTO/, "it ended the TLS handshake: its log may tell why"],
  [/ECONNREFUSED/, "connection refused"],
  [/EHOSTUNREACH/, "the host is unreachable"],
  [/ENETUNREACH/, "the network is unreachable"],
  [
    /EINVAL fe[89ab]/i,
    "link-local addresses of IPv6 cannot be dialled: give another address of that machine",
  ],
  [/EINVAL/, "the address cannot be used here"],
  [/ETIMEDOUT/, "the host did not answer"],
  [/EADDRNOTAVAIL/, "the address is not available on this machine"],
  [/EMFILE|ENFILE/, "no file descriptor is left"],
  [/EACCES|EPERM/, "the system does not permit it"],
  [
    /^Failed to connect|ECONNRESET|EPIPE|socket hang up|disconnected before secure|ended by the other/,
    ENDED,
  ],
  [/^Protocol error|NGHTTP2|HTTP2/, "it breaks the rules of HTTP/2: it may not be a connector"],
];

/** Our own words about a peer, which may quote its certificate, and with that any word of the platform's. */
const OURS = /^(it|its|a certificate|the proxy) /;

/** What the platform's text means; undefined for one that is not known, or is ours already. */
export function connectReason(text: string, security: Security): string | undefined {
  if (OURS.test(text)) return undefined;
  const reason = REASONS.find(([pattern]) => pattern.test(text))?.[1];
  return typeof reason === "object" ? reason[security] : reason;
}
