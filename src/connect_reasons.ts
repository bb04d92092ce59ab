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
  [/alert: CertificateRequired/, "it wants a certificate, and there is none here"],
  [/alert: \w*(Certificate|UnknownCA|AccessDenied)/, "it does not accept our certificate"],
  [/ECONNREFUSED/, "connection refused"],
  [/EHOSTUNREACH/, "the host is unreachable"],
  [/ENETUNREACH/, "the network is unreachable"],
  [/EINVAL/, "the address cannot be used here"],
  [/ETIMEDOUT/, "the host did not answer"],
  [/Name resolution failed/, "the host name could not be resolved"],
  [
    /^Failed to connect|ECONNRESET|socket hang up|disconnected before secure/,
    "it closed the connection before anything was said: its log may tell why",
  ],
];

/** What the platform's text means; undefined for one that is not known. */
export function connectReason(text: string): string | undefined {
  return REASONS.find(([pattern]) => pattern.test(text))?.[1];
}
