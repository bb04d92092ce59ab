// Decides which links of peers that dial us are kept: a bound in all and for each peer, and a time
// limit for links over which nothing is exposed. When there is no room, links that nobody uses are
// closed.

import { ConnectorError } from "../model/errors.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import { shareOfPeer } from "./peer_share.ts";
import { Share } from "../share.ts";

/** A link that a peer has opened, as far as it matters here. */
export interface InboundLink {
  /** Whether nothing is exposed over it now and no connection is open. */
  readonly idle: boolean;
  /** When it last asked for a service or removed one, as of `performance.now()`; undefined when it never has. */
  readonly askedAt: number | undefined;
  /** Ends it at once, and tells the peer why. */
  abort(reason: ConnectorError): void;
  /** Resolves when it has ended. */
  ended(): Promise<void>;
}

/** The most links of all peers. */
const MAX_LINKS = 1000;
/**
 * How long a link may be open before anything is asked for over it, in milliseconds. Every peer opens one in order to
 * expose something, and asks for it with its first message.
 */
const UNUSED_MS = 30_000;
/**
 * How long it is kept once nothing is exposed any more, in milliseconds: its peer may expose something else, or may have
 * been refused.
 */
const IDLE_MS = 600_000;
/** From when on an idle link gives way to one that there is no room for, in milliseconds: some round trips. */
const GIVES_WAY_MS = 2000;
/** How often links are looked at, in milliseconds. */
const LOOK_MS = 5000;

interface Held {
  link: InboundLink;
  openedAt: number;
  share: Share;
}

/** The links that peers have open to us. */
export class InboundLinks {
  readonly #all = Share.ofAll(MAX_LINKS);
  /** The oldest first. */
  readonly #held = new Set<Held>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Finds a place for a link of a peer, which is to be held or given back. Undefined when there is no room. */
  admit(peer: PeerInfo): Share | undefined {
    const share = shareOfPeer(this.#all, peer);
    if (share.take() || this.#makeRoom(share) && share.take()) return share;
    share.release();
    return undefined;
  }

  /** Keeps a link in the place that `admit` has found, until it ends. */
  hold(link: InboundLink, share: Share): void {
    const held = { link, openedAt: performance.now(), share };
    this.#held.add(held);
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
    link.ended().then(() => this.#letGo(held));
  }

  #look(): void {
    const now = performance.now();
    for (const held of this.#held) {
      const { link: { askedAt } } = held;
      if (!isIdle(held, now, askedAt === undefined ? UNUSED_MS : IDLE_MS)) continue;
      this.#end(held, new ConnectorError("deadline_exceeded", "nothing is exposed over the link"));
    }
    this.#timer = this.#held.size > 0 ? setTimeout(() => this.#look(), LOOK_MS) : undefined;
  }

  /** Ends the oldest idle link of the same peer, or else of the peer that has most. Returns whether there was one. */
  #makeRoom(share: Share): boolean {
    const now = performance.now();
    let found: Held | undefined;
    for (const held of this.#held) {
      if (!isIdle(held, now, GIVES_WAY_MS)) continue;
      if (held.share === share) {
        found = held;
        break;
      }
      if (held.share.taken > (found?.share ?? share).taken) found = held;
    }
    if (found === undefined) return false;
    const reason = "nothing is exposed over the link, and others need its place";
    this.#end(found, new ConnectorError("resource_exhausted", reason));
    return true;
  }

  /** Its place is free at once: whatever its peer does, the link is cut off in a moment. */
  #end(held: Held, reason: ConnectorError): void {
    this.#letGo(held);
    held.link.abort(reason);
  }

  #letGo(held: Held): void {
    if (!this.#held.delete(held)) return;
    held.share.give();
    held.share.release();
    if (this.#held.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

function isIdle({ link, openedAt }: Held, now: number, forMs: number): boolean {
  return link.idle && now - (link.askedAt ?? openedAt) >= forMs;
}
