// Reads the certificates that a connector runs with, and checks them, so that a mistake is one
// sentence then and not a failed handshake later. tls_files.ts reads them again when they change.

import { certificatePem, type PemText } from "../certs/reader/certificate.ts";
import { describePeer } from "../certs/identity/description.ts";
import { type LeafIssuer, openLeafIssuer } from "../certs/issue/leaf_issuer.ts";
import { createPeerJudge } from "../certs/judge/peers.ts";
import type { RevokedCertificates } from "../certs/judge/revoked.ts";
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
import type { OpenFile } from "../file_access.ts";
import { type SecureChannel, secureChannels, type TlsIdentity } from "../grpc/credentials.ts";

/** PEM files of mTLS; all three or none. */
export interface TlsPaths {
  rootCertPath: string;
  serverCertPath: string;
  serverKeyPath: string;
}

/** What was read. */
export interface LoadedTls {
  identity: TlsIdentity;
  /** Secures links that we open. */
  secure: SecureChannel;
  describePeer: DescribePeer;
  /** Issues leaves, when the root's key was given. */
  issuer: LeafIssuer | undefined;
}

/** What was read, and what is to be said of it. */
export interface ReadTls extends LoadedTls {
  checked: CheckedCertificates;
  /** Files that are open to others. */
  access: readonly OpenFile[];
}

/** What the judge of peers is made of besides the roots. */
export interface JudgeParts {
  /** The certificates that are revoked now. Default: none. */
  revoked?: (() => RevokedCertificates) | undefined;
}

/**
 * Reads and checks the files.
 *
 * @throws {ConnectorError} naming the file at fault.
 */
export async function readTls(
  paths: TlsPaths,
  { rootKeyPath, revoked }: { rootKeyPath?: string | undefined } & JudgeParts = {},
): Promise<ReadTls> {
  const root = await readPemFile(paths.rootCertPath, "root certificate");
  const certificate = await readPemFile(paths.serverCertPath, "server certificate");
  const key = await readPemFile(paths.serverKeyPath, "server key", { secret: true });
  const rootKey = rootKeyPath === undefined
    ? undefined
    : await readPemFile(rootKeyPath, "root key", { secret: true });
  const read = await checkTls({ root, certificate, key, rootKey }, { revoked });
  const files = [root, certificate, key, ...(rootKey ? [rootKey] : [])];
  return {
    ...read,
    secure: secureChannels(read.identity),
    access: files.flatMap(({ access }) => access),
  };
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
  { revoked }: JudgeParts = {},
): Promise<Omit<ReadTls, "secure" | "access">> {
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
      judge: createPeerJudge(checked.roots, revoked && { revoked }),
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
