// What is known of a peer's links now, for whoever watches a connector.

import type { PeerInfo } from "./peer_identity.ts";

/** A peer that is dialled, or one that has dialled us, and its links. */
export interface PeerReport {
  /** Who dials: this connector (`outbound`) or the peer. */
  direction: "outbound" | "inbound";
  peer: PeerInfo;
  /** How many links carry new connections. */
  up: number;
  /** How many take no new ones, and go on with those that they have. */
  leaving: number;
  /** How many are lost, and are waited for. */
  resuming: number;
  /** Connections that go on once these are back. */
  resumingConnections: number;
  /** How the latest link that is up carries data; undefined without one. */
  dialect: string | undefined;
  /** Since when a link is up without a break, or none is; undefined before the first one. */
  since: Date | undefined;
  /** How often a link was opened after the first one, also to go on in place of a lost one. */
  reconnects: number;
  /** The round trip over the latest link that is up, in milliseconds; undefined where it is not measured. */
  roundTripMs: number | undefined;
  /** Bytes that wait for slow readers, over all links, with what each chunk costs. */
  heldBytes: number;
}
