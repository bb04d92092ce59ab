// What is checked of the certificates that a connector is started with, so that a mistake is one clear
// sentence at start and not a failed handshake later. TLS itself verifies every connection besides.
// Pure: PEM texts in, a verdict out.

import { X509Certificate as NodeCertificate } from "node:crypto";
import type { PeerIdentity } from "../peer_identity.ts";
import {
  certificatePem,
  EXTENDED_USAGE,
  KEY_USAGE,
  parseCertificates,
  type PemText,
} from "./certificate.ts";
import { findChain, type LabelledCertificate, unfit } from "./chain.ts";
import { identityOf } from "./identity.ts";
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

/** Both, because a connector is client and server with one certificate. */
const WANTED_USAGES: [oid: string, name: string][] = [
  [EXTENDED_USAGE.serverAuth, "serverAuth"],
  [EXTENDED_USAGE.clientAuth, "clientAuth"],
];

/**
 * Checks that the certificate is a valid leaf for both roles, that the key is its own, and that it chains to
 * a root.
 *
 * @throws {ConnectorError} `invalid_argument` for what cannot be read; `failed_precondition` for what does
 *   not fit together or is not valid now. The message names the file.
 */
export async function checkServerCertificates(
  pems: ServerPems,
  options: { now?: Date } = {},
): Promise<CheckedCertificates> {
  const now = options.now ?? new Date();
  const roots = labelled(pems.root);
  const [leaf, ...intermediates] = labelled(pems.certificate);
  const key = readPrivateKey(pems.key);
  // parseCertificates returns at least one.
  if (leaf === undefined) throw new TypeError("no certificate was parsed");

  const [root] = roots;
  if (root !== undefined && !roots.some(({ certificate }) => certificate.isCa)) {
    throw unfit(root, `"${root.certificate.subject}" is not a CA`, RENEW_ROOT_HINT);
  }
  if (!new NodeCertificate(certificatePem(leaf.certificate)).checkPrivateKey(key)) {
    throw unfit(pems.key, `it does not belong to ${leaf.label}`);
  }
  checkLeaf(leaf);
  for (const link of intermediates) checkExtendedUsages(link);
  const chain = await findChain({ leaf, intermediates, roots }, { now });
  for (const link of chain) checkValidity(link, now);

  const ends = chain.map(({ certificate }) => certificate.notAfter.getTime());
  return {
    identity: identityOf(leaf.certificate),
    notAfter: new Date(Math.min(...ends)),
    warnings: chain.flatMap((link) => warningOf(link, now)),
  };
}

function checkLeaf(leaf: LabelledCertificate): void {
  const { certificate } = leaf;
  if (!certificate.hasExtensions) {
    throw unfit(leaf, "it has no extensions (X.509 version 1), want a version 3 certificate");
  }
  if (certificate.claimsCa) throw unfit(leaf, "it is a CA, want a leaf that a root has signed");
  const { keyUsage } = certificate;
  if (keyUsage !== undefined && (keyUsage & KEY_USAGE.digitalSignature) === 0) {
    throw unfit(leaf, "its key usage lacks digitalSignature, which TLS needs");
  }
  checkExtendedUsages(leaf);
}

function checkExtendedUsages(link: LabelledCertificate): void {
  const { extendedUsages } = link.certificate;
  if (extendedUsages === undefined) return;
  const missing = WANTED_USAGES.filter(([oid]) => !extendedUsages.includes(oid))
    .map(([, name]) => name);
  if (missing.length > 0) {
    throw unfit(
      link,
      `its extended key usage lacks ${missing.join(" and ")}, want both roles of TLS`,
    );
  }
}

function checkValidity({ label, certificate }: LabelledCertificate, now: Date): void {
  const { notBefore, notAfter, isCa } = certificate;
  const hint = isCa ? RENEW_ROOT_HINT : RENEW_LEAF_HINT;
  if (now > notAfter) throw unfit({ label }, `it expired at ${notAfter.toISOString()}`, hint);
  if (now < notBefore) {
    throw unfit({ label }, `it is not valid before ${notBefore.toISOString()}`, CLOCK_HINT);
  }
}

function warningOf({ label, certificate }: LabelledCertificate, now: Date): string[] {
  const daysLeft = (certificate.notAfter.getTime() - now.getTime()) / DAY_MS;
  if (daysLeft >= WARNING_DAYS) return [];
  const days = daysLeft < 1 ? "less than a day" : `${Math.floor(daysLeft)} days`;
  const text = `${label} expires in ${days}, at ${certificate.notAfter.toISOString()}`;
  return [`${text.charAt(0).toUpperCase()}${text.slice(1)}`];
}

function labelled(text: PemText): LabelledCertificate[] {
  return parseCertificates(text).map((certificate) => ({ label: text.label, certificate }));
}
