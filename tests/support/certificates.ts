// Certificates of every shape for tests: right ones, and ones that are wrong in exactly one way. They are made
// with the library alone, not with the code under test.

import "reflect-metadata";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { createPrivateKey } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { PemText } from "../../src/certs/reader/certificate.ts";

export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
export const DIGITAL_SIGNATURE = 1;
export const KEY_ENCIPHERMENT = 4;
export const KEY_CERT_SIGN = 32;

/** How a test wants a certificate; what is absent is as a good leaf or CA has it. */
export interface Shape {
  name?: string;
  ca?: boolean;
  pathLength?: number;
  keyUsage?: number;
  extendedUsages?: string[];
  names?: { type: "dns" | "ip" | "url"; value: string }[];
  notBefore?: Date;
  notAfter?: Date;
  curve?: "P-256" | "P-384";
  /** Issue with this pair and not with a new one. */
  keys?: CryptoKeyPair;
  /** No extensions at all, as certificates of X.509 version 1. */
  bare?: boolean;
}

/** A certificate that can sign others. */
export interface Made {
  name: string;
  keys: CryptoKeyPair;
  certificate: string;
  /** PKCS#8. */
  key: string;
}

export const DAY_MS = 86_400_000;

/** A certificate signed by `issuer`, or by itself. */
export async function makeCertificate(shape: Shape, issuer?: Made): Promise<Made> {
  const { name = shape.ca ? "Test CA" : "Test Leaf", curve = "P-256" } = shape;
  const keys = shape.keys ?? await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: curve },
    true,
    ["sign", "verify"],
  );
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    notBefore: shape.notBefore ?? new Date(Date.now() - DAY_MS),
    notAfter: shape.notAfter ?? new Date(Date.now() + 300 * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: shape.bare ? [] : extensionsOf(shape),
  });
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey));
  const key = `-----BEGIN PRIVATE KEY-----\n${
    pkcs8.toBase64().replace(/.{64}/g, "$&\n")
  }\n-----END PRIVATE KEY-----\n`;
  return { name, keys, certificate: `${certificate.toString("pem")}\n`, key };
}

/** The key of a made certificate in SEC1 form (`EC PRIVATE KEY`). */
export function sec1KeyOf({ key }: Made): string {
  return createPrivateKey(key).export({ type: "sec1", format: "pem" }).toString();
}

/** A text with a label, as files are when they have been read. */
export function labelled(label: string, pem: string): PemText {
  return { label, pem };
}

/** The committed files that were made as the Go connector makes them, with Go's crypto/x509. */
export function referenceFile(name: "root.cert" | "root.key" | "leaf.cert" | "leaf.key"): string {
  return Deno.readTextFileSync(referencePath(name));
}

/** Path of a file as `referenceFile` reads it. */
export function referencePath(name: "root.cert" | "root.key" | "leaf.cert" | "leaf.key"): string {
  return fileURLToPath(new URL(`../fixtures/reference_certs/${name}`, import.meta.url));
}

function extensionsOf({ ca = false, pathLength, ...shape }: Shape): Extension[] {
  const usages = shape.keyUsage ?? (ca ? KEY_CERT_SIGN : DIGITAL_SIGNATURE);
  const extensions: Extension[] = [
    new BasicConstraintsExtension(ca, pathLength, true),
    new KeyUsagesExtension(usages, true),
  ];
  const extended = shape.extendedUsages ?? (ca ? [] : [SERVER_AUTH, CLIENT_AUTH]);
  if (extended.length > 0) extensions.push(new ExtendedKeyUsageExtension(extended));
  const names = shape.names ?? [];
  if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
  return extensions;
}
