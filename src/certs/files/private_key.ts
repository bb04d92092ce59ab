// Reads private keys from PEM in every form that is in use (PKCS#1, SEC1, PKCS#8), and says which
// certificate a key belongs to and whether TLS can use it. No file is touched here.

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { ConnectorError, type ConnectorErrorOptions, reasonOf } from "../../model/errors.ts";
import { type Certificate, certificatePem, type PemText } from "../reader/certificate.ts";

/**
 * Reads the first private key of a PEM text.
 *
 * @throws {ConnectorError} `invalid_argument` when there is none, or it is encrypted or damaged.
 */
export function readPrivateKey({ label, pem }: PemText): KeyObject {
  const fail = (problem: string, options: ConnectorErrorOptions = {}) =>
    new ConnectorError("invalid_argument", `Cannot use ${label}: ${problem}`, options);

  const block = PLAIN_KEY.exec(pem)?.[0];
  if (block === undefined) {
    throw fail(whatItHolds(pem), ENCRYPTED.test(pem) ? { hint: DECRYPT_HINT } : {});
  }
  try {
    return createPrivateKey(block);
  } catch (cause) {
    const problem = "the private key in it cannot be read, or is of a kind that is not supported";
    const reason = reasonOf(cause);
    // OpenSSL's own words, where it says no more than that it cannot.
    const why = reason.startsWith("error:") ? "" : ` (${reason})`;
    throw fail(`${problem}${why}, want ${WANTED_KEYS}`, { cause, hint: KEY_HINT });
  }
}

const WANTED_KEYS =
  "RSA of at least 2048 bits, ECDSA with the named curve P-256, P-384 or P-521, or Ed25519";
const KEY_HINT = "Make a key and its certificate with connector generate-certs --leaf";
const DECRYPT_HINT = "Write it without its passphrase: openssl pkey -in KEY -out NEW_KEY";

/** A key that is not encrypted: no headers stand in it. */
const PLAIN_KEY =
  /-----BEGIN (RSA PRIVATE KEY|EC PRIVATE KEY|PRIVATE KEY)-----[^:-]+-----END \1-----/;

/** A key behind a passphrase. RFC 7468 section 11, RFC 1421 section 4.6.1.1. */
const ENCRYPTED = /BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: *4, *ENCRYPTED/;

/** What a text without a key has in a key's place, and what is wanted. */
function whatItHolds(pem: string): string {
  if (ENCRYPTED.test(pem)) {
    return "the key is encrypted, want one without a passphrase";
  }
  const wanted = "want a private key in PEM form";
  const found = /-----BEGIN ([A-Z0-9 ]{1,64})-----/.exec(pem)?.[1];
  if (found === undefined) return `it holds no key, ${wanted}`;
  if (/^(RSA |EC )?PRIVATE KEY$/.test(found)) {
    return `the private key in it is damaged or cut off, ${wanted}`;
  }
  return `it holds ${article(found)}${found.replace(/[A-Z]{3,}/g, lowerCase)}, ${wanted}`;
}

function lowerCase(word: string): string {
  if (word === "OPENSSH") return "OpenSSH";
  return word === "RSA" || word === "DSA" ? word : word.toLowerCase();
}

/** Whether a key is that of a certificate. */
export function isKeyOf(key: KeyObject, certificate: Certificate): boolean {
  try {
    return new X509Certificate(certificatePem(certificate)).checkPrivateKey(key);
  } catch {
    // It throws for keys and certificates of kinds that it does not know.
    return false;
  }
}

function article(words: string): string {
  if (words.endsWith("S")) return "";
  return /^([AEIO]|RSA|X509)/.test(words) ? "an " : "a ";
}

/** The fewest bits of an RSA key that TLS libraries take. */
const MIN_RSA_BITS = 2048;
/** The curves and kinds of keys that the runtime can prove in a handshake. */
const TLS_CURVES: readonly string[] = ["prime256v1", "secp384r1", "secp521r1"];

/**
 * Makes sure that TLS can use a key. The runtime itself would only say so where it starts to listen, or at each
 * handshake.
 *
 * @throws {ConnectorError} `invalid_argument`; `label` names the key.
 */
export function checkTlsKey(key: KeyObject, label: string): void {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = key;
  if (kind === "ed25519") return;
  if (kind === "ec" && TLS_CURVES.includes(details?.namedCurve ?? "")) return;
  const bits = details?.modulusLength ?? 0;
  if (kind === "rsa" && bits >= MIN_RSA_BITS) return;
  const found = kind === "rsa"
    ? `an RSA key of ${bits} bits`
    : `a key of kind ${details?.namedCurve ?? kind ?? "unknown"}`;
  throw new ConnectorError(
    "invalid_argument",
    `Cannot use ${label}: it is ${found}, want RSA of at least ${MIN_RSA_BITS} bits, ` +
      "ECDSA P-256, P-384 or P-521, or Ed25519",
    { hint: KEY_HINT },
  );
}

/** The key as PEM in the form that every TLS library reads. */
export function tlsKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
