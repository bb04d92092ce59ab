// How the two sides of a session find each other again over another link: the texts of `connector-resume`, and the tokens
// that an acceptor gives. Pure but for the random bytes. docs/PROTOCOL.md, "Resumption".

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { ConnectorError } from "../model/errors.ts";
import type { Hello } from "./link.ts";

/** Bytes of a token. */
const TOKEN_BYTES = 32;
/** A token in base64url, without padding. */
const TOKEN = "[A-Za-z0-9_-]{43}";
/** A number from 0 that JavaScript knows exactly. */
const NUMBER = "0|[1-9]\\d{0,14}";
const CLAIM = new RegExp(`^token=(${TOKEN}),attempt=(${NUMBER}),received=(${NUMBER})$`);
const RUN = /^run=([A-Za-z0-9_-]{22})$/;
const ANSWER = new RegExp(`^token=(${TOKEN})(?:,received=(${NUMBER}))?$`);

/** What a dialler says to have its session back, as its acceptor reads it. */
export interface Claim {
  /** SHA-256 of the token: made once, however many sessions it is compared with. */
  digest: Uint8Array;
  /** Grows with each claim of a session. */
  attempt: number;
  /** How many messages it has received. */
  received: number;
}

/** What an acceptor answers. */
export interface ClaimAnswer {
  /** For the next claim. */
  token: string;
  /** How many messages it has received; undefined when the session is a new one. */
  received: number | undefined;
}

/** What a dialler says as it opens a link for a new session: a number, in base64url, for as long as it knows any token. */
export interface Introduction {
  run: string;
}

/** The text of a dialler that knows no token: 16 random bytes. */
export function newIntroduction(): string {
  return `run=${randomBytes(16).toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

/** A claim as text. */
export function formatClaim(
  { token, attempt, received }: Omit<Claim, "digest"> & { token: string },
): string {
  return `token=${token},attempt=${attempt},received=${received}`;
}

/** An answer as text. */
export function formatAnswer({ token, received }: ClaimAnswer): string {
  return received === undefined ? `token=${token}` : `token=${token},received=${received}`;
}

/**
 * Reads what a dialler says.
 *
 * @throws {ConnectorError} `invalid_argument`; the text is not repeated, because of the token in it.
 */
export function readClaim(text: string): Claim | Introduction {
  const [, run] = RUN.exec(text) ?? [];
  if (run !== undefined) return { run };
  const [, token, attempt, received] = CLAIM.exec(text) ?? [];
  if (token === undefined) {
    throw malformed("claim", "token=TOKEN,attempt=NUMBER,received=NUMBER or run=RUN");
  }
  return { digest: digest(token), attempt: Number(attempt), received: Number(received) };
}

/** Reads an answer. @throws {ConnectorError} `invalid_argument`; the text is not repeated. */
export function readClaimAnswer(text: string): ClaimAnswer {
  const [, token, received] = ANSWER.exec(text) ?? [];
  if (token === undefined) throw malformed("answer", "token=TOKEN or token=TOKEN,received=NUMBER");
  return { token, received: received === undefined ? undefined : Number(received) };
}

/** Whether two links were opened with the same words, but for the resumption. */
export function sameTerms(one: Hello, other: Hello): boolean {
  return one.version === other.version && one.limits === other.limits &&
    (one.features ?? "") === (other.features ?? "");
}

/** The tokens of one session, at its acceptor. Only digests are kept. */
export class ResumeTokens {
  /** The one that the dialler has. */
  #confirmed: Uint8Array | undefined;
  /** A later one, of which it is not known whether the dialler has it. */
  #issued: Uint8Array | undefined;
  #attempt = 0;

  /** Makes the next token, for the answer to a call. */
  issue(): string {
    const token = randomBytes(TOKEN_BYTES).toBase64({ alphabet: "base64url", omitPadding: true });
    this.#issued = digest(token);
    return token;
  }

  /** The dialler has received the answer with the last token: nothing before it counts any more. */
  confirm(): void {
    this.#confirmed = this.#issued ?? this.#confirmed;
    this.#issued = undefined;
  }

  /** Whether a claim has one of the tokens. In constant time. */
  fits({ digest: claimed }: Claim): boolean {
    const confirmed = equals(this.#confirmed, claimed);
    const issued = equals(this.#issued, claimed);
    return confirmed || issued;
  }

  /** Takes a claim that fits: a later attempt than all before, or it is not granted. */
  take(claim: Claim): boolean {
    if (claim.attempt <= this.#attempt) return false;
    this.#attempt = claim.attempt;
    // With the last token the answer has arrived; with the one before, it never will.
    if (equals(this.#issued, claim.digest)) this.confirm();
    return true;
  }
}

function equals(known: Uint8Array | undefined, claimed: Uint8Array): boolean {
  return known !== undefined && timingSafeEqual(known, claimed);
}

function digest(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

function malformed(what: string, wanted: string): ConnectorError {
  return new ConnectorError(
    "invalid_argument",
    `The peer's ${what} in connector-resume cannot be read: want ${wanted}`,
  );
}
