// Judges peers' certificates, and gives its reasons in words. A peer may show anything, so it is
// read strictly, bounded and made printable, and any fault in it is one foreseen error.

import { ConnectorError, reasonOf } from "../../model/errors.ts";
import type { JudgePeer, PeerRole } from "../../model/peer_judge.ts";
import { printable } from "../../plain_text.ts";
import { type Certificate, parseCertificate } from "../reader/certificate.ts";
import { isFor } from "./host_names.ts";
import { type Flaw, judgeChain, UntrustedChain } from "./chain.ts";
import { type CertificateMark, markOf, RevokedCertificates } from "./revoked.ts";

/** The most certificates that a peer may show: far more than a chain has. */
export const MAX_SHOWN = 32;
/** The longest name that is quoted, in characters. */
const MAX_QUOTED_LENGTH = 200;

/** What a judge of peers needs besides its roots. */
export interface PeerJudgeOptions {
  now?: () => Date;
  /** The certificates that are revoked now. Default: none. */
  revoked?: () => RevokedCertificates;
}

const NONE = new RevokedCertificates();

/** Makes the judge of peers whose certificates must chain to one of the roots. */
export function createPeerJudge(
  roots: readonly Certificate[],
  { now = () => new Date(), revoked = () => NONE }: PeerJudgeOptions = {},
): JudgePeer {
  return (chain, role) => {
    const [leaf, ...intermediates] = readChain(chain);
    if (leaf === undefined) throw refusal("it has no certificate");
    const at = now();
    const list = revoked();
    let path: Certificate[];
    try {
      path = judgeChain({ leaf, intermediates }, {
        roots,
        purpose: role.purpose,
        now: at,
        isRevoked: (certificate, place) => list.size > 0 && list.has(markOf(certificate, place)),
      });
    } catch (error) {
      if (!(error instanceof UntrustedChain)) throw error;
      const { kind } = error.flaw;
      const clock = kind === "expired" || kind === "not yet valid" ? `; ${clockOf(at)}` : "";
      throw refusal(`${describeFlaw(error, leaf)}${clock}`, error);
    }
    checkHost(leaf, role);
    const marks = path.map((each) => markOf(each, { isRoot: each === path.at(-1) }));
    return {
      revoked() {
        const found = marks.find((mark) => revoked().has(mark));
        return found && describeRevoked(found);
      },
    };
  };
}

/** For the peer as well as for the log: a sentence that does not say whose it is. */
function describeRevoked({ subject, serial }: CertificateMark): string {
  return `the certificate "${subject}" with the serial number ${serial} is revoked`;
}

function readChain(chain: readonly Uint8Array[]): Certificate[] {
  if (chain.length > MAX_SHOWN) {
    throw refusal(`it shows ${chain.length} certificates, want at most ${MAX_SHOWN}`);
  }
  return chain.map((der, index) => {
    try {
      // The copy is in a buffer of its own: node hands out views into shared ones.
      return parseCertificate(new Uint8Array(der));
    } catch (error) {
      const which = index === 0 ? "its certificate" : "a certificate of its chain";
      throw refusal(`${which} cannot be read: ${reasonOf(error)}`, error);
    }
  });
}

function checkHost(leaf: Certificate, role: PeerRole): void {
  if (role.purpose !== "server" || isFor(leaf, role.host)) return;
  const hosts = leaf.alternativeNames.filter(({ type }) => type === "dns" || type === "ip")
    .map(({ value }) => value);
  throw refusal(`its certificate is for ${quotedList(hosts)} and not for ${role.host}`);
}

function quotedList(names: readonly string[]): string {
  if (names.length === 0) return "no host";
  return printable(names.join(", "), MAX_QUOTED_LENGTH);
}

/** A clause about the peer. */
function describeFlaw({ flaw, certificate }: UntrustedChain, leaf: Certificate): string {
  const issuer = quote(certificate.issuer);
  if (flaw.kind === "no issuer") {
    return certificate === leaf && certificate.issuer === certificate.subject
      ? "its certificate is self-signed, want one that the root has signed"
      : `its certificate does not chain to the root: it was issued by ${issuer}`;
  }
  if (flaw.kind === "wrong signature") {
    return `its certificate does not chain to the root: it was not signed with the key of ${issuer}`;
  }
  const predicate = predicateOf(flaw, certificate);
  return certificate === leaf
    ? `its certificate ${predicate}`
    : `its certificate was issued under ${quote(certificate.subject)}, which ${predicate}`;
}

/** What the clock says by which a certificate was judged: it may be the clock that is wrong. */
export function clockOf(now: Date): string {
  return `the clock of this machine says ${now.toISOString()}`;
}

/** What is wrong with a certificate, as a predicate. */
export function predicateOf(
  flaw: Exclude<Flaw, { kind: "no issuer" | "wrong signature" }>,
  { version = 0, notBefore, notAfter, pathLength = 0, signatureAlgorithm }:
    & Pick<Certificate, "notBefore" | "notAfter">
    & Partial<Certificate>,
): string {
  switch (flaw.kind) {
    case "version":
      return `is of X.509 version ${version}, want version 3`;
    case "unknown extension":
      return `has the critical extension ${nameOfExtension(flaw.oid)}, which is not supported`;
    case "expired":
      return `expired at ${notAfter.toISOString()}`;
    case "not yet valid":
      return `is not valid before ${notBefore.toISOString()}`;
    case "key usage":
      return "is not for TLS: the key usage lacks digitalSignature";
    case "extended key usage": {
      const [first] = flaw.missing;
      const whom = flaw.missing.length > 1 ? "TLS" : first === "clientAuth" ? "clients" : "servers";
      return `is not for ${whom}: the extended key usage lacks ${flaw.missing.join(" and ")}`;
    }
    case "key":
      return `has a key that is not supported, want ${TAKEN_KEYS}`;
    case "signature algorithm":
      return `has a signature of a kind that is not supported${
        nameOfSignature(signatureAlgorithm)
      }, want SHA-256, SHA-384 or SHA-512 with RSA or ECDSA, or Ed25519`;
    case "signature by key":
      return "was signed by a P-521 key with SHA-256, which our TLS library cannot verify, want SHA-512";
    case "leaf is a root":
      return "is one of the roots, want a leaf";
    case "leaf is a CA":
      return "is a CA, want a leaf";
    case "may not sign":
      return "may not sign certificates";
    case "path length":
      return `allows ${pathLength} CAs below it, the chain has more`;
    case "name constraints":
      return "does not allow the names of a certificate below it";
    case "revoked":
      return "is revoked";
    case "too long":
      return "has a chain that is too long";
  }
}

/** The keys that certificates may have, for people. */
export const TAKEN_KEYS = "RSA of 2048 to 8192 bits, ECDSA with P-256, P-384 or P-521, or Ed25519";

/** Extensions that authorities make critical, by their OID. RFC 5280 section 4.2.1, RFC 7633. */
const EXTENSION_NAMES: Readonly<Record<string, string>> = {
  "1.3.6.1.5.5.7.1.24": "must-staple",
  "1.3.6.1.4.1.11129.2.4.3": "precertificate poison",
  "2.5.29.31": "CRL distribution points",
  "2.5.29.32": "certificate policies",
  "2.5.29.33": "policy mappings",
  "2.5.29.36": "policy constraints",
  "2.5.29.54": "inhibit any policy",
};

function nameOfExtension(oid: string): string {
  const name = EXTENSION_NAMES[oid];
  return name === undefined ? oid : `${oid} (${name})`;
}

/** Kinds of signature that are met and not taken, by the beginning of the algorithm in DER. RFC 3279, RFC 5758, RFC 8410. */
const SIGNATURE_NAMES: readonly (readonly [start: string, name: string])[] = [
  ["300d06092a864886f70d010104", "MD5 with RSA"],
  ["300d06092a864886f70d010105", "SHA-1 with RSA"],
  ["300d06092a864886f70d01010e", "SHA-224 with RSA"],
  ["300906072a8648ce3d0401", "SHA-1 with ECDSA"],
  ["300a06082a8648ce3d040301", "SHA-224 with ECDSA"],
  ["300506032b6571", "Ed448"],
];
/** RSASSA-PSS, whatever its parameters. */
const PSS = /^30..06092a864886f70d01010a/;

function nameOfSignature(algorithm: Uint8Array | undefined): string {
  const hex = algorithm?.toHex() ?? "";
  if (PSS.test(hex)) return " (RSA-PSS, whose salt is not as long as its hash, or of another hash)";
  const name = SIGNATURE_NAMES.find(([start]) => hex.startsWith(start))?.[1];
  return name === undefined ? "" : ` (${name})`;
}

function quote(name: string): string {
  return `"${printable(name, MAX_QUOTED_LENGTH)}"`;
}

function refusal(clause: string, cause?: unknown): ConnectorError {
  return new ConnectorError("permission_denied", clause, { cause });
}
