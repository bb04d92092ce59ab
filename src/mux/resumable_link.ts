// What carries a session: one link, or with a peer that has agreed to it one link after another. It counts the messages of
// both directions and keeps those that the peer may not have received, so that the next link goes on where the last one
// ended. Nothing is copied for it. Without that agreement it is its link and no more. docs/PROTOCOL.md, "Resumption".

import { ConnectorError } from "../model/errors.ts";
import type { PeerInfo } from "../model/peer_identity.ts";
import type { Hello, Link, LinkEnd } from "./link.ts";
import { Retained } from "./retained.ts";

/**
 * The most that is kept for a peer, in bytes, before it counts as a breach: the 32 MiB of data that may be under way, and
 * control, which is always sent.
 */
const MAX_RETAINED_BYTES = 48 * 1024 * 1024;

/** How a session waits for its next link. None of the functions may throw. */
export interface Waiting {
  /** How long, in milliseconds. */
  timeoutMs: number;
  /** The link is lost, and another one is waited for. */
  onSuspended: (reason: string) => void;
  /** Another link carries the session, and nothing was lost. */
  onResumed: () => void;
  /** It ends while it waits. */
  onNotResumed: () => void;
  /** The first message has arrived over a link. */
  onHeard: () => void;
  /** The peer has broken the protocol. The link has to be aborted. */
  onBreach: (error: ConnectorError) => void;
}

/** What opens each further link, and is not counted: the dialler's first message is small, as over every link. */
export interface Opening {
  message: Uint8Array;
  /** Who sends it. */
  by: "us" | "peer";
}

/** A link that may outlive what carries it. */
export class ResumableLink implements Link {
  readonly hello: Promise<Hello | undefined>;
  readonly #closed = Promise.withResolvers<LinkEnd>();
  /** The one in use; undefined while another one is waited for. */
  #link: Link | undefined;
  /** The last one that was in use. */
  #last: Link;
  /** Undefined when no other link may follow. */
  #retained: Retained | undefined;
  #waiting: Waiting | undefined;
  /** How many messages were handed to the link in use, or received over another one before. */
  #handed = 0;
  #received = 0;
  #arrivedBefore = 0;
  /** Whether the link in use takes no more for now: until it says so, it is not asked when it does. */
  #full = false;
  /** What the peer has to send first over the link in use. */
  #expected: Uint8Array | undefined;
  /** Whether something was received over the link in use. */
  #heard = false;
  /** How the link in use has ended, once it has. */
  #linkEnd: { reason: LinkEnd } | undefined;
  /** Whatever ends the link now ends it for good. */
  #final = false;
  #ended = false;
  #reason = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** For those who wait for another link, or until everything that was kept is under way again. */
  #changed: PromiseWithResolvers<void> | undefined;

  private constructor(link: Link, { keeps }: { keeps: boolean }) {
    this.hello = link.hello;
    this.#link = link;
    this.#last = link;
    this.#retained = keeps ? new Retained() : undefined;
  }

  /** Takes over a link. `keeps`: messages are kept until `settle` or `resumeWithin` says whether another link may follow. */
  static over(link: Link, options: { keeps: boolean }): ResumableLink {
    const carried = new ResumableLink(link, options);
    link.closed.then((end) => carried.#onLinkEnd(link, end));
    return carried;
  }

  get connections(): readonly string[] {
    return this.#last.connections ?? [];
  }

  get peer(): PeerInfo {
    return this.#last.peer;
  }

  get revoked(): () => string | undefined {
    return () => this.#last.revoked?.();
  }

  get arrivals(): number {
    return this.#arrivedBefore + this.#last.arrivals;
  }

  get closed(): Promise<LinkEnd> {
    return this.#closed.promise;
  }

  /** Why it waits for another link; undefined when it does not. */
  get suspended(): string | undefined {
    return this.#link === undefined && !this.#ended ? this.#reason : undefined;
  }

  /** Whether another link may follow. */
  get resumable(): boolean {
    return this.#waiting !== undefined && !this.#final && !this.#ended;
  }

  /** How many messages were sent. */
  get sent(): number {
    return this.#retained?.sent ?? 0;
  }

  /** How many messages were received. */
  get received(): number {
    return this.#received;
  }

  /** What is kept for the peer costs, in bytes. */
  get retainedBytes(): number {
    return this.#retained?.bytes ?? 0;
  }

  /** The peer has agreed that another link may follow. */
  resumeWithin(waiting: Waiting): void {
    if (this.#retained !== undefined && !this.#final) this.#waiting = waiting;
  }

  /** No other link follows: whatever ends this one ends all. */
  settle(): void {
    this.#final = true;
    // Nothing is sent again. What is kept and was not sent yet, is.
    if (this.#handed === this.sent) this.#retained = undefined;
    if (this.#link === undefined) return this.#end(new ConnectorError("unavailable", this.#reason));
    if (this.#linkEnd) this.#end(this.#linkEnd.reason);
  }

  /**
   * The peer has received so many messages at least: it has answered a ping behind them.
   *
   * @throws {ConnectorError} `internal` when they are not all under way yet: it knows the ping from a former link.
   */
  acknowledge(count: number): void {
    const retained = this.#retained;
    if (retained === undefined || count <= retained.acknowledged) return;
    if (count > this.#handed) {
      const reason = "The peer answered a ping that was not sent again yet";
      throw new ConnectorError("internal", reason);
    }
    retained.acknowledge(count);
  }

  /** The peer says that it has received so many. @throws {ConnectorError} `invalid_argument` when that cannot be. */
  reconcile(count: number): void {
    this.#retained?.acknowledge(count, { handed: this.#handed });
  }

  /** Ends the link in use, if another one may follow. Returns whether it may. */
  interrupt(reason: string): boolean {
    if (!this.resumable) return false;
    if (this.#link === undefined) return true;
    const link = this.#link;
    this.#suspend(reason);
    link.abort(new ConnectorError("unavailable", reason));
    return true;
  }

  /**
   * Goes on over another link. `received`: how many messages the peer has received, and so where it goes on.
   *
   * @throws {ConnectorError} `invalid_argument` when that cannot be. Nothing has happened then.
   */
  resume(link: Link, received: number, opening: Opening): void {
    const waiting = this.#waiting;
    if (this.#link !== undefined || waiting === undefined || this.#retained === undefined) {
      throw new TypeError("the link is not waiting for another one");
    }
    this.#retained.acknowledge(received, { handed: this.#handed });
    clearTimeout(this.#timer);
    this.#handed = received;
    this.#arrivedBefore += this.#last.arrivals;
    this.#link = link;
    this.#last = link;
    this.#linkEnd = undefined;
    this.#heard = false;
    this.#full = false;
    this.#expected = opening.by === "peer" ? opening.message : undefined;
    if (opening.by === "us") link.send(opening.message);
    void this.#sendAgain(link);
    link.closed.then((end) => this.#onLinkEnd(link, end));
    this.#wake();
    waiting.onResumed();
  }

  send(message: Uint8Array): boolean {
    if (this.#ended) return true;
    const retained = this.#retained;
    if (retained === undefined) return this.#hand(message, this.#last);
    const isNext = this.#link !== undefined && this.#handed === retained.sent;
    retained.push(message);
    if (retained.bytes > MAX_RETAINED_BYTES) {
      const reason = "The peer does not acknowledge what it is sent";
      this.#waiting?.onBreach(new ConnectorError("resource_exhausted", reason));
    }
    if (!isNext || this.#link === undefined) return false;
    this.#handed += 1;
    return this.#hand(message, this.#link);
  }

  async writable(): Promise<void> {
    while (!this.#ended && (this.#link === undefined || this.#handed < this.sent)) {
      await this.#change();
    }
    const link = this.#last;
    if (this.#full) await link.writable();
    if (link === this.#last) this.#full = false;
  }

  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      const link = this.#link;
      if (link === undefined) {
        if (this.#ended) return null;
        await this.#change();
        continue;
      }
      const message = await link.receive();
      // What a former link still delivers is sent again over this one.
      if (link !== this.#link) continue;
      if (message !== null) {
        if (!this.#heard) this.#waiting?.onHeard();
        this.#heard = true;
        const expected = this.#expected;
        this.#expected = undefined;
        if (expected === undefined) {
          this.#received += 1;
          return message;
        }
        if (!isSame(message, expected)) {
          const reason = "The peer goes on with a session, and has not begun with a ping";
          this.#waiting?.onBreach(new ConnectorError("internal", reason));
        }
        continue;
      }
      // All that had arrived was read, and the peer has not said that this is the end.
      if (!this.resumable) return null;
      const end = await link.closed;
      if (link === this.#link) this.#suspend(end?.message ?? "the link has ended");
    }
  }

  close(): void {
    this.settle();
    this.#link?.close();
  }

  abort(reason: ConnectorError): void {
    if (this.#ended) return;
    this.#final = true;
    if (this.#link === undefined || this.#linkEnd) this.#end(reason);
    else this.#link.abort(reason);
  }

  #suspend(reason: string): void {
    const waiting = this.#waiting;
    if (waiting === undefined || !this.resumable) return;
    this.#link = undefined;
    this.#reason = reason;
    this.#timer = setTimeout(() => this.#expire(waiting.timeoutMs), waiting.timeoutMs);
    waiting.onSuspended(reason);
  }

  #expire(afterMs: number): void {
    const reason = `the link was lost (${this.#reason}), and none followed within ${
      Math.round(afterMs / 1000)
    } s`;
    this.abort(new ConnectorError("unavailable", reason));
  }

  #onLinkEnd(link: Link, reason: LinkEnd): void {
    if (link !== this.#link) return;
    this.#linkEnd = { reason };
    this.#wake();
    // If another one may follow, it is first read what has arrived: the peer may have said that it ends the session.
    if (!this.resumable) this.#end(reason);
  }

  #end(reason: LinkEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    if (this.#link === undefined) this.#waiting?.onNotResumed();
    this.#waiting = undefined;
    this.#retained = undefined;
    this.#wake();
    this.#closed.resolve(reason);
  }

  /** Sends what the peer has not received over the link, and what has come behind it meanwhile. */
  async #sendAgain(link: Link): Promise<void> {
    while (link === this.#link && this.#retained !== undefined && this.#handed < this.sent) {
      const message = this.#retained.after(this.#handed);
      this.#handed += 1;
      if (!this.#hand(message, link)) await link.writable();
    }
    if (link !== this.#link) return;
    this.#full = false;
    this.#wake();
  }

  #hand(message: Uint8Array, link: Link): boolean {
    const takesMore = link.send(message);
    if (!takesMore) this.#full = true;
    return takesMore;
  }

  #change(): Promise<void> {
    this.#changed ??= Promise.withResolvers();
    return this.#changed.promise;
  }

  #wake(): void {
    this.#changed?.resolve();
    this.#changed = undefined;
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
