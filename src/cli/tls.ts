// The certificates that a connector runs with: read and checked at start, so that a mistake is one sentence
// then and not a failed handshake later. Loaded only when there are any: reading certificates costs start-up.

import type { Logger } from "@logtape/logtape";
import { describePeer } from "../certs/identity.ts";
import { type LeafIssuer, openLeafIssuer } from "../certs/leaf_issuer.ts";
import { readPemFile } from "../certs/pem_files.ts";
import { certificatePem } from "../certs/certificate.ts";
import { createPeerJudge } from "../certs/peers.ts";
import { checkServerCertificates } from "../certs/verify.ts";
import type { DescribePeer } from "../grpc/call_link.ts";
import type { TlsIdentity } from "../grpc/credentials.ts";
import type { TlsPaths } from "./run_options.ts";

/** What was read. */
export interface LoadedTls {
  identity: TlsIdentity;
  describePeer: DescribePeer;
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
  const checked = checkServerCertificates({ root, certificate, key });
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
    identity: {
      // TLS is given what was read here, and nothing else that the files may hold.
      root: checked.roots.map(certificatePem).join("\n"),
      certificate: checked.chain.map(certificatePem).join("\n"),
      key: key.pem,
      judge: createPeerJudge(checked.roots),
    },
    describePeer,
    issuer,
  };
}
