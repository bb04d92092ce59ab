// Why TLS refused the certificate that a peer showed. TLS decides and says little more than "no"; this finds
// the words for the log. It decides nothing.

import { type Certificate, EXTENDED_USAGE, parseCertificate } from "./certificate.ts";
import { printable } from "./identity.ts";

/** The longest issuer that is quoted, in characters. */
const MAX_ISSUER_LENGTH = 200;

/**
 * What is wrong with a client's certificate in DER, for people: a clause about it, "its certificate ...". The
 * certificate may come from anybody and hold anything.
 */
export function explainRefusal(
  der: Uint8Array,
  { now = new Date() }: { now?: Date } = {},
): string {
  let certificate: Certificate;
  try {
    // The copy is in a buffer of its own: node hands out views into shared ones.
    certificate = parseCertificate(new Uint8Array(der));
  } catch {
    return "its certificate cannot be read";
  }
  return problemOf(certificate, now);
}

function problemOf(certificate: Certificate, now: Date): string {
  const { notBefore, notAfter, extendedUsages, claimsCa, issuer, subject } = certificate;
  if (now > notAfter) return `its certificate expired at ${notAfter.toISOString()}`;
  if (now < notBefore) return `its certificate is not valid before ${notBefore.toISOString()}`;
  if (extendedUsages !== undefined && !extendedUsages.includes(EXTENDED_USAGE.clientAuth)) {
    return "its certificate is not for clients: the extended key usage lacks clientAuth";
  }
  if (claimsCa) return "its certificate is a CA, want a leaf";
  if (issuer === subject) {
    return "its certificate is self-signed, want one that the root has signed";
  }
  const name = printable(issuer).slice(0, MAX_ISSUER_LENGTH);
  return `its certificate does not chain to the root: it was issued by "${name}"`;
}
