// Issues roots and leaves, with WebCrypto and @peculiar/x509: text in, text out, no file is touched.
// What the certificates hold is fixed by what connectors of the Go implementation make and expect.

import "reflect-metadata"; // @peculiar/x509 does not load without it
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { ConnectorError } from "../../model/errors.ts";
import { type Authority, checkValidAt } from "./authority.ts";
import {
  DEFAULT_COMMON_NAME,
  type KeyType,
  LEAF_VALID_DAYS,
  MAX_VALID_DAYS,
  ROOT_VALID_DAYS,
} from "./defaults.ts";
import { generateKeyPair, privateKeyPem, type SigningKey } from "./signing_key.ts";
import { checkSpiffeId, spiffeIdFor } from "./spiffe.ts";
import { checkCommonName, normalizeDnsNames, normalizeIpAddresses } from "./subject_names.ts";

/** Certificates begin this much in the past, in milliseconds, for machines whose clock is behind. */
const BACKDATED_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
const SERIAL_BYTES = 16;

/** A certificate and its private key, both PEM. */
export interface Issued {
  certificate: string;
  privateKey: string;
  /** When the certificate ends. */
  notAfter: Date;
}

/** How a root is to be. */
export interface RootOptions {
  keyType?: KeyType;
  /** 1 to `MAX_VALID_DAYS`. */
  validDays?: number;
  now?: Date;
}

/** How a leaf is to be. */
export interface LeafOptions extends RootOptions {
  /** The subject's common name, 1 to 64 printable characters. */
  commonName?: string;
  /** Host names, with or without a port. */
  dnsNames?: readonly string[];
  ipAddresses?: readonly string[];
  /** Who it is. Default: the same for the same names. */
  spiffeId?: string;
}

/**
 * Issues a root that signs itself.
 *
 * @throws {ConnectorError} `invalid_argument` for a validity that is out of range.
 */
export async function issueRoot(options: RootOptions = {}): Promise<Issued> {
  const now = options.now ?? new Date();
  const keys = await generateKeyPair(options.keyType ?? "ecdsa-p256");
  const name = subjectName("Connector CA");
  return await sign({
    subject: name,
    issuer: name,
    publicKey: keys.publicKey,
    privateKey: keys.privateKey,
    signingKey: { key: keys.privateKey, hash: "SHA-256" },
    notBefore: new Date(now.getTime() - BACKDATED_MS),
    notAfter: daysAfter(now, options.validDays ?? ROOT_VALID_DAYS),
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
}

/**
 * Issues a leaf signed by the root, for both ends of a TLS connection. It never outlives the root.
 *
 * @throws {ConnectorError} `invalid_argument` for a name, an address or a validity that cannot be;
 *   `failed_precondition` when the root is not valid now.
 */
export async function issueLeaf(root: Authority, options: LeafOptions = {}): Promise<Issued> {
  const now = options.now ?? new Date();
  const dnsNames = normalizeDnsNames(options.dnsNames ?? []);
  const ipAddresses = normalizeIpAddresses(options.ipAddresses ?? []);
  const commonName = checkCommonName(options.commonName ?? DEFAULT_COMMON_NAME);
  const spiffeId = options.spiffeId === undefined
    ? spiffeIdFor({ commonName, dnsNames, ipAddresses })
    : checkSpiffeId(options.spiffeId);
  const wanted = daysAfter(now, options.validDays ?? LEAF_VALID_DAYS);
  checkValidAt(root, now);

  const keys = await generateKeyPair(options.keyType ?? "ecdsa-p256");
  const { notBefore, notAfter, der } = root.certificate;
  const x509 = new X509Certificate(der);
  const rootKeyId = x509.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  return await sign({
    subject: subjectName(commonName),
    issuer: x509.subjectName,
    publicKey: keys.publicKey,
    privateKey: keys.privateKey,
    signingKey: root.signingKey,
    notBefore: new Date(Math.max(now.getTime() - BACKDATED_MS, notBefore.getTime())),
    notAfter: new Date(Math.min(wanted.getTime(), notAfter.getTime())),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      rootKeyId === undefined
        ? await AuthorityKeyIdentifierExtension.create(x509.publicKey)
        : new AuthorityKeyIdentifierExtension(rootKeyId),
      new SubjectAlternativeNameExtension([
        ...dnsNames.map((value) => ({ type: "dns", value } as const)),
        ...ipAddresses.map((value) => ({ type: "ip", value } as const)),
        { type: "url", value: spiffeId },
      ]),
    ],
  });
}

/** Everything that goes into one certificate, ready to be signed. */
interface Draft {
  subject: Name;
  issuer: Name;
  publicKey: CryptoKey;
  privateKey: CryptoKey;
  signingKey: SigningKey;
  notBefore: Date;
  notAfter: Date;
  extensions: Extension[];
}

async function sign({ privateKey, signingKey: { key, hash }, ...draft }: Draft): Promise<Issued> {
  const certificate = await X509CertificateGenerator.create({
    ...draft,
    serialNumber: randomSerial(),
    signingKey: key,
    signingAlgorithm: { name: key.algorithm.name, hash },
  });
  return {
    certificate: `${certificate.toString("pem")}\n`,
    privateKey: await privateKeyPem(privateKey),
    notAfter: certificate.notAfter,
  };
}

/** Attributes are given with their string type: as bare text the library would unescape them. */
function subjectName(commonName: string): Name {
  const text = Name.isPrintableString(commonName)
    ? { printableString: commonName }
    : { utf8String: commonName };
  return new Name([{ O: [{ printableString: "Jumppad" }] }, { CN: [text] }]);
}

/** 16 bytes in hex, positive and never shorter: the first bit is 0 and the second 1. RFC 5280 section 4.1.2.2. */
function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toHex();
}

function daysAfter(now: Date, days: number): Date {
  if (!Number.isInteger(days) || days < 1 || days > MAX_VALID_DAYS) {
    throw new ConnectorError(
      "invalid_argument",
      `Cannot issue a certificate for ${days} days, want a whole number from 1 to ${MAX_VALID_DAYS}`,
    );
  }
  return new Date(now.getTime() + days * DAY_MS);
}
