// The certificates of a connector while it runs: those in use, which are exchanged when their files
// change, those that are revoked, and what an operator should know of both. Loaded only when there
// are any, because what reads certificates takes a quarter of a second to load. assemble.ts hands
// them on to the servers.

import type { Logger } from "@logtape/logtape";
import { readSmallFile, warnOfOpenFiles } from "../file_access.ts";
import { markOf, readRevoked, RevokedCertificates } from "../certs/judge/revoked.ts";
import { ValidityWatch } from "../certs/own/validity.ts";
import type { LeafIssuer } from "../certs/issue/leaf_issuer.ts";
import type { DescribePeer } from "../grpc/call_link.ts";
import type { SecureChannel, TlsIdentity } from "../grpc/credentials.ts";
import type { WatchedFiles, WatchedGroup } from "../watched_files.ts";
import { type LoadedTls, type ReadTls, readTls, type TlsPaths } from "./tls.ts";

const RENEW_HINT = "Replace the file: it is read again by itself, and at once on SIGHUP";

/** The largest list of revoked certificates that is read: a CRL with 25,000 entries. */
const MAX_REVOKED_BYTES = 1024 * 1024;

/** What the certificates of a connector are read from. */
export interface TlsFilesOptions {
  paths: TlsPaths;
  /** Of the root's key, when leaves are to be issued. */
  rootKeyPath: string | undefined;
  /** Of the list of revoked certificates. */
  revokedPath: string | undefined;
  files: WatchedFiles;
  logger: Logger;
}

/** Who uses certificates. Neither function may fail or wait. */
export interface TlsUser {
  /** New handshakes are to be made with these. */
  onExchange: (identity: TlsIdentity) => void;
  /** Others are revoked: links and connections are to be judged again. */
  onRevoked: () => void;
}

/** When a certificate of the connector's own path ends. */
export interface CertificateEnd {
  certificate: "leaf" | "intermediate" | "root";
  /** What it is called in messages: the file, and its subject where the file has several. */
  label: string;
  notAfter: Date;
}

/** The certificates in use. Disposing ends the watch over their files and their validity. */
export class TlsFiles implements LoadedTls, Disposable {
  /** Stays the same when certificates are exchanged. Undefined if no leaves are issued. */
  readonly issuer: LeafIssuer | undefined;
  readonly #logger: Logger;
  /** The two are read apart: a mistake in one must not hold the other up. */
  readonly #groups: WatchedGroup[] = [];
  #current: ReadTls | undefined;
  #revoked = new RevokedCertificates();
  #user: TlsUser | undefined;
  #validity: ValidityWatch | undefined;

  private constructor({ rootKeyPath, logger }: TlsFilesOptions) {
    this.#logger = logger;
    this.issuer = rootKeyPath === undefined
      ? undefined
      : { issue: (request) => issuerOf(this.#now).issue(request) };
  }

  /**
   * Reads the files, checks them, and watches them from then on.
   *
   * @throws {ConnectorError} naming the file at fault.
   */
  static async open(options: TlsFilesOptions): Promise<TlsFiles> {
    const { paths, rootKeyPath, revokedPath, files } = options;
    using stack = new DisposableStack();
    const opened = stack.use(new TlsFiles(options));
    opened.#groups.push(
      await files.watch({
        name: "certificates",
        paths: [...Object.values(paths), ...(rootKeyPath === undefined ? [] : [rootKeyPath])],
        read: () => readTls(paths, { rootKeyPath, revoked: () => opened.#revoked }),
        use: (read) => opened.#use(read),
      }),
    );
    if (revokedPath !== undefined) {
      opened.#groups.push(await opened.#watchRevoked(revokedPath, files));
    }
    stack.move();
    return opened;
  }

  get identity(): TlsIdentity {
    return this.#now.identity;
  }

  get secure(): SecureChannel {
    return this.#now.secure;
  }

  get describePeer(): DescribePeer {
    return this.#now.describePeer;
  }

  /** Tells a user at once what is in use, and from then on what changes. */
  hand(user: TlsUser): void {
    this.#user = user;
    user.onExchange(this.identity);
    user.onRevoked();
  }

  /** What an operator should know of them, a sentence each: when they end, what is revoked, and that files are refused. */
  get notes(): readonly string[] {
    return [
      ...this.#validity?.notes ?? [],
      ...this.#warningsOfRevoked(),
      ...this.#groups.flatMap(({ problem }) => problem ?? []),
    ];
  }

  /** When the certificates in use end, from the connector's own to a root. */
  get ends(): readonly CertificateEnd[] {
    const { path } = this.#now.checked;
    return path.map(({ label, notAfter }, index) => ({
      label,
      certificate: index === 0 ? "leaf" : index === path.length - 1 ? "root" : "intermediate",
      notAfter,
    }));
  }

  [Symbol.dispose](): void {
    for (const group of this.#groups) group[Symbol.dispose]();
    this.#validity?.[Symbol.dispose]();
  }

  get #now(): ReadTls {
    if (this.#current === undefined) {
      throw new TypeError("certificates are in use once their files have been read");
    }
    return this.#current;
  }

  #use(read: ReadTls): void {
    this.#current = read;
    this.#user?.onExchange(read.identity);
    this.#report(read);
  }

  #watchRevoked(path: string, files: WatchedFiles): Promise<WatchedGroup> {
    return files.watch({
      name: "revoked certificates",
      paths: [path],
      read: async () => {
        const label = `revoked certificates "${path}"`;
        const { bytes, access } = await readSmallFile(path, {
          label,
          maxBytes: MAX_REVOKED_BYTES,
          wanted: "less",
          secret: (text) => text.includes("PRIVATE KEY-----"),
        });
        const { roots } = this.#now.checked;
        return { access, revoked: readRevoked({ label, bytes }, { roots, now: new Date() }) };
      },
      use: ({ access, revoked }) => {
        this.#revoked = revoked;
        warnOfOpenFiles(this.#logger, access);
        for (const warning of this.#warningsOfRevoked()) {
          this.#logger.warn("certificate warning", { warning });
        }
        this.#logger.info("revoked certificates loaded", { entries: revoked.size });
        this.#user?.onRevoked();
      },
    });
  }

  #warningsOfRevoked(): string[] {
    const { nextUpdate } = this.#revoked;
    const [own] = this.#now.checked.chain;
    return [
      ...(this.#revoked.has(markOf(own, { isRoot: false }))
        ? ["The certificate of this connector is on its own list of revoked certificates"]
        : []),
      ...(nextUpdate !== undefined && nextUpdate < new Date()
        ? [
          `The list of revoked certificates has been out of date since ${nextUpdate.toISOString()}`,
        ]
        : []),
    ];
  }

  #report({ checked, access }: ReadTls): void {
    const logger = this.#logger;
    warnOfOpenFiles(logger, access);
    for (const warning of checked.warnings) logger.warn("certificate warning", { warning });
    logger.info("certificates loaded", {
      subject: checked.identity.subject,
      notAfter: checked.notAfter.toISOString(),
    });
    if (this.#validity) return this.#validity.exchange(checked);
    this.#validity = ValidityWatch.start({
      ...checked,
      onSoon: (warning) => logger.warn("certificate ends soon", { warning, hint: RENEW_HINT }),
      onProblem: (problem) => {
        if (problem === undefined) return logger.info("certificates are valid again");
        const message = "certificate not valid, peers refuse this connector";
        logger.error(message, { problem, hint: RENEW_HINT });
      },
    });
  }
}

function issuerOf({ issuer }: ReadTls): LeafIssuer {
  if (issuer === undefined) throw new TypeError("the root's key was read");
  return issuer;
}
