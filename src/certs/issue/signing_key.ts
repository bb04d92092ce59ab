// Keys that sign certificates: makes them, writes them as PEM, and turns them into what WebCrypto
// signs with. No file is touched here.

import { createPrivateKey, type KeyObject } from "node:crypto";
import { ConnectorError, reasonOf } from "../../model/errors.ts";
import { encodePem } from "../reader/pem.ts";
import type { KeyType } from "./defaults.ts";

/** How WebCrypto takes a key of one kind, and the hash that belongs to it. */
interface SigningScheme {
  algorithm: EcKeyGenParams | RsaHashedImportParams;
  hash: "SHA-256" | "SHA-384";
}

const ECDSA_P256: EcKeyGenParams = { name: "ECDSA", namedCurve: "P-256" };
const RSA_4096: RsaHashedKeyGenParams = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength: 4096,
  // 65537, the exponent that everybody uses.
  publicExponent: new Uint8Array([1, 0, 1]),
};

const P256: SigningScheme = {
  algorithm: ECDSA_P256,
  hash: "SHA-256",
};
const P384: SigningScheme = {
  algorithm: { name: "ECDSA", namedCurve: "P-384" },
  hash: "SHA-384",
};
const RSA: SigningScheme = {
  algorithm: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  hash: "SHA-256",
};

/** A key that certificates are signed with, and the hash to sign with. */
export interface SigningKey {
  key: CryptoKey;
  hash: "SHA-256" | "SHA-384";
}

/** A new pair. RSA takes about a second, ECDSA some tens of milliseconds. */
export async function generateKeyPair(type: KeyType): Promise<CryptoKeyPair> {
  const algorithm = type === "ecdsa-p256" ? ECDSA_P256 : RSA_4096;
  return await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/**
 * Makes a key ready to sign certificates.
 *
 * @throws {ConnectorError} `invalid_argument` for another kind than RSA, P-256 and P-384, and for a damaged key;
 *   `label` names the key.
 */
export async function toSigningKey(key: KeyObject, label: string): Promise<SigningKey> {
  const { algorithm, hash } = schemeOf(key, label);
  try {
    const der = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
    return { key: await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]), hash };
  } catch (error) {
    throw new ConnectorError(
      "invalid_argument",
      `Cannot sign with ${label}: the key is damaged: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

/**
 * The key as PEM. RSA is written as PKCS#1, the only form that the Go connector's `generate-certs` reads;
 * ECDSA as PKCS#8.
 */
export async function privateKeyPem(key: CryptoKey): Promise<string> {
  const der = new Uint8Array(await crypto.subtle.exportKey("pkcs8", key));
  const pem = encodePem({ label: "PRIVATE KEY", der });
  if (key.algorithm.name === ECDSA_P256.name) return `${pem}\n`;
  return createPrivateKey(pem).export({ type: "pkcs1", format: "pem" }).toString();
}

function schemeOf(key: KeyObject, label: string): SigningScheme {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType === "rsa") return RSA;
  if (key.asymmetricKeyType === "ec" && curve === "prime256v1") return P256;
  if (key.asymmetricKeyType === "ec" && curve === "secp384r1") return P384;
  const found = curve ?? key.asymmetricKeyType ?? "unknown";
  throw new ConnectorError(
    "invalid_argument",
    `Cannot sign with ${label}: it is a key of kind ${found}, want RSA, ECDSA P-256 or ECDSA P-384`,
  );
}
