// The platform's words for a connection that could not be opened, and what they mean to a user. Used where links are
// dialled and where `connector health` asks.

/** The first pattern that fits counts. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/self-signed certificate|issuer certificate/, "its certificate does not chain to our root"],
  [
    /unable to verify the first certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE/,
    "its certificate is not valid now, is not for servers, or was not signed by our root",
  ],
  [/wrong version number/, "it does not speak TLS"],
  [/alert: CertificateRequired/, "it wants a certificate, and got none that it can use"],
  [
    /alert: CertificateExpired/,
    "it finds our certificate expired, or not valid yet: is its clock right?",
  ],
  [
    /alert: HandshakeFailure/,
    "it has no encryption in common with us, or its certificate has a key that TLS here does not take",
  ],
  [/alert: \w*(Certificate|UnknownCA|AccessDenied)/, "it does not accept our certificate"],
  [/alert: NoApplicationProtocol/, "it does not speak HTTP/2"],
  [/alert: ProtocolVersion/, "it does not speak TLS 1.2 or 1.3"],
  [/fatal alert: /, "it ended the TLS handshake: its log may tell why"],
  [/ECONNREFUSED/, "connection refused"],
  [/EHOSTUNREACH/, "the host is unreachable"],
  [/ENETUNREACH/, "the network is unreachable"],
  [/EINVAL/, "the address cannot be used here"],
  [/ETIMEDOUT/, "the host did not answer"],
  [/EADDRNOTAVAIL/, "the address is not available on this machine"],
  [/EMFILE|ENFILE/, "no file descriptor is left"],
  [/EACCES|EPERM/, "the system does not permit it"],
  [
    /^Failed to connect|ECONNRESET|EPIPE|socket hang up|disconnected before secure/,
    "it ended the connection before the link was open, or does not speak our protocol: its log may tell why",
  ],
];

/** Our own words about a peer, which may quote its certificate, and with that any word of the platform's. */
const OURS = /^(it|its|a certificate) /;

/** What the platform's text means; undefined for one that is not known, or is ours already. */
export function connectReason(text: string): string | undefined {
  if (OURS.test(text)) return undefined;
  return REASONS.find(([pattern]) => pattern.test(text))?.[1];
}
