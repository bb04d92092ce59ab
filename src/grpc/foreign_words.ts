// Recognises the protocol of whatever answers in place of a connector, by the first bytes that it sends. Used only for
// messages.

/** So many bytes of an answer are looked at. */
const FOREIGN_BYTES = 64;
/** Frames of HTTP/2 begin with a length of 3 bytes, a type, flags, and the number of a call. RFC 9113 section 4.1. */
const HEAD_BYTES = 9;
const SETTINGS = 4;
/** Settings that anybody sends fit into so many bytes. */
const MAX_SETTINGS_BYTES = 16 * 1024;

/** Protocols whose servers can be told by their text. */
const TEXTS: readonly (readonly [RegExp, string])[] = [
  [/^HTTP\/1\.[01] /, "HTTP/1.1"],
  [/^SSH-/, "SSH"],
  [/^220[ -].*FTP/i, "FTP"],
  [/^220[ -]/, "SMTP"],
  [/^\* (OK|BYE|PREAUTH)/, "IMAP"],
  [/^\+OK/, "POP3"],
  [/^-(ERR|DENIED|NOAUTH)/, "Redis"],
  [/^INFO \{/, "NATS"],
  [/^RFB \d/, "VNC"],
];
/** The same by their bytes, in hex. */
const BYTES: readonly (readonly [RegExp, string])[] = [
  // The record of an alert or of a handshake, and a version. RFC 8446 section 5.1.
  [/^1[56]030[0-4]/, "TLS"],
  // An error: its type, its length, and the field that tells how bad it is.
  [/^450000....53/, "PostgreSQL"],
  // A first packet of version 10: its length, its number, that version, and the server's as text.
  [/^......000a3/, "MySQL"],
];

/** Whether bytes may be the beginning of what an HTTP/2 server says first: its settings. RFC 9113 section 3.4. */
function mayBeHttp2(bytes: Uint8Array): boolean {
  const [high = 0, middle = 0, low = 0, type = SETTINGS, flags = 0] = bytes;
  return high === 0 && (middle << 8 | low) <= MAX_SETTINGS_BYTES && type === SETTINGS &&
    (flags & 1) === 0 && bytes.subarray(5, HEAD_BYTES).every((byte) => byte === 0);
}

/** What sent these bytes speaks, and its first line if that can be read: `SSH ("SSH-2.0-OpenSSH_9.2")`. */
export function protocolOf(bytes: Uint8Array): string {
  const first = bytes.subarray(0, FOREIGN_BYTES);
  const text = String.fromCharCode(...first);
  const known = TEXTS.find(([pattern]) => pattern.test(text)) ??
    BYTES.find(([pattern]) => pattern.test(first.toHex()));
  const [line = ""] = text.split(/[\r\n]/, 1);
  return `${known?.[1] ?? "another protocol"}${/^[ -~]+$/.test(line) ? ` ("${line}")` : ""}`;
}

/** Why what sent these bytes first is no HTTP/2 server, as a clause about it; undefined when it may be one. */
export function foreignReason(bytes: Uint8Array): string | undefined {
  if (mayBeHttp2(bytes)) return undefined;
  const protocol = protocolOf(bytes);
  if (protocol === "TLS") return "it speaks TLS, and this connector runs without certificates";
  return protocol.startsWith("HTTP/1.1")
    ? `it speaks ${protocol} and not gRPC: is this the port of a REST API?`
    : `it is not a connector: it speaks ${protocol}`;
}
