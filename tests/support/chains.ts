// Certificate chains, right ones and wrong ones, and what a careful verifier says to each as a client and as a
// server: the table that the judge is held to by itself, over TLS, and beside OpenSSL. The chains are made when
// they are asked for, with the code of certificate_writer.ts alone. The rows are in the files chains_*.ts.

import { addExtensions } from "./chains_extensions.ts";
import { addForgeries, addForms } from "./chains_forms.ts";
import { addHonest } from "./chains_honest.ts";
import { addKeys } from "./chains_keys.ts";
import { addNames } from "./chains_names.ts";
import { addPaths } from "./chains_paths.ts";
import { addRoots } from "./chains_roots.ts";
import {
  type CertificateShape,
  makeKey,
  type Signer,
  type TestKey,
  writeCertificate,
  type Written,
} from "./certificate_writer.ts";
import type { Bytes } from "./der_writer.ts";

/**
 * `ok`: it must be let in. `no`: it must be refused. `either`: both are right, for a reason that the note gives;
 * it is in the table because it must be judged soon, and without harm.
 */
export type Verdict = "ok" | "no" | "either";

/** What a careful verifier says. */
export interface Verdicts {
  client: Verdict;
  /** For the host that was dialled. */
  server: Verdict;
}

export const OK: Verdicts = { client: "ok", server: "ok" };
export const NO: Verdicts = { client: "no", server: "no" };
export const EITHER: Verdicts = { client: "either", server: "either" };
export const CLIENT_ONLY: Verdicts = { client: "ok", server: "no" };
export const SERVER_ONLY: Verdicts = { client: "no", server: "ok" };

/** One row of the table. */
export interface ChainCase {
  /** Unlike any other's. */
  name: string;
  /** In DER, as it is sent: the leaf first. */
  chain: readonly Bytes[];
  /** The leaf's key, PKCS#8 in PEM. */
  key: string;
  want: Verdicts;
  /** In DER. */
  roots: readonly Bytes[];
  /** By which the server was dialled. */
  host: string;
  /** The moment at which it is judged, when not at that of the test. */
  now?: Date;
  /** Why the verdict is as it is, where that is not plain. */
  note: string;
}

/** What a row may say besides its name, chain and verdicts. */
export type CaseOptions = Partial<Pick<ChainCase, "roots" | "host" | "now" | "note">>;

/** A table under construction. */
export class ChainTable {
  readonly cases: ChainCase[] = [];
  readonly root: Written;
  /** Further roots that are trusted, one of each kind of key. */
  readonly otherRoots: Record<"rsa-4096" | "p384" | "p521" | "ed25519", Written>;
  /** The key of every leaf that needs none of its own. */
  readonly leafKey: TestKey = makeKey();
  readonly #roots: Bytes[];

  constructor() {
    const ca = (subject: string, key: TestKey) => writeCertificate({ ca: true, subject, key });
    this.root = ca("Connector CA", makeKey());
    this.otherRoots = {
      "rsa-4096": ca("RSA root", makeKey("rsa-4096")),
      p384: ca("P-384 root", makeKey("p384")),
      p521: ca("P-521 root", makeKey("p521")),
      ed25519: ca("Ed25519 root", makeKey("ed25519")),
    };
    this.#roots = [this.root, ...Object.values(this.otherRoots)].map(({ der }) => der);
  }

  /** A leaf under the root, unless it names another issuer. */
  leaf(shape: CertificateShape = {}): Written {
    return writeCertificate({ issuer: this.root, key: this.leafKey, ...shape });
  }

  /** A CA under the root, unless it names another issuer. */
  ca(subject: string, shape: CertificateShape = {}): Written {
    return writeCertificate({ ca: true, subject, issuer: this.root, ...shape });
  }

  /** Adds a row; the key is that of the first certificate of the chain. */
  add(name: string, chain: readonly Written[], want: Verdicts, options: CaseOptions = {}): void {
    const [leaf] = chain;
    if (leaf === undefined) throw new TypeError(`"${name}" has no leaf`);
    if (this.cases.some((other) => other.name === name)) throw new TypeError(`two of "${name}"`);
    this.cases.push({
      name,
      chain: chain.map(({ der }) => der),
      key: leaf.key.pem,
      want,
      roots: this.#roots,
      host: "localhost",
      note: "",
      ...options,
    });
  }

  /** Adds a row of one leaf under the root. */
  simple(name: string, want: Verdicts, shape: CertificateShape = {}, options?: CaseOptions): void {
    this.add(name, [this.leaf(shape)], want, options);
  }

  /** Adds a row of a leaf under one CA under the root. */
  under(name: string, want: Verdicts, ca: CertificateShape, leaf: CertificateShape = {}): void {
    const issuer = this.ca(`CA of ${name}`, ca);
    this.add(name, [this.leaf({ issuer, ...leaf }), issuer], want);
  }
}

/** Who signs in the name of another. */
export function impostor(of: Signer): Signer {
  return { name: of.name, key: makeKey() };
}

let made: ChainTable | undefined;

/** The table, made once in a process: it takes about a second. */
export function chainTable(): ChainTable {
  if (made) return made;
  made = new ChainTable();
  for (
    const add of [
      addHonest,
      addPaths,
      addExtensions,
      addNames,
      addKeys,
      addForms,
      addForgeries,
      addRoots,
    ]
  ) add(made);
  return made;
}
