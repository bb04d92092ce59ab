// The certificates of a connector while it runs: those in use, which are exchanged when their files
// have changed, and what is to be said of them. Loaded only when there are any, because what reads
// certificates takes a quarter of a second to load. assemble.ts hands them on to the servers.

import type { Logger } from "@logtape/logtape";
import { ValidityWatch } from "../certs/own/validity.ts";
import type { LeafIssuer } from "../certs/issue/leaf_issuer.ts";
import type { DescribePeer } from "../grpc/call_link.ts";
import type { SecureChannel, TlsIdentity } from "../grpc/credentials.ts";
import type { WatchedFiles, WatchedGroup } from "../watched_files.ts";
import { type LoadedTls, type ReadTls, readTls, type TlsPaths } from "./tls.ts";

const RENEW_HINT = "Replace the file: it is read again by itself, and at once on SIGHUP";

/** What the certificates of a connector are read from. */
export interface TlsFilesOptions {
  paths: TlsPaths;
  /** Of the root's key, when leaves are to be issued. */
  rootKeyPath: string | undefined;
  files: WatchedFiles;
  logger: Logger;
}

/** The certificates in use. Disposing ends the watch over their files and their validity. */
export class TlsFiles implements LoadedTls, Disposable {
  /** The same through all exchanges, if leaves are issued at all. */
  readonly issuer: LeafIssuer | undefined;
  readonly #logger: Logger;
  #current: ReadTls | undefined;
  #onExchange: (identity: TlsIdentity) => void = () => {};
  #validity: ValidityWatch | undefined;
  #group: WatchedGroup | undefined;

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
    const { paths, rootKeyPath, files } = options;
    const opened = new TlsFiles(options);
    opened.#group = await files.watch({
      name: "certificates",
      paths: [...Object.values(paths), ...(rootKeyPath === undefined ? [] : [rootKeyPath])],
      read: () => readTls(paths, { rootKeyPath }),
      use: (read) => opened.#use(read),
    });
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

  /**
   * Hands each set on, beginning with the one in use: new handshakes are to be made with it. `onExchange` may neither fail
   * nor wait.
   */
  hand(onExchange: (identity: TlsIdentity) => void): void {
    this.#onExchange = onExchange;
    onExchange(this.identity);
  }

  /** What an operator should know of them, a sentence each: when they end, and that others are refused. */
  get notes(): readonly string[] {
    const problem = this.#group?.problem;
    return [...this.#validity?.notes ?? [], ...(problem === undefined ? [] : [problem])];
  }

  [Symbol.dispose](): void {
    this.#group?.[Symbol.dispose]();
    this.#validity?.[Symbol.dispose]();
  }

  get #now(): ReadTls {
    if (this.#current === undefined) throw new TypeError("it is open");
    return this.#current;
  }

  #use(read: ReadTls): void {
    this.#current = read;
    this.#onExchange(read.identity);
    this.#report(read);
  }

  #report({ checked, access }: ReadTls): void {
    const logger = this.#logger;
    for (const problem of access) logger.warn("file is open to others", { ...problem });
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
