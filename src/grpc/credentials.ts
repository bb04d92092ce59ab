// What secures links: nothing, or mTLS. Certificates were checked before they come here.

import { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";

/** PEM texts of one connector. */
export interface TlsPem {
  /** The root that peers must chain to. */
  root: string;
  /** Our certificate, and what it needs to chain to the root. */
  certificate: string;
  /** Its key. */
  key: string;
}

/** Credentials for links that we open; plaintext without PEM texts. */
export function clientCredentials(tls?: TlsPem): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure();
  return ChannelCredentials.createSsl(
    Buffer.from(tls.root),
    Buffer.from(tls.key),
    Buffer.from(tls.certificate),
  );
}

/** Credentials for links that peers open: with PEM texts, only peers that chain to the root. */
export function serverCredentials(tls?: TlsPem): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(
    Buffer.from(tls.root),
    [{ private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.certificate) }],
    true,
  );
}
