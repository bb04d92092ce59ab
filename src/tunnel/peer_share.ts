// How much one peer that dials us may have of the links and services that all such peers share.

import type { PeerInfo } from "../model/peer_identity.ts";
import { shareKeyOf } from "../model/principal.ts";
import type { Share } from "../share.ts";

/**
 * What it may not have of what the other peers leave: a connector has many peers, and twenty that take all they can still
 * leave some for others.
 */
const RESERVE = 3 / 4;
/** The same for plaintext peers of this machine: they may be all peers there are, behind a program that ends TLS. */
const LOCAL_RESERVE = 1 / 10;

/** The share of a peer, counted by its certificate, or by its address. To be released. */
export function shareOfPeer(all: Share, peer: PeerInfo): Share {
  const key = shareKeyOf(peer);
  return all.within(key, { reserve: LOCAL.test(key) ? LOCAL_RESERVE : RESERVE });
}

/** Keys of loopback addresses. */
const LOCAL = /^address (127\.|0:0:0:0::)/;
