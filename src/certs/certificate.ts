// Reads X.509 certificates from PEM or DER into what the rest of certs/ asks of them. All parsing happens
// here and at once, so that nobody else meets a parser's error. Nothing is verified here.

import "reflect-metadata"; // @peculiar/x509 does not load without it
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from "@peculiar/x509";
import { ConnectorError, reasonOf } from "../errors.ts";

/** A PEM text and what to call it in messages, such as `root certificate "certs/root.cert"`. */
export interface PemText {
  label: string;
  pem: string;
}

/** A subject alternative name. */
export interface AlternativeName {
  /** `dns`, `ip` and `url` are those that matter here. */
  type: string;
  value: string;
}

/** One parsed certificate. */
export interface Certificate {
  x509: X509Certificate;
  /** Subject for people, such as `O=Jumppad, CN=Connector CA`. */
  subject: string;
  /** Issuer for people. */
  issuer: string;
  notBefore: Date;
  notAfter: Date;
  /** Whether it may sign certificates: basic constraints say so, and key usage does not forbid it. */
  isCa: boolean;
  /** Whether its basic constraints say CA, whatever key usage says: TLS takes no such leaf. */
  claimsCa: boolean;
  /** How many CAs may stand between it and a leaf; absent means any number. */
  pathLength?: number;
  /** Key usage bits, absent when it has no such extension, which allows every usage. */
  keyUsage?: number;
  /** OIDs of its extended key usages, absent when it has no such extension, which allows every usage. */
  extendedUsages?: readonly string[];
  alternativeNames: readonly AlternativeName[];
  /** Whether it has any extension: a certificate of X.509 version 1 has none. */
  hasExtensions: boolean;
}

/** Certificates in one file: more than any chain or bundle of roots that a connector needs. */
const MAX_CERTIFICATES = 100;

/**
 * Every certificate of a PEM text, at least one.
 *
 * @throws {ConnectorError} `invalid_argument` when there is none, there are too many, or one is damaged.
 */
export function parseCertificates({ label, pem }: PemText): Certificate[] {
  const fail = (problem: string, cause?: unknown) =>
    new ConnectorError("invalid_argument", `Cannot use ${label}: ${problem}`, { cause });

  let blocks: ArrayBuffer[];
  try {
    blocks = PemConverter.decodeWithHeaders(pem)
      .filter(({ type }) => type === PemConverter.CertificateTag).map(({ rawData }) => rawData);
  } catch (error) {
    throw fail(`it is not a PEM file: ${reasonOf(error)}`, error);
  }
  if (blocks.length === 0) {
    const found = pem.includes("PRIVATE KEY")
      ? "it holds a private key"
      : "it holds no certificate";
    throw fail(`${found}, want a certificate in PEM form`);
  }
  if (blocks.length > MAX_CERTIFICATES) {
    throw fail(`it holds ${blocks.length} certificates, want at most ${MAX_CERTIFICATES}`);
  }
  return blocks.map((der, index) => {
    try {
      return parseCertificate(der);
    } catch (error) {
      const which = blocks.length === 1 ? "the certificate" : `certificate ${index + 1}`;
      throw fail(`${which} in it cannot be read: ${reasonOf(error)}`, error);
    }
  });
}

/** Parses one certificate from DER; throws whatever the parser throws. */
export function parseCertificate(der: BufferSource): Certificate {
  const x509 = new X509Certificate(der);
  const constraints = x509.getExtension(BasicConstraintsExtension);
  const keyUsage = x509.getExtension(KeyUsagesExtension)?.usages;
  const extendedUsages = x509.getExtension(ExtendedKeyUsageExtension)?.usages;
  const maySign = keyUsage === undefined || (keyUsage & KeyUsageFlags.keyCertSign) !== 0;
  return {
    x509,
    subject: x509.subject,
    issuer: x509.issuer,
    notBefore: x509.notBefore,
    notAfter: x509.notAfter,
    isCa: constraints?.ca === true && maySign,
    claimsCa: constraints?.ca === true,
    ...(constraints?.pathLength === undefined ? {} : { pathLength: constraints.pathLength }),
    ...(keyUsage === undefined ? {} : { keyUsage }),
    ...(extendedUsages === undefined ? {} : { extendedUsages: Array.from(extendedUsages, String) }),
    alternativeNames: x509.getExtension(SubjectAlternativeNameExtension)?.names.toJSON() ?? [],
    hasExtensions: x509.extensions.length > 0,
  };
}
