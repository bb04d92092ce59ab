// What tests ask of a peer that shows a certificate over TLS, whoever it is made of: openssl_peer.ts, bare_peer.ts.

import { concat, hex, text } from "./der_writer.ts";

export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** What the peer shows. */
export interface Presented {
  /** The leaf first. */
  chain: readonly Uint8Array[];
  /** PKCS#8 in PEM. */
  key: string;
  version: TlsVersion;
}

/** What became of one connection. */
export interface Outcome {
  /**
   * `in`: we spoke HTTP/2 to it, or answered its call. `unpresentable`: the peer cannot show this at all.
   */
  verdict: "in" | "out" | "unpresentable";
  /** The peer's view of it. */
  why: string;
}

/** A server of the peer's that takes one connection. */
export interface OfferedServer {
  port: number;
  /** What became of the connection. */
  outcome: Promise<Outcome>;
  /** Ends it if nobody has come. */
  forget(): Promise<void>;
}

/** A peer. */
export interface TlsPeer extends AsyncDisposable {
  /** Connects to a port of this machine, shows the chain, and makes a call. */
  connect(presented: Presented, to: { port: number }): Promise<Outcome>;
  /** Listens with the chain; an outcome when it cannot show it. */
  serve(presented: Presented, on: { host: string }): Promise<OfferedServer | Outcome>;
}

/** An empty SETTINGS frame. */
export const SETTINGS = hex("000000040000000000");
const PREFACE = text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const HEADERS_TYPE = 1;

/** Headers of a call of ListServices, each as a literal that enters no table. RFC 7541 section 6.2.2. */
const HEADERS = concat(
  ...[
    [":method", "POST"],
    [":scheme", "https"],
    [":path", "/shipyard.RemoteConnection/ListServices"],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ].flatMap((pair) => [
    hex("00"),
    ...pair.map((value) => concat(Uint8Array.of(value.length), text(value))),
  ]),
);

/** All that a client says to have its call answered. */
export const CALL = concat(
  PREFACE,
  SETTINGS,
  Uint8Array.of(0, 0, HEADERS.length, HEADERS_TYPE, 0x4, 0, 0, 0, 1),
  HEADERS,
  // One message of no bytes.
  hex("0000050001000000010000000000"),
);

/** Whether a server's frames hold the head of an answer. */
export function isAnswered(bytes: Uint8Array): boolean {
  for (let at = 0; at + 9 <= bytes.length;) {
    if (bytes[at + 3] === HEADERS_TYPE) return true;
    const [high = 0, middle = 0, low = 0] = bytes.subarray(at, at + 3);
    at += 9 + (high << 16) + (middle << 8) + low;
  }
  return false;
}

/** Whether a client speaks HTTP/2: it does when it believes the server's certificate. */
export function isPreface(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(0, 14)) === "PRI * HTTP/2.0";
}
