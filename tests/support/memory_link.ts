// A pair of links in memory: bounded, in order, and as slow and uneven as a test wants, from a seed. The same
// seam as a gRPC call, held to the same contract (tests/contract/).

import { setImmediate } from "node:timers";
import { ConnectorError } from "../../src/model/errors.ts";
import type { Hello, Link, LinkEnd } from "../../src/mux/link.ts";
import type { PeerInfo } from "../../src/model/peer_identity.ts";

/** How a pair behaves. */
export interface MemoryLinkOptions {
  /** Messages of one direction that may wait before `send` says no. */
  bound?: number;
  /** How many turns of the event loop the next message takes; 0 is none at all. */
  turns?: () => number;
  /** An end that arrives does not end the other direction: as with a peer that does not follow. */
  lingering?: boolean;
  /** What the dialler offers; undefined when it says nothing. */
  offer?: Hello | undefined;
  /** What the acceptor answers, perhaps to its link; undefined when it says nothing. */
  answer?: Hello | ((link: Link) => Hello) | undefined;
  /** The answer is lost, and the link with it. */
  answerLost?: boolean;
  /** So many bytes or messages travel in one direction: the link breaks within the message that has the next one. */
  breaks?: { direction: "up" | "down"; after: number; of?: "bytes" | "messages" } | undefined;
}

/** Both ends of one link. */
export interface LinkPair {
  dialler: Link;
  acceptor: Link;
}

/** Joins two links. */
export function memoryLinks(options: MemoryLinkOptions = {}): LinkPair {
  const { bound = 8, turns = () => 0, lingering = false, offer, breaks } = options;
  const { answer, answerLost = false } = options;
  const pipe = (direction: "up" | "down") =>
    new Pipe(bound, turns, breaks?.direction === direction ? breaks : undefined);
  const up = pipe("up");
  const down = pipe("down");
  for (const each of [up, down]) {
    each.onBreak = () => {
      for (const broken of [up, down]) broken.cut("the path has broken");
    };
  }
  const acceptor = new MemoryLink({
    out: down,
    in: up,
    hello: offer,
    address: "memory:dialler",
    lingering,
  });
  const said = typeof answer === "function" ? answer(acceptor) : answer;
  const dialler = new MemoryLink({
    out: up,
    in: down,
    hello: answerLost ? undefined : said,
    address: "memory:acceptor",
    lingering,
  });
  if (answerLost) up.onBreak();
  return { dialler, acceptor };
}

/** Numbers from 0 to below `limit`, the same for the same seed (mulberry32). */
export function seeded(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** One turn of the event loop, which no timer delays. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The messages of one direction. */
class Pipe {
  readonly #bound: number;
  readonly #turns: () => number;
  readonly #travelling: (Uint8Array | null | "break")[] = [];
  /** What still gets through, and what is counted of it. */
  #left: number;
  readonly #counted: "bytes" | "messages";
  readonly #arrived: Uint8Array[] = [];
  #moving = false;
  #closed = false;
  /** Called when the reader may find something new: a message, or the end. */
  onArrival: () => void = () => {};
  /** Called when there is room again. */
  onRoom: () => void = () => {};
  /** Called when the end has arrived. */
  onEnd: () => void = () => {};
  /** Called when the writer has cut it. */
  onCut: (reason: string) => void = () => {};

  /** Called when it breaks. */
  onBreak: () => void = () => {};

  constructor(bound: number, turns: () => number, breaks: MemoryLinkOptions["breaks"]) {
    this.#left = breaks?.after ?? Infinity;
    this.#counted = breaks?.of ?? "bytes";
    this.#bound = bound;
    this.#turns = turns;
  }

  get full(): boolean {
    return this.#travelling.length + this.#arrived.length >= this.#bound;
  }

  /** Null is the end. After it nothing is taken. */
  push(message: Uint8Array | null): void {
    if (this.#closed) return;
    if (message !== null) this.#left -= this.#counted === "bytes" ? message.length : 1;
    this.#closed = message === null || this.#left < 0;
    // A link takes over the message: what its sender does with the buffer later must not show.
    this.#travelling.push(this.#left < 0 ? "break" : message?.slice() ?? null);
    if (!this.#moving) this.#move();
  }

  shift(): Uint8Array | undefined {
    const wasFull = this.full;
    const message = this.#arrived.shift();
    if (wasFull && !this.full) this.onRoom();
    return message;
  }

  /** What is under way is lost. With a reason the reader is told. */
  cut(reason?: string): void {
    this.#closed = true;
    this.#travelling.length = 0;
    if (reason !== undefined) this.onCut(reason);
  }

  async #move(): Promise<void> {
    this.#moving = true;
    while (this.#travelling.length > 0) {
      for (let left = this.#turns(); left > 0; left -= 1) await turn();
      const message = this.#travelling.shift();
      if (message === "break") return this.onBreak();
      if (message === null) this.onEnd();
      else if (message !== undefined) this.#arrived.push(message);
      this.onArrival();
    }
    this.#moving = false;
  }
}

interface Half {
  out: Pipe;
  in: Pipe;
  hello: Hello | undefined;
  address: string;
  lingering: boolean;
}

class MemoryLink implements Link {
  readonly peer: PeerInfo;
  readonly hello: Promise<Hello | undefined>;
  readonly closed: Promise<LinkEnd>;
  readonly #out: Pipe;
  readonly #in: Pipe;
  #settle: (end: LinkEnd) => void = () => {};
  arrivals = 0;
  #ended = false;
  #wakeReader: (() => void) | undefined;
  /** For all who wait until there is room. */
  #room: PromiseWithResolvers<void> | undefined;

  constructor(half: Half) {
    this.#out = half.out;
    this.#in = half.in;
    this.peer = { address: half.address };
    this.hello = Promise.resolve(half.hello);
    this.closed = new Promise((resolve) => this.#settle = resolve);
    this.#in.onArrival = () => this.#wakeReader?.();
    this.#out.onRoom = () => this.#wakeWriters();
    this.#in.onEnd = () => {
      if (half.lingering) return;
      this.#out.push(null);
      this.#end(undefined);
    };
    this.#in.onCut = (reason) => {
      this.#out.cut();
      this.#end(new ConnectorError("unavailable", `the peer cut the link: ${reason}`));
    };
  }

  send(message: Uint8Array): boolean {
    if (this.#ended) return true;
    this.#out.push(message);
    return !this.#out.full;
  }

  writable(): Promise<void> {
    if (this.#ended || !this.#out.full) return Promise.resolve();
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  async receive(): Promise<Uint8Array | null> {
    for (;;) {
      const message = this.#in.shift();
      if (message !== undefined) {
        this.arrivals += 1;
        return message;
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
  }

  close(): void {
    this.#out.push(null);
  }

  abort(reason: ConnectorError): void {
    if (this.#ended) return;
    this.#end(reason);
    this.#in.cut();
    this.#out.cut(reason.message);
  }

  #end(end: LinkEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#settle(end);
    this.#wakeReader?.();
    this.#wakeWriters();
  }

  #wakeWriters(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
