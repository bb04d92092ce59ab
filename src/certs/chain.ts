// Finds the chain from a leaf to one of the given roots, every signature verified. Pure; used by the checks
// at start. It takes the first issuer that fits and does not try others: name constraints, policies and
// revocation are left to TLS.

import { X509Certificate as NodeCertificate } from "node:crypto";
import { ConnectorError } from "../errors.ts";
import { type Certificate, certificatePem } from "./certificate.ts";

/** A certificate and what messages call the file it is from. */
export interface LabelledCertificate {
  label: string;
  certificate: Certificate;
}

/** What a chain is built from. */
export interface ChainParts {
  leaf: LabelledCertificate;
  /** CAs that may stand between, in any order. */
  intermediates: readonly LabelledCertificate[];
  roots: readonly LabelledCertificate[];
}

/** Certificates between a leaf and its root that are followed; TLS stacks stop at about as many. */
const MAX_INTERMEDIATES = 6;

/**
 * The leaf, its intermediates and its root, in this order.
 *
 * @throws {ConnectorError} `failed_precondition` when no chain leads to a root, or one of its CAs may not sign.
 */
export async function findChain(
  { leaf, intermediates, roots }: ChainParts,
  options: { now: Date },
): Promise<LabelledCertificate[]> {
  const chain: LabelledCertificate[] = [];
  let last = leaf;
  let unused = intermediates;
  while (chain.length <= MAX_INTERMEDIATES) {
    chain.push(last);
    const root = await findIssuer(last, { among: roots, ...options });
    const issuer = root ?? await findIssuer(last, { among: unused, ...options });
    if (issuer === undefined) throw brokenChain(last, { roots, unused });
    checkMaySign(issuer, chain.length - 1);
    if (root !== undefined) return [...chain, root];
    unused = unused.filter((candidate) => candidate !== issuer);
    last = issuer;
  }
  throw unfit(leaf, `its chain has more than ${MAX_INTERMEDIATES} intermediates`);
}

/** The error for a certificate that cannot be used, and why. */
export function unfit(
  { label }: { label: string },
  problem: string,
  hint?: string,
): ConnectorError {
  const options = hint === undefined ? {} : { hint };
  return new ConnectorError("failed_precondition", `Cannot use ${label}: ${problem}`, options);
}

/** Of several that verify (a root that was renewed with its old key), one that is valid now is preferred. */
async function findIssuer(
  { certificate }: LabelledCertificate,
  { among, now }: { among: readonly LabelledCertificate[]; now: Date },
): Promise<LabelledCertificate | undefined> {
  const found: LabelledCertificate[] = [];
  for (const candidate of among) {
    if (!namesMatch(certificate, candidate.certificate)) continue;
    if (await verifies(certificate, candidate.certificate)) found.push(candidate);
  }
  return found.find(({ certificate: { notBefore, notAfter } }) =>
    notBefore <= now && now <= notAfter
  ) ??
    found[0];
}

function namesMatch(certificate: Certificate, issuer: Certificate): boolean {
  const wanted = certificate.issuerName;
  const name = issuer.subjectName;
  return wanted.length === name.length && wanted.every((byte, index) => byte === name[index]);
}

async function verifies(certificate: Certificate, issuer: Certificate): Promise<boolean> {
  try {
    const { publicKey } = new NodeCertificate(certificatePem(issuer));
    if (new NodeCertificate(certificatePem(certificate)).verify(publicKey)) return true;
  } catch {
    // It throws for keys and signatures of kinds that it does not know.
  }
  // The library knows more kinds of signatures. It takes long to load, and mostly is not needed.
  const { isSignedBy } = await import("./signature.ts");
  return await isSignedBy(certificate.der, issuer.der);
}

function checkMaySign(issuer: LabelledCertificate, intermediatesBelow: number): void {
  const { isCa, pathLength, subject } = issuer.certificate;
  if (!isCa) throw unfit(issuer, `"${subject}" is not a CA, yet signed a certificate of the chain`);
  if (pathLength !== undefined && intermediatesBelow > pathLength) {
    throw unfit(issuer, `"${subject}" allows ${pathLength} CAs below it, the chain has more`);
  }
}

function brokenChain(
  last: LabelledCertificate,
  { roots, unused }: {
    roots: readonly LabelledCertificate[];
    unused: readonly LabelledCertificate[];
  },
): ConnectorError {
  const rootLabel = roots[0]?.label ?? "any root";
  const sameName = [...roots, ...unused].some(({ certificate }) =>
    namesMatch(last.certificate, certificate)
  );
  const problem = sameName
    ? `it was signed with another key of "${last.certificate.issuer}" than that of ${rootLabel}`
    : `it was issued by "${last.certificate.issuer}", which is not in ${rootLabel}`;
  return unfit(last, problem, "Use a leaf that was signed by this root");
}
