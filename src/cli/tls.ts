// The certificates that a connector runs with: read and checked at start, so that a mistake is one sentence
// then and not a failed handshake later. Loaded only when there are any: reading certificates costs start-up.

import type { Logger } from "@logtape/logtape";
import { describePeer } from "../certs/identity.ts";
import { type LeafIssuer, openLeafIssuer } from "../certs/leaf_issuer.ts";
import { readPemFile } from "../certs/pem_files.ts";
import { explainRefusal } from "../certs/refusal.ts";
import { checkServerCertificates } from "../certs/verify.ts";
import type { DescribePeer } from "../grpc/call_link.ts";
import type { TlsPem } from "../grpc/credentials.ts";
import type { ExplainRefusal } from "../grpc/refusals.ts";
import type { TlsPaths } from "./run_options.ts";

/** What was read. */
export interface LoadedTls {
  pem: TlsPem;
  describePeer: DescribePeer;
  explainRefusal: ExplainRefusal;
  /** Issues leaves, when the root's key was given. */
  issuer: LeafIssuer | undefined;
}

/**
 * Reads and checks the files.
 *
 * @throws {ConnectorError} naming the file at fault.
 */
export async function loadTls(
  paths: TlsPaths,
  { rootKeyPath, logger }: { rootKeyPath: string | undefined; logger: Logger },
): Promise<LoadedTls> {
  const root = await readPemFile(paths.rootCertPath, "root certificate");
  const certificate = await readPemFile(paths.serverCertPath, "server certificate");
  const key = await readPemFile(paths.serverKeyPath, "server key");
  const checked = await checkServerCertificates({ root, certificate, key });
  const issuer = rootKeyPath === undefined ? undefined : await openLeafIssuer({
    certificate: root,
    key: await readPemFile(rootKeyPath, "root key"),
  });
  for (const warning of checked.warnings) logger.warn("certificate ends soon", { warning });
  logger.info("certificates loaded", {
    subject: checked.identity.subject,
    notAfter: checked.notAfter.toISOString(),
  });
  return {
    pem: { root: root.pem, certificate: certificate.pem, key: key.pem },
    describePeer,
    explainRefusal,
    issuer,
  };
}
