// The certificates that a connector runs with: read and checked at start, so that a mistake is one sentence
// then and not a failed handshake later. Loaded only when there are any: reading certificates costs start-up.

import type { Logger } from "@logtape/logtape";
import { certificatePem, type PemText } from "../certs/reader/certificate.ts";
import { describePeer } from "../certs/identity/description.ts";
import { type LeafIssuer, openLeafIssuer } from "../certs/issue/leaf_issuer.ts";
import { createPeerJudge } from "../certs/judge/peers.ts";
import { ValidityWatch } from "../certs/own/validity.ts";
import { readPemFile } from "../certs/files/pem_files.ts";
import { certificateIdOf, identifyPeer } from "../certs/identity/principal.ts";
import { checkTlsKey, readPrivateKey, tlsKeyPem } from "../certs/files/private_key.ts";
import {
  type CheckedCertificates,
  checkServerCertificates,
  type ServerPems,
} from "../certs/own/check.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import type { DescribePeer } from "../grpc/call_link.ts";
import type { TlsIdentity } from "../grpc/credentials.ts";

/** PEM files of mTLS; all three or none. */
export interface TlsPaths {
  rootCertPath: string;
  serverCertPath: string;
  serverKeyPath: string;
}

const RENEW_HINT = "Replace the file, then restart the connector: it reads its files at start";

/** What was read. */
export interface LoadedTls {
  identity: TlsIdentity;
  describePeer: DescribePeer;
  /** Issues leaves, when the root's key was given. */
  issuer: LeafIssuer | undefined;
}

/**
 * Reads and checks the files, and watches over how long they last until `watch` is disposed of.
 *
 * @throws {ConnectorError} naming the file at fault.
 */
export async function loadTls(
  paths: TlsPaths,
  { rootKeyPath, logger }: { rootKeyPath: string | undefined; logger: Logger },
): Promise<LoadedTls & { watch: Disposable }> {
  const root = await readPemFile(paths.rootCertPath, "root certificate");
  const certificate = await readPemFile(paths.serverCertPath, "server certificate");
  const key = await readPemFile(paths.serverKeyPath, "server key", { secret: true });
  const rootKey = rootKeyPath === undefined
    ? undefined
    : await readPemFile(rootKeyPath, "root key", { secret: true });
  const { checked, ...loaded } = await checkTls({ root, certificate, key, rootKey });
  for (const file of [root, certificate, key, ...(rootKey ? [rootKey] : [])]) {
    for (const problem of file.access) logger.warn("file is open to others", { ...problem });
  }
  for (const warning of checked.warnings) logger.warn("certificate warning", { warning });
  logger.info("certificates loaded", {
    subject: checked.identity.subject,
    notAfter: checked.notAfter.toISOString(),
  });
  const watch = ValidityWatch.start({
    ...checked,
    onSoon: (warning) => logger.warn("certificate ends soon", { warning, hint: RENEW_HINT }),
    onProblem: (problem) => {
      if (problem === undefined) return logger.info("certificates are valid again");
      const message = "certificate not valid, peers refuse this connector";
      logger.error(message, { problem, hint: RENEW_HINT });
    },
  });
  return { ...loaded, watch };
}

/** The files of a connector, read. */
export interface TlsTexts extends ServerPems {
  /** The root's key, when leaves are to be issued. */
  rootKey?: PemText | undefined;
}

/**
 * Checks what was read.
 *
 * @throws {ConnectorError} naming the file at fault, whatever is in the files.
 */
export async function checkTls(
  { root, certificate, key, rootKey }: TlsTexts,
): Promise<LoadedTls & { checked: CheckedCertificates }> {
  const checked = await orUnfit([root, certificate, key], () => {
    checkTlsKey(readPrivateKey(key), key.label);
    return checkServerCertificates({ root, certificate, key });
  });
  const issuer = rootKey === undefined ? undefined : await orUnfit(
    [root, rootKey],
    () => openLeafIssuer({ certificate: root, key: rootKey }),
  );
  return {
    checked,
    identity: {
      // TLS is given what was read here, and nothing else that the files may hold.
      root: checked.roots.map(certificatePem).join("\n"),
      certificate: checked.chain.map(certificatePem).join("\n"),
      key: tlsKeyPem(readPrivateKey(key)),
      judge: createPeerJudge(checked.roots),
      problem: () => checked.problemAt(new Date()),
      own: certificateIdOf(checked.chain[0]),
      identify: identifyPeer,
    },
    describePeer,
    issuer,
  };
}

/** A library that cannot read what is in the files throws errors of its own, which name no file. */
async function orUnfit<T>(
  files: readonly PemText[],
  action: () => T | Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof ConnectorError) throw error;
    const labels = files.map(({ label }) => label).join(" with ");
    throw new ConnectorError(
      "invalid_argument",
      `Cannot use ${labels}: one of them is damaged: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}
