// Who may use the API of a connector, REST and gRPC's control calls alike: whoever has a token of the
// token file, or a certificate of the root. A pure decision; who asks, and how a refusal is told, is up
// to api/ and grpc/. docs/security.md, "The API".

import { createHash } from "node:crypto";
import { ConnectorError } from "./errors.ts";
import { ANONYMOUS, type CertificateId, LOCAL_USER } from "./principal.ts";

/**
 * How long the answer to a wrong token is held back, in milliseconds: whoever guesses waits, and whoever has made a mistake
 * hardly notices.
 */
export const REFUSAL_MS = 1000;
/** The most tokens of a file: one for each program that uses the API, and its successor. */
const MAX_TOKENS = 1000;
/** The longest token, in characters: far more than any secret needs, and a header has room for it. */
const MAX_TOKEN_LENGTH = 1024;
/** Fewer characters than these may be guessed, however random they are: 16 of base64 are 96 bits. */
const SAFE_TOKEN_LENGTH = 16;
/** What may stand behind `Bearer`. RFC 6750 section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
/** The scheme is not case-sensitive. RFC 9110 section 11.1. */
const BEARER = /^bearer +(.*?) *$/i;

/** The tokens of a file. Only digests are kept, where no log and no answer finds a token. */
export class ApiTokens {
  /** The lines of tokens that are so short that they might be guessed. */
  readonly shortLines: readonly number[];
  readonly #tokens: readonly { line: number; digest: Digest }[];

  private constructor(
    tokens: readonly { line: number; digest: Digest }[],
    { shortLines }: { shortLines: readonly number[] },
  ) {
    this.#tokens = tokens;
    this.shortLines = shortLines;
  }

  /**
   * Reads a token file: one token a line; empty lines, and what follows a `#`, do not count. `label` is what messages call
   * the file.
   *
   * @throws {ConnectorError} `invalid_argument`, naming the line. No token is repeated.
   */
  static parse(text: string, label: string): ApiTokens {
    const refuse = (problem: string) =>
      new ConnectorError("invalid_argument", `Cannot use ${label}: ${problem}`, {
        hint: TOKEN_HINT,
      });
    const tokens: { line: number; digest: Digest }[] = [];
    const shortLines: number[] = [];
    for (const [index, whole] of text.split("\n").entries()) {
      const token = whole.replace(/#.*$/s, "").trim();
      if (token === "") continue;
      const line = index + 1;
      if (token.length > MAX_TOKEN_LENGTH) {
        const length = token.length;
        throw refuse(`line ${line} has ${length} characters, want at most ${MAX_TOKEN_LENGTH}`);
      }
      if (!TOKEN.test(token)) {
        throw refuse(`line ${line} is no token, want letters, digits and -._~+/ without blanks`);
      }
      if (tokens.length === MAX_TOKENS) throw refuse(`it has over ${MAX_TOKENS} tokens`);
      if (token.length < SAFE_TOKEN_LENGTH) shortLines.push(line);
      tokens.push({ line, digest: digestOf(token) });
    }
    if (tokens.length === 0) throw refuse("it has no token, want one a line");
    return new ApiTokens(tokens, { shortLines });
  }

  /** How many there are. */
  get count(): number {
    return this.#tokens.length;
  }

  /** The line of a token; undefined for one that is not in the file. In constant time, whatever the token. */
  lineOf(token: string): number | undefined {
    const digest = digestOf(token);
    let found: number | undefined;
    // All of them are compared, also after one was found.
    for (const each of this.#tokens) if (isSame(each.digest, digest)) found ??= each.line;
    return found;
  }
}

/** How to have a good one. */
export const TOKEN_HINT = "Make a token with: openssl rand -hex 32";

/** SHA-256, as 32-bit words. */
type Digest = Uint32Array;

function digestOf(token: string): Digest {
  const bytes = createHash("sha256").update(token).digest();
  return new Uint32Array(Uint8Array.from(bytes).buffer);
}

/**
 * Whether two digests are the same, in constant time. Not by `timingSafeEqual`, which takes two microseconds: a thousand
 * tokens would hold everything up for two milliseconds, at every guess.
 */
function isSame(one: Digest, other: Digest): boolean {
  let difference = 0;
  for (let index = 0; index < one.length; index += 1) {
    difference |= (one[index] ?? 0) ^ (other[index] ?? 0);
  }
  return difference === 0;
}

/** What a caller of the API shows. */
export interface Credentials {
  /** The value of `Authorization`; undefined if there is none. Several are joined by commas, and so are no token. */
  authorization?: string | undefined;
  /** From its verified certificate, if that may be used for the API. */
  certificate?: CertificateId | undefined;
  /** Whether it came over the Unix socket, which only the connector's own user may open. */
  socket?: boolean | undefined;
}

/** What protects the API. */
export interface ApiAccessOptions {
  /** The tokens that are in use now; undefined without a token file. */
  tokens?: (() => ApiTokens) | undefined;
  /** Whether a certificate of the root may be used. */
  clientCerts?: boolean;
  /** Whether REST is served on the Unix socket alone. */
  socketOnly?: boolean;
}

/** Who may use the API. */
export class ApiAccess {
  readonly #tokens: (() => ApiTokens) | undefined;
  readonly #clientCerts: boolean;
  /** Whether nobody can use the API over the network without a token or a certificate. */
  readonly isProtected: boolean;

  constructor({ tokens, clientCerts = false, socketOnly = false }: ApiAccessOptions = {}) {
    this.#tokens = tokens;
    this.#clientCerts = clientCerts;
    this.isProtected = tokens !== undefined || clientCerts || socketOnly;
  }

  /**
   * What decides, for the log:
   * - `credentials`: a token, a certificate, or the Unix socket, as far as they are asked for
   * - `open`: nothing does
   */
  get rule(): "credentials" | "open" {
    return this.isProtected ? "credentials" : "open";
  }

  /**
   * Lets a caller use the API. Returns what to call it in the log.
   *
   * @throws {ConnectorError} with what is wanted: `unauthenticated` if that may be a token, else `permission_denied`.
   */
  admit({ authorization, certificate, socket = false }: Credentials): string {
    if (this.#clientCerts && certificate !== undefined) return certificate.displayName;
    if (socket && this.#tokens === undefined) return LOCAL_USER;
    if (!this.isProtected) return ANONYMOUS;
    const token = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
    const line = token === undefined ? undefined : this.#tokens?.().lineOf(token);
    if (line !== undefined) return `token of line ${line}`;
    throw this.#refusalOf(authorization);
  }

  #refusalOf(authorization: string | undefined): ConnectorError {
    if (this.#tokens === undefined) {
      return new ConnectorError(
        "permission_denied",
        this.#clientCerts
          ? "The API needs a client certificate of the root"
          : "The API is served on the connector's Unix socket alone",
        { rule: this.rule },
      );
    }
    const problem = authorization === undefined
      ? "The API needs a token"
      : BEARER.test(authorization)
      ? "The token is not valid"
      : "The request has an Authorization of another kind";
    const orCertificate = this.#clientCerts ? ", or a client certificate of the root" : "";
    return new ConnectorError(
      "unauthenticated",
      `${problem}: want "Authorization: Bearer TOKEN" with a token of --api-token-file${orCertificate}`,
      { rule: this.rule },
    );
  }
}
