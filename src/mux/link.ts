// The seam between the multiplexer and what carries its messages: a gRPC call, or a pair in memory.
// A link keeps messages whole and in order, and says when to hold back; it knows nothing of their
// content.

import type { ConnectorError } from "../model/errors.ts";
import type { PeerInfo } from "../model/peer_identity.ts";

/** Why a link ended: `undefined` when either side ended it in order. */
export type LinkEnd = ConnectorError | undefined;

/** What a side says of itself when a link opens: the dialler offers, the acceptor answers. */
export interface Hello {
  /** The text of `connector-protocol`. */
  version: string;
  /** The text of `connector-limits`. */
  limits: string;
  /** The text of `connector-features`. Default: none, as of versions that know of no features. */
  features?: string;
  /** The text of `connector-resume`: of a dialler a claim, of an acceptor a token. resumption.ts reads it. */
  resume?: string | undefined;
}

/** One bidirectional stream of messages to a peer. */
export interface Link {
  /**
   * The TCP connections that it may run over, each as `connectionText` in address.ts writes it: the same text at both
   * ends, and so a link of our own that leads back to us is known. Absent when nothing is known of them.
   */
  readonly connections?: readonly string[];
  /** Who is at the other end; a dialler knows its identity once `hello` has resolved. */
  readonly peer: PeerInfo;
  /** What the peer said of itself; undefined when it said nothing. Known before its first message. Never rejects. */
  readonly hello: Promise<Hello | undefined>;
  /** Grows whenever something of the peer arrives: a message, and where that can be told a piece of one. */
  readonly arrivals: number;
  /**
   * Takes over one message. Returns false when the caller must wait for `writable` before the next one;
   * the message is taken all the same. On an ended link the message is dropped.
   */
  send(message: Uint8Array): boolean;
  /** Resolves when the link takes messages again, or has ended. Never rejects. */
  writable(): Promise<void>;
  /** The next message; null when the link has ended. Not reading holds the peer back. Never rejects. */
  receive(): Promise<Uint8Array | null>;
  /** Ends in order: what was sent is delivered, and the peer reads the end. */
  close(): void;
  /** Ends at once: what was sent may be lost. */
  abort(reason: ConnectorError): void;
  /**
   * Resolves when something on the way, such as a proxy that is reloaded, has said that it will end the link: another one is
   * due. Until then the link carries everything as before. Absent if nothing on the way would say so. Never rejects.
   */
  readonly goingAway?: Promise<void>;
  /** Why its peer is not to be trusted any more: one of its certificates is revoked. Absent if that cannot happen. */
  readonly revoked?: () => string | undefined;
  /** Resolves when the link has ended, whoever ended it. Never rejects. */
  readonly closed: Promise<LinkEnd>;
}
