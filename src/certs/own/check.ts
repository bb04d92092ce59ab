// Checks the certificates that a connector is started with, so that a mistake is one clear sentence
// at start and not a failed handshake later. It asks the same judge as for peers. It tries no
// handshake: the first one costs more than 40 ms, and a test compares the verdict with what TLS
// does. Pure: PEM texts in, a verdict out.

import { ConnectorError } from "../../model/errors.ts";
import type { PeerIdentity } from "../../model/peer_identity.ts";
import {
  type Certificate,
  equalBytes,
  parseCertificates,
  type PemText,
} from "../reader/certificate.ts";
import { identityOf } from "../identity/description.ts";
import { flawOfRoot, judgeChain, MAX_INTERMEDIATES, UntrustedChain } from "../judge/chain.ts";
import type { OwnCertificate } from "./validity.ts";
import { clockOf, MAX_SHOWN, predicateOf } from "../judge/peers.ts";
import { isKeyOf, readPrivateKey } from "../files/private_key.ts";

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
  /** When the first certificate of the path ends. */
  notAfter: Date;
  /** From the connector's own certificate to a root. */
  path: readonly OwnCertificate[];
  /** Why peers refuse this connector at another time, in a clause; undefined while they do not. */
  problemAt: (now: Date) => string | undefined;
  /** What may be meant, and is of little use, a sentence each. */
  warnings: string[];
}

const RENEW_ROOT_HINT = "Make a root with connector generate-certs --ca";
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
  if (!isKeyOf(key, leaf)) {
    throw unfit(pems.key, `it does not belong to ${pems.certificate.label}`);
  }
  if (chain.length > MAX_SHOWN) {
    throw unfit(
      pems.certificate,
      `it holds ${chain.length} certificates, and peers take at most ${MAX_SHOWN}`,
      "Leave only the certificate and the intermediates between it and its root",
    );
  }
  let path: Certificate[];
  try {
    // A connector is client and server with one certificate.
    path = judgeChain({ leaf, intermediates }, { roots, purpose: "both", now });
  } catch (error) {
    if (error instanceof UntrustedChain) throw explain(error, { leaf, roots, pems, now });
    throw error;
  }
  const own = path.map((each) => {
    const { notBefore, notAfter, subject } = each;
    const { label } = labelled(each, { roots, pems });
    const inside = each === leaf || roots.length === 1 && each === roots[0];
    return { notBefore, notAfter, label: inside ? label : `"${subject}" in ${label}` };
  });
  return {
    identity: identityOf(leaf),
    chain: [leaf, ...intermediates],
    roots,
    notAfter: new Date(Math.min(...own.map(({ notAfter }) => notAfter.getTime()))),
    path: own,
    problemAt(now) {
      const problem = problemOf(own, now);
      if (problem === undefined) return undefined;
      try {
        // There may be another path.
        judgeChain({ leaf, intermediates }, { roots, purpose: "both", now });
      } catch (error) {
        if (error instanceof UntrustedChain) return problem;
        throw error;
      }
      return undefined;
    },
    warnings: hasHost(leaf) ? [] : [
      `Peers that dial this connector refuse it: ${pems.certificate.label} has no host name or address`,
    ],
  };
}

/** The first certificate of a path that is not valid at a time, and why. */
function problemOf(path: readonly OwnCertificate[], now: Date): string | undefined {
  const outside = path.find(({ notBefore, notAfter }) => now > notAfter || now < notBefore);
  if (outside === undefined) return undefined;
  const kind = now > outside.notAfter ? "expired" : "not yet valid";
  return `${outside.label} ${predicateOf({ kind }, outside)}; ${clockOf(now)}`;
}

function hasHost({ alternativeNames }: Certificate): boolean {
  return alternativeNames.some(({ type }) => type === "dns" || type === "ip");
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
  { leaf, now, ...origin }: Origin & { leaf: Certificate; now: Date },
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
      return unfit(
        pems.certificate,
        "it is a CA, want a leaf that a root has signed",
        RENEW_LEAF_HINT,
      );
    case "may not sign":
      return unfit(from, `"${subject}" is not a CA, yet signed a certificate of the chain`);
    case "path length":
      return unfit(from, `"${subject}" ${predicateOf(flaw, certificate)}`);
    case "key usage":
      return unfit(from, "its key usage lacks digitalSignature, which TLS needs", ANEW_HINT);
    case "extended key usage":
      return unfit(
        from,
        `its extended key usage lacks ${flaw.missing.join(" and ")}, want both roles of TLS`,
        ANEW_HINT,
      );
    case "expired":
      return unfit(
        from,
        `it ${predicateOf(flaw, certificate)}`,
        `${certificate === leaf ? RENEW_LEAF_HINT : RENEW_ROOT_HINT}; ${clockOf(now)}`,
      );
    case "not yet valid":
      return unfit(
        from,
        `it ${predicateOf(flaw, certificate)}`,
        `Check the clocks of this machine and of the one that issued it; ${clockOf(now)}`,
      );
    case "version":
      if (!certificate.hasExtensions && certificate === leaf) {
        const problem = "it has no extensions (X.509 version 1), want a version 3 certificate";
        return unfit(from, problem, ANEW_HINT);
      }
  }
  const who = certificate === leaf ? "it" : `"${subject}" in it`;
  return unfit(from, `${who} ${predicateOf(flaw, certificate)}`, ANEW_HINT);
}

const ANEW_HINT = "Have a suitable one issued, or make one with connector generate-certs";
const NOT_OUR_ROOT_HINT = "Use a leaf that was signed by this root";

/** The error for a file that cannot be used, and why. */
function unfit({ label }: { label: string }, problem: string, hint?: string): ConnectorError {
  const options = hint === undefined ? {} : { hint };
  return new ConnectorError("failed_precondition", `Cannot use ${label}: ${problem}`, options);
}
