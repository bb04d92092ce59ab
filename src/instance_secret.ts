// What proves to peers that a connector is the one that exposed its services, where no certificate does: a secret of which
// each peer gets a derivative of its own, so that none can use what it was sent at another. A leaf.

import { createHmac, randomBytes } from "node:crypto";
import { type Address, formatAddress } from "./model/address.ts";
import { ConnectorError } from "./model/errors.ts";

/** Bytes of the secret, and of a proof. */
const LENGTH = 32;
/** The same in base64url, without padding. */
const TEXT = /^[A-Za-z0-9_-]{43}$/;

/** The secret of one connector. It is shown to nobody: no log and no answer finds it. */
export class InstanceSecret {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** A new one. */
  static random(): InstanceSecret {
    return new InstanceSecret(randomBytes(LENGTH));
  }

  /** Reads what `export` wrote. @throws {ConnectorError} `invalid_argument`, without the text. */
  static import(text: string): InstanceSecret {
    return new InstanceSecret(decodeProof(text));
  }

  /** The secret as text, for the state file alone. */
  export(): string {
    return encodeProof(this.#bytes);
  }

  /** The proof for one peer: HMAC-SHA-256 of its address, as it is dialled. */
  proofFor(peer: Address): Uint8Array {
    return createHmac("sha256", this.#bytes).update(formatAddress(peer)).digest();
  }
}

/** A proof, or a secret, as text: base64url without padding. */
export function encodeProof(bytes: Uint8Array): string {
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/**
 * Reads a proof from text. There is one text for each proof.
 *
 * @throws {ConnectorError} `invalid_argument`; the text is not repeated, because it may be somebody's secret.
 */
export function decodeProof(text: string): Uint8Array {
  if (TEXT.test(text)) {
    const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
    if (encodeProof(bytes) === text) return bytes;
  }
  throw new ConnectorError(
    "invalid_argument",
    `The proof of an instance has ${text.length} characters: want ${LENGTH} bytes in base64url, which are 43`,
  );
}
