// Judges chains of certificates: whether a leaf may be trusted in a role of TLS, by roots that we
// were given. The runtime's TLS library judges too, and both must say yes. Where that library
// cannot read a certificate it compares only the names of issuers, and accepts the handshake's
// signature (https://github.com/denoland/deno/pull/36248), so nothing odd is let through here.
// Pure.

import { type Certificate, equalBytes, EXTENDED_USAGE, KEY_USAGE } from "../reader/certificate.ts";
import { keepsTo } from "./name_constraints.ts";
import { hasKnownSignature, isSignedBy, isVerifiable, publicKeyOf } from "./signature.ts";

/** What a leaf is to be trusted as: the side of TLS that shows it, or both. */
export type Purpose = "client" | "server" | "both";

/** What is wrong with a chain. */
export type Flaw =
  /** It is X.509 version 1, 2 or one that does not exist. */
  | { kind: "version" }
  /** An extension that has to be understood is not known here. */
  | { kind: "unknown extension"; oid: string }
  | { kind: "expired" }
  | { kind: "not yet valid" }
  /** The leaf's key usage lacks digitalSignature. */
  | { kind: "key usage" }
  /** Its extended key usage lacks these. */
  | { kind: "extended key usage"; missing: readonly string[] }
  /** Its key is of a kind, or a size, that is not taken. */
  | { kind: "key" }
  /** It was signed in a way that cannot be verified here, or is not safe. */
  | { kind: "signature algorithm" }
  /** The key of its issuer signs with a hash that TLS here cannot verify with such a key. */
  | { kind: "signature by key" }
  /** The leaf is itself one of the roots. */
  | { kind: "leaf is a root" }
  /** The leaf is a CA. */
  | { kind: "leaf is a CA" }
  /** It signed a certificate and may not: it is no CA, or its key usage forbids it. */
  | { kind: "may not sign" }
  /** It signed a certificate with more CAs below it than it allows. */
  | { kind: "path length" }
  /** It does not allow a name of a certificate below it. */
  | { kind: "name constraints" }
  /** No certificate of its issuer's name is there. */
  | { kind: "no issuer" }
  /** A certificate of its issuer's name is there, and its key has not signed it. */
  | { kind: "wrong signature" }
  /** It is on a list of those that are not to be trusted any more. */
  | { kind: "revoked" }
  /** More CAs would have to be followed, or more signatures verified, than any real chain has. */
  | { kind: "too long" };

/** A chain that is not to be trusted. */
export class UntrustedChain extends Error {
  override readonly name = "UntrustedChain";
  readonly flaw: Flaw;
  /** Of the chain, the certificate that has the flaw. */
  readonly certificate: Certificate;

  constructor(certificate: Certificate, flaw: Flaw) {
    super(flaw.kind);
    this.certificate = certificate;
    this.flaw = flaw;
  }
}

/** What a leaf is judged by. */
export interface JudgeOptions {
  /** Each has passed `flawOfRoot`. */
  roots: readonly Certificate[];
  purpose: Purpose;
  now: Date;
  /** Whether a certificate of a path is not to be trusted any more, a root or another one. Default: all are. */
  isRevoked?: (certificate: Certificate, place: { isRoot: boolean }) => boolean;
}

/** CAs between a leaf and its root that are followed; TLS stacks stop at about as many. */
export const MAX_INTERMEDIATES = 6;
/** Signatures that are verified for one chain: a millisecond each, and a real chain needs as many as it is long. */
const MAX_SIGNATURES = 16;

/** The usages that each purpose needs. */
const USAGES: Readonly<Record<Purpose, readonly (keyof typeof EXTENDED_USAGE)[]>> = {
  client: ["clientAuth"],
  server: ["serverAuth"],
  both: ["serverAuth", "clientAuth"],
};

/** Why a certificate cannot be a root; undefined when it can. Whether it is valid now is judged with each chain. */
export function flawOfRoot(root: Certificate): Flaw | undefined {
  // How it was signed does not matter: it is trusted because it was given, not because of its own signature.
  const flaw = flawOfForm(root);
  if (flaw !== undefined && flaw.kind !== "signature algorithm") return flaw;
  if (publicKeyOf(root) === undefined) return { kind: "key" };
  return root.isCa ? undefined : { kind: "may not sign" };
}

/**
 * The certificates from the leaf to a root, both with them. `intermediates` may come in any order, and more than once.
 *
 * @throws {UntrustedChain} with what is wrong, and where.
 */
export function judgeChain(
  { leaf, intermediates }: { leaf: Certificate; intermediates: readonly Certificate[] },
  options: JudgeOptions,
): Certificate[] {
  const flaw = flawOfLeaf(leaf, options);
  if (flaw !== undefined) throw new UntrustedChain(leaf, flaw);
  const others = intermediates.filter(({ der }, index) =>
    !options.roots.some((root) => equalBytes(root.der, der)) &&
    intermediates.findIndex((each) => equalBytes(each.der, der)) === index
  );
  // What is odd is refused even where the chain does not need it: the runtime may have followed it.
  for (const each of others) {
    const form = flawOfForm(each);
    if (form !== undefined) throw new UntrustedChain(each, form);
  }
  return new PathSearch(others, options).find(leaf);
}

function flawOfLeaf(leaf: Certificate, { roots, purpose, now }: JudgeOptions): Flaw | undefined {
  if (roots.some(({ der }) => equalBytes(der, leaf.der))) return { kind: "leaf is a root" };
  const form = flawOfForm(leaf);
  if (form !== undefined) return form;
  const validity = flawOfValidity(leaf, now);
  if (validity !== undefined) return validity;
  if (leaf.claimsCa) return { kind: "leaf is a CA" };
  if (leaf.keyUsage !== undefined && (leaf.keyUsage & KEY_USAGE.digitalSignature) === 0) {
    return { kind: "key usage" };
  }
  return flawOfUsages(leaf, purpose);
}

/** What is wrong with a certificate wherever it stands. */
function flawOfForm(certificate: Certificate): Flaw | undefined {
  if (certificate.version !== 3) return { kind: "version" };
  const [oid] = certificate.unknownCritical;
  if (oid !== undefined) return { kind: "unknown extension", oid };
  if (!hasKnownSignature(certificate)) return { kind: "signature algorithm" };
  return publicKeyOf(certificate) === undefined ? { kind: "key" } : undefined;
}

function flawOfValidity({ notBefore, notAfter }: Certificate, now: Date): Flaw | undefined {
  if (now > notAfter) return { kind: "expired" };
  return now < notBefore ? { kind: "not yet valid" } : undefined;
}

/** "Any" usage does not count: the runtime does not take it either, and a CA that means TLS can say so. */
function flawOfUsages({ extendedUsages }: Certificate, purpose: Purpose): Flaw | undefined {
  if (extendedUsages === undefined) return undefined;
  const missing = USAGES[purpose].filter((name) => !extendedUsages.includes(EXTENDED_USAGE[name]));
  return missing.length === 0 ? undefined : { kind: "extended key usage", missing };
}

/** Looks for a path from one leaf to a root, depth first; each branch is left at its first flaw. */
class PathSearch {
  readonly #intermediates: readonly Certificate[];
  readonly #options: JudgeOptions;
  #signatures = 0;
  /** The first flaw of an issuer that was found, which says more than that none was. */
  #found: UntrustedChain | undefined;
  #missing: UntrustedChain | undefined;

  constructor(intermediates: readonly Certificate[], options: JudgeOptions) {
    this.#intermediates = intermediates;
    this.#options = options;
  }

  find(leaf: Certificate): Certificate[] {
    const path = this.#extend([leaf]);
    if (path !== undefined) return path;
    throw this.#found ?? this.#missing ?? new UntrustedChain(leaf, { kind: "no issuer" });
  }

  /** The rest of the path, or undefined when none of the issuers that are there will do. */
  #extend(path: readonly Certificate[]): Certificate[] | undefined {
    const last = path[path.length - 1];
    if (last === undefined) throw new TypeError("a path has a leaf");
    const { roots } = this.#options;
    let known = false;
    for (const root of roots.filter((each) => isNamedIssuer(each, last))) {
      known = true;
      if (this.#options.isRevoked?.(root, { isRoot: true })) this.#note(root, { kind: "revoked" });
      else if (this.#accepts(root, path) && this.#allowsNames([...path, root])) {
        return [...path, root];
      }
    }
    const further = this.#intermediates.filter((each) =>
      isNamedIssuer(each, last) && !path.some((passed) => isSameCa(passed, each))
    );
    for (const issuer of further) {
      known = true;
      if (path.length > MAX_INTERMEDIATES) {
        this.#note(path[0] ?? last, { kind: "too long" });
        break;
      }
      const found = this.#accepts(issuer, path) ? this.#extend([...path, issuer]) : undefined;
      if (found !== undefined) return found;
    }
    if (!known) this.#missing ??= new UntrustedChain(last, { kind: "no issuer" });
    return undefined;
  }

  /** Whether a certificate may stand above a path, and has signed what is at its end. */
  #accepts(issuer: Certificate, path: readonly Certificate[]): boolean {
    const { now, purpose } = this.#options;
    const last = path[path.length - 1] ?? issuer;
    const below = path.slice(1).filter((each) => !isSelfIssued(each)).length;
    const flaw = !issuer.isCa
      ? { kind: "may not sign" } as const
      : issuer.pathLength !== undefined && below > issuer.pathLength
      ? { kind: "path length" } as const
      : flawOfValidity(issuer, now) ?? flawOfUsages(issuer, purpose);
    if (flaw !== undefined) return this.#note(issuer, flaw);
    if (this.#signatures >= MAX_SIGNATURES) {
      return this.#note(path[0] ?? last, { kind: "too long" });
    }
    if (!isVerifiable(last, issuer)) return this.#note(last, { kind: "signature by key" });
    this.#signatures += 1;
    if (!isSignedBy(last, issuer)) return this.#note(last, { kind: "wrong signature" });
    // Only now it is certain whose it is.
    const isRevoked = this.#options.isRevoked?.(last, { isRoot: false }) ?? false;
    return !isRevoked || this.#note(last, { kind: "revoked" });
  }

  /**
   * Whether every CA of a path that leads to a root allows the names below it. Looked at last and from the root down:
   * until a root has vouched for it, what a CA says may be anything, and costs time.
   */
  #allowsNames(path: readonly Certificate[]): boolean {
    for (let place = path.length - 1; place > 0; place--) {
      const ca = path[place];
      // A CA that renews itself is bound by nobody but those above it.
      const bound = path.slice(0, place).filter((each, index) =>
        index === 0 || !isSelfIssued(each)
      );
      if (ca !== undefined && !bound.every((each) => keepsTo(each, ca))) {
        return this.#note(ca, { kind: "name constraints" });
      }
    }
    return true;
  }

  #note(certificate: Certificate, flaw: Flaw): false {
    this.#found ??= new UntrustedChain(certificate, flaw);
    return false;
  }
}

function isNamedIssuer(issuer: Certificate, certificate: Certificate): boolean {
  return equalBytes(issuer.subjectName, certificate.issuerName);
}

function isSelfIssued({ subjectName, issuerName }: Certificate): boolean {
  return equalBytes(subjectName, issuerName);
}

/** One name and one key: a path that comes by it again goes in a circle. */
function isSameCa(a: Certificate, b: Certificate): boolean {
  return equalBytes(a.subjectName, b.subjectName) && equalBytes(a.publicKeyInfo, b.publicKeyInfo);
}
