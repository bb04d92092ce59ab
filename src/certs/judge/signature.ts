// Verifies the signature of one certificate, or of a list of revoked ones, with the key of another, for the kinds of keys and
// signatures that TLS accepts here too, and no others. A signature that the key cannot verify is
// not good; this file does not say why.

import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { Certificate } from "../reader/certificate.ts";

/** A kind of signature, as node:crypto verifies it. */
interface Scheme {
  key: "rsa" | "ec" | "ed25519";
  hash: "sha256" | "sha384" | "sha512" | null;
  pss?: boolean;
}

/**
 * By the algorithm in DER, with its parameters, which have one form each: RFC 4055 sections 3 and 5, RFC 5758 section
 * 3.2, RFC 8410 section 3. SHA-1 and MD5 are not among them.
 */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  "300d06092a864886f70d01010b0500": { key: "rsa", hash: "sha256" },
  "300d06092a864886f70d01010c0500": { key: "rsa", hash: "sha384" },
  "300d06092a864886f70d01010d0500": { key: "rsa", hash: "sha512" },
  "300a06082a8648ce3d040302": { key: "ec", hash: "sha256" },
  "300a06082a8648ce3d040303": { key: "ec", hash: "sha384" },
  "300a06082a8648ce3d040304": { key: "ec", hash: "sha512" },
  "300506032b6570": { key: "ed25519", hash: null },
  [pssAlgorithm("01", "20")]: { key: "rsa", hash: "sha256", pss: true },
  [pssAlgorithm("02", "30")]: { key: "rsa", hash: "sha384", pss: true },
  [pssAlgorithm("03", "40")]: { key: "rsa", hash: "sha512", pss: true },
};

/** RSASSA-PSS whose two hashes are the same of the SHA-2 family, and whose salt is as long as the hash. */
function pssAlgorithm(hashNumber: string, saltLength: string): string {
  const hash = `300d060960864801650304020${hashNumber.slice(1)}0500`;
  return `304106092a864886f70d01010a3034a00f${hash}a11c301a06092a864886f70d010108${hash}a2030201${saltLength}`;
}

/** Curves of keys that TLS here knows. */
const CURVES: readonly string[] = ["prime256v1", "secp384r1", "secp521r1"];
/** Bits of RSA keys that TLS here takes. */
const RSA_BITS = { least: 2048, most: 8192 } as const;
/** A larger exponent makes a signature costly to verify; everybody uses 65537. */
const MAX_RSA_EXPONENT = 2n ** 33n;

/** Keys that were read, or undefined for those that are of no use: a root's is asked for at every handshake. */
const keys = new WeakMap<Certificate, KeyObject | undefined>();

/** The key of a certificate; undefined when it is of a kind or a size that is not taken. */
export function publicKeyOf(certificate: Certificate): KeyObject | undefined {
  if (!keys.has(certificate)) keys.set(certificate, readPublicKey(certificate));
  return keys.get(certificate);
}

function readPublicKey({ publicKeyInfo }: Certificate): KeyObject | undefined {
  let key: KeyObject;
  try {
    // The runtime takes bytes; its types want a Buffer, which other layers have no use for.
    const options = { key: publicKeyInfo, format: "der", type: "spki" } as unknown;
    key = createPublicKey(options as Parameters<typeof createPublicKey>[0]);
  } catch {
    // It throws for kinds of keys that it does not know, and for damaged ones.
    return undefined;
  }
  return isTaken(key) ? key : undefined;
}

function isTaken(key: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n, namedCurve = "" } = key.asymmetricKeyDetails ??
    {};
  switch (key.asymmetricKeyType) {
    case "rsa":
      return modulusLength >= RSA_BITS.least && modulusLength <= RSA_BITS.most &&
        publicExponent >= 3n && publicExponent < MAX_RSA_EXPONENT;
    case "ec":
      return CURVES.includes(namedCurve);
    case "ed25519":
      return true;
    default:
      return false;
  }
}

/** What was signed, and how: a certificate, or a list of revoked ones. */
export type Signed = Pick<Certificate, "signedContent" | "signatureAlgorithm" | "signature">;

/** Whether something was signed in a way that can be verified here at all. */
export function hasKnownSignature({ signatureAlgorithm }: Signed): boolean {
  return SCHEMES[signatureAlgorithm.toHex()] !== undefined;
}

/** Whether the key of another certificate could have been used as its algorithm says, as far as TLS here knows. */
export function isVerifiable({ signatureAlgorithm }: Signed, issuer: Certificate): boolean {
  const scheme = SCHEMES[signatureAlgorithm.toHex()];
  if (scheme?.key !== "ec" || scheme.hash !== "sha256") return true;
  const key = publicKeyOf(issuer);
  return key?.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "secp521r1";
}

/** Whether something was signed with the key of a certificate. Never throws. */
export function isSignedBy(signed: Signed, issuer: Certificate): boolean {
  const scheme = SCHEMES[signed.signatureAlgorithm.toHex()];
  const key = publicKeyOf(issuer);
  if (scheme === undefined || key === undefined || key.asymmetricKeyType !== scheme.key) {
    return false;
  }
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  try {
    return verify(
      scheme.hash,
      signed.signedContent,
      scheme.pss ? { key, padding, saltLength } : key,
      signed.signature,
    );
  } catch {
    // It throws for a signature of another form than the key's, which is no signature by this key.
    return false;
  }
}
