// The certificates that a peer has shown over TLS, as bytes: what the runtime makes of them is for people.

import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

/** The most that are taken; whoever judges them refuses so many. A root of ours may be the last, which TLS has added. */
const MAX_TAKEN = 40;

/** What a peer has shown, its own first, each in DER; nothing when it has shown none. */
export function shownCertificates(socket: TLSSocket): Uint8Array[] {
  const taken: Uint8Array[] = [];
  const seen = new Set<object>();
  // An empty object stands for none. Each refers to the next, the last one to itself or to nothing.
  let next: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true);
  while (next?.raw && !seen.has(next) && taken.length < MAX_TAKEN) {
    seen.add(next);
    taken.push(next.raw);
    next = next.issuerCertificate;
  }
  return taken;
}
