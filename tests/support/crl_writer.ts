// Lists of revoked certificates of any form, bit by bit, as certificate_writer.ts makes certificates.

import { algorithmOf, inDays, type Scheme, signBytes, type Signer } from "./certificate_writer.ts";
import { bits, type Bytes, explicit, integer, sequence, time } from "./der_writer.ts";

/** How a list is wanted; what is absent is as a good one has it. */
export interface CrlShape {
  issuer: Signer;
  /** Serial numbers of what is revoked; each may have extensions. */
  revoked?: readonly (bigint | { serial: Bytes; extensions?: readonly Bytes[] })[];
  /** Days from now; null: it does not say when there is a next one. */
  from?: number;
  to?: number | null;
  /** Null: version 1, without extensions. */
  extensions?: readonly Bytes[] | null;
  scheme?: Scheme;
  /** The algorithm outside of the signed part, when it is another. */
  outerAlgorithm?: Bytes;
  /** Changes the members of the signed part before it is signed. */
  members?: (members: Bytes[]) => Bytes[];
  signature?: (signature: Bytes) => Bytes;
}

/** Writes a list. */
export function writeCrl(shape: CrlShape): Bytes {
  const { issuer, revoked = [], from = -1, to = 7, extensions = [] } = shape;
  const algorithm = algorithmOf(issuer.key, shape.scheme);
  const entries = revoked.map((entry) =>
    typeof entry === "bigint" ? sequence(integer(entry), time(inDays(-1))) : sequence(
      entry.serial,
      time(inDays(-1)),
      ...entry.extensions ? [sequence(...entry.extensions)] : [],
    )
  );
  const members = [
    ...extensions === null ? [] : [integer(1)],
    algorithm,
    issuer.name,
    time(inDays(from)),
    ...to === null ? [] : [time(inDays(to))],
    ...entries.length === 0 ? [] : [sequence(...entries)],
    ...extensions && extensions.length > 0 ? [explicit(0, sequence(...extensions))] : [],
  ];
  const content = sequence(...shape.members?.(members) ?? members);
  const signature = signBytes(issuer.key, content, shape.scheme);
  return sequence(
    content,
    shape.outerAlgorithm ?? algorithm,
    bits(shape.signature?.(signature) ?? signature),
  );
}
