// What is checked of the certificates that a connector is started with, so that a mistake is one clear sentence at start
// and not a failed handshake later: by the judge that peers are judged by. Pure: PEM texts in, a verdict out.

import { X509Certificate as NodeCertificate } from "node:crypto";
import { ConnectorError } from "../errors.ts";
import type { PeerIdentity } from "../peer_identity.ts";
import {
  type Certificate,
  certificatePem,
  equalBytes,
  parseCertificates,
  type PemText,
} from "./certificate.ts";
import { identityOf } from "./identity.ts";
import { flawOfRoot, judgeChain, MAX_INTERMEDIATES, UntrustedChain } from "./judge.ts";
import { predicateOf } from "./peers.ts";
import { readPrivateKey } from "./private_key.ts";

/** The three files of a connector. */
export interface ServerPems {
  /** The roots that peers are trusted by; one or several. */
  root: PemText;
  /** The connector's own certificate; intermediates may follow it. */
  certificate: PemText;
  key: PemText;
}

/** What is known of certificates that passed. */
export interface CheckedCertificates {
  /** Who this connector is to its peers. */
  identity: PeerIdentity;
  /** The connector's own certificate, and what follows it in the file. */
  chain: readonly [Certificate, ...Certificate[]];
  /** Every root. */
  roots: readonly Certificate[];
  /** When the first certificate of the chain ends. */
  notAfter: Date;
  /** What will need attention soon, a sentence each. */
  warnings: string[];
}

/** Certificates that end sooner than this are warned about, in days. */
const WARNING_DAYS = 30;
const DAY_MS = 86_400_000;
const RENEW_ROOT_HINT = "Make a root with connector generate-certs --ca";
const CLOCK_HINT = "Check the clocks of this machine and of the one that issued it";
const RENEW_LEAF_HINT = "Make a leaf with connector generate-certs --leaf";

/**
 * Checks that every root can be one, that the certificate is a valid leaf for both roles, that the key is its own, and
 * that it chains to a root.
 *
 * @throws {ConnectorError} `invalid_argument` for what cannot be read; `failed_precondition` for what does
 *   not fit together or is not valid now. The message names the file.
 */
export function checkServerCertificates(
  pems: ServerPems,
  options: { now?: Date } = {},
): CheckedCertificates {
  const now = options.now ?? new Date();
  const roots = parseCertificates(pems.root);
  const chain = parseCertificates(pems.certificate);
  const key = readPrivateKey(pems.key);
  const [leaf, ...intermediates] = chain;
  // parseCertificates returns at least one.
  if (leaf === undefined) throw new TypeError("no certificate was parsed");
  checkRoots(roots, pems.root);
  if (!belongsTo(key, leaf)) {
    throw unfit(pems.key, `it does not belong to ${pems.certificate.label}`);
  }
  let path: Certificate[];
  try {
    // A connector is client and server with one certificate.
    path = judgeChain({ leaf, intermediates }, { roots, purpose: "both", now });
  } catch (error) {
    if (error instanceof UntrustedChain) throw explain(error, { leaf, roots, pems });
    throw error;
  }
  const ends = path.map(({ notAfter }) => notAfter.getTime());
  const labelOf = (certificate: Certificate) => labelled(certificate, { roots, pems }).label;
  return {
    identity: identityOf(leaf),
    chain: [leaf, ...intermediates],
    roots,
    notAfter: new Date(Math.min(...ends)),
    warnings: path.flatMap((each) => warningOf(each, labelOf(each), now)),
  };
}

/** Every root lets peers in, so each has to be one. */
function checkRoots(roots: readonly Certificate[], { label }: PemText): void {
  for (const [index, root] of roots.entries()) {
    const flaw = flawOfRoot(root);
    if (flaw === undefined) continue;
    const which = roots.length === 1 ? "" : `certificate ${index + 1} in it, `;
    const problem = flaw.kind === "may not sign"
      ? root.claimsCa ? "is a CA whose key usage forbids to sign certificates" : "is not a CA"
      : flaw.kind === "no issuer" || flaw.kind === "wrong signature"
      ? flaw.kind
      : predicateOf(flaw, root);
    throw unfit({ label }, `${which}"${root.subject}" ${problem}`, RENEW_ROOT_HINT);
  }
}

function belongsTo(key: ReturnType<typeof readPrivateKey>, leaf: Certificate): boolean {
  try {
    return new NodeCertificate(certificatePem(leaf)).checkPrivateKey(key);
  } catch {
    // It throws for keys of kinds that it does not know.
    return false;
  }
}

/** What a certificate of a path is from. */
interface Origin {
  roots: readonly Certificate[];
  pems: ServerPems;
}

function labelled(certificate: Certificate, { roots, pems }: Origin): PemText {
  return roots.some(({ der }) => equalBytes(der, certificate.der)) ? pems.root : pems.certificate;
}

function explain(
  { flaw, certificate }: UntrustedChain,
  { leaf, ...origin }: Origin & { leaf: Certificate },
): ConnectorError {
  const { pems, roots } = origin;
  const from = labelled(certificate, origin);
  const { issuer, subject } = certificate;
  switch (flaw.kind) {
    case "no issuer":
      return unfit(
        pems.certificate,
        `it was issued by "${issuer}", which is not in ${pems.root.label}`,
        NOT_OUR_ROOT_HINT,
      );
    case "wrong signature": {
      const isRoot = roots.some(({ subjectName }) =>
        equalBytes(subjectName, certificate.issuerName)
      );
      const whose = isRoot ? `that of ${pems.root.label}` : `that of the certificate in it`;
      return unfit(
        pems.certificate,
        `it was signed with another key of "${issuer}" than ${whose}`,
        NOT_OUR_ROOT_HINT,
      );
    }
    case "too long":
      return unfit(pems.certificate, `its chain has more than ${MAX_INTERMEDIATES} intermediates`);
    case "leaf is a CA":
    case "leaf is a root":
      return unfit(pems.certificate, "it is a CA, want a leaf that a root has signed");
    case "may not sign":
      return unfit(from, `"${subject}" is not a CA, yet signed a certificate of the chain`);
    case "path length":
      return unfit(from, `"${subject}" ${predicateOf(flaw, certificate)}`);
    case "key usage":
      return unfit(from, "its key usage lacks digitalSignature, which TLS needs");
    case "extended key usage":
      return unfit(
        from,
        `its extended key usage lacks ${flaw.missing.join(" and ")}, want both roles of TLS`,
      );
    case "expired":
      return unfit(
        from,
        `it ${predicateOf(flaw, certificate)}`,
        certificate === leaf ? RENEW_LEAF_HINT : RENEW_ROOT_HINT,
      );
    case "not yet valid":
      return unfit(from, `it ${predicateOf(flaw, certificate)}`, CLOCK_HINT);
    case "version":
      if (!certificate.hasExtensions && certificate === leaf) {
        return unfit(from, "it has no extensions (X.509 version 1), want a version 3 certificate");
      }
  }
  const who = certificate === leaf ? "it" : `"${subject}" in it`;
  return unfit(from, `${who} ${predicateOf(flaw, certificate)}`);
}

const NOT_OUR_ROOT_HINT = "Use a leaf that was signed by this root";

/** The error for a file that cannot be used, and why. */
function unfit({ label }: { label: string }, problem: string, hint?: string): ConnectorError {
  const options = hint === undefined ? {} : { hint };
  return new ConnectorError("failed_precondition", `Cannot use ${label}: ${problem}`, options);
}

function warningOf({ notAfter }: Certificate, label: string, now: Date): string[] {
  const daysLeft = (notAfter.getTime() - now.getTime()) / DAY_MS;
  if (daysLeft >= WARNING_DAYS) return [];
  const days = daysLeft < 1 ? "less than a day" : `${Math.floor(daysLeft)} days`;
  const text = `${label} expires in ${days}, at ${notAfter.toISOString()}`;
  return [`${text.charAt(0).toUpperCase()}${text.slice(1)}`];
}
