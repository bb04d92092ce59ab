// The certificates that a peer has shown over TLS, as the bytes that came. Used on both sides of a handshake.
//
// What is wrong: the runtime's own view of them is for people (`getPeerCertificate`). Where a
// certificate behind the first cannot be read, making that view throws in the middle of an event
// (`buildPeerLegacyCertificate` of node:tls), so anybody who connects could end the process.
// Seen in Deno 2.9.6.
// Upstream: no report found. To reproduce: show a good certificate to a server with `requestCert`, and behind it one whose
// version is -1.
// Once mended: `raw` and `issuerCertificate` of `getPeerCertificate(true)` are enough, and nothing
// needs to be hidden.

import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

/** The most that are taken; whoever judges them refuses so many. */
const MAX_TAKEN = 40;

/** What is asked of the handle under a TLS socket of the runtime: the bytes, of which it makes nothing. */
interface TlsHandle {
  getPeerCertificateChain?: () => { certificates?: readonly Uint8Array[] } | null;
}

/**
 * What a peer has shown, its own first, each in DER; nothing when it has shown none, or what the runtime cannot read.
 * Never throws.
 */
export function shownCertificates(socket: TLSSocket): Uint8Array[] {
  try {
    // Private in its types, a plain property in fact. A test fails were the platform to change it.
    const { _handle: handle } = socket as TLSSocket & { _handle?: TlsHandle | null };
    const chain = handle?.getPeerCertificateChain?.()?.certificates;
    return chain === undefined ? certificatesFromView(socket) : chain.slice(0, MAX_TAKEN);
  } catch {
    return [];
  }
}

/** By the view for people, in which a root of ours may be the last. */
function certificatesFromView(socket: TLSSocket): Uint8Array[] {
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

/**
 * Keeps the runtime from making its view of the certificates of a server that we dial, which it does as the handshake
 * ends, before anybody can judge them. Returns what undoes it.
 */
export function hidePeerCertificate(socket: TLSSocket): () => void {
  Object.defineProperty(socket, "getPeerCertificate", { value: () => ({}), configurable: true });
  return () => Reflect.deleteProperty(socket, "getPeerCertificate");
}
