// SPIFFE ids: makes the id of a new certificate, and checks whether a text is a valid id.
// https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md

import { createHash, randomBytes } from "node:crypto";
import { ConnectorError } from "../../model/errors.ts";
import { DEFAULT_COMMON_NAME } from "./defaults.ts";

/** The longest id, in bytes. */
const MAX_LENGTH = 2048;
/** The longest trust domain, in bytes. */
const MAX_DOMAIN_LENGTH = 255;
const PATTERN = /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/;
/** What is made for a set of names, in bytes: enough that no two sets meet, by chance or on purpose. */
const DIGEST_BYTES = 32;

/** What a certificate is for: each text as it is written into it. */
export interface CertificateNames {
  commonName: string;
  dnsNames: readonly string[];
  ipAddresses: readonly string[];
}

/**
 * The id for a certificate with these names: the same for the same set of them, in whatever order, so that a renewed
 * certificate is the same peer; another for another set. One that names nothing and nobody gets an id of its own.
 */
export function spiffeIdFor({ commonName, dnsNames, ipAddresses }: CertificateNames): string {
  const named = commonName !== DEFAULT_COMMON_NAME || dnsNames.length + ipAddresses.length > 0;
  const names = [[commonName], [...dnsNames].sort(), [...ipAddresses].sort()];
  const path = named
    ? createHash("sha256").update(JSON.stringify(names)).digest("hex")
    : randomBytes(DIGEST_BYTES).toString("hex");
  return `spiffe://jumppad.dev/connector/${path}`;
}

/**
 * Returns the text if it can be an id.
 *
 * @throws {ConnectorError} `invalid_argument`, quoting it and saying what was wanted.
 */
export function checkSpiffeId(text: string): string {
  const [, domain = "", path = ""] = PATTERN.exec(text) ?? [];
  const relative = path.split("/").some((segment) => segment === "." || segment === "..");
  if (
    domain !== "" && !relative && domain.length <= MAX_DOMAIN_LENGTH && text.length <= MAX_LENGTH
  ) return text;
  const short = text.length <= 80 ? text : `${text.slice(0, 80)}…`;
  throw new ConnectorError(
    "invalid_argument",
    `${JSON.stringify(short)} is not a SPIFFE id, want one like spiffe://example.org/laptop/anna`,
  );
}
