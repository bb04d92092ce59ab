// The TCP connections of the REST API, from their accept to their end, so that strangers who only hold them open shut
// nobody out: how many there are, how long each may take for what, and which is cut when a new one needs room. It knows
// no HTTP: exchange.ts tells it how far each connection is. Used by api/serve_http.ts.

import type { Socket } from "node:net";
import { unmapIpv4 } from "../model/address.ts";
import type { BoundedLog } from "../bounded_log.ts";
import { addressKey, ANONYMOUS, type CertificateId } from "../model/principal.ts";
import { type Client, SOCKET_CLIENT } from "./client.ts";

/**
 * How long a client may take until its first request has arrived up to the end of its headers, the TLS handshake
 * included, in milliseconds: they fit into a few packets. A later request has as long from its first byte.
 */
export const HEADERS_MS = 10_000;
/** How long a connection may stay open between two requests, in milliseconds: a minute, as most clients expect. */
export const IDLE_MS = 60_000;
/** How long a client may take to receive an answer, in milliseconds: the largest, 6 MB, at 1 Mbit/s. */
const ANSWER_MS = 60_000;
/** How often deadlines are looked at, in milliseconds: how late they may be noticed. */
const LOOK_MS = 500;
/** How long a client may take for its next step where there are many, in milliseconds: several round trips. */
const LOITERING_MS = 1000;
/** Why a connection is cut to make room. */
const CROWDED: Cut = { rule: "limit", reason: "there are too many connections" };
/** Why a connection is cut, and by which rule. */
interface Cut {
  rule: "limit" | "time";
  reason: string;
}

/** Bytes of answers that clients have not taken yet, of all connections: five of the largest. */
const MAX_UNSENT_BYTES = 32 * 1024 * 1024;

/**
 * How far a connection is, in the order in which connections are cut to make room for a new one. Those that have not
 * had the time for their next step yet come after all others, in the same order:
 * - `refused`: its token is wrong, and the answer is held back
 * - `opening`: it was accepted, or a further request has begun, and the headers are not there; the TLS handshake counts
 * - `receiving`: the headers of a request are there, its body is not
 * - `idle`: every request has been answered
 * - `answering`: the client has not yet received an answer that is ready
 * - `working`: a request is being worked on, which may wait for a service; it is never cut
 */
const STAGES = ["refused", "opening", "receiving", "idle", "answering", "working"] as const;
export type Stage = typeof STAGES[number];
/** Stages in which nothing is lost to the client, however short they were. */
const RESTING: readonly Stage[] = ["refused", "idle"];

/** Bounds of connections. The defaults are right except for tests. */
export interface ConnectionsOptions {
  /** How many connections there may be when so many are wanted. */
  share: (wanted: number) => number;
  /** What is cut is logged here. */
  log: BoundedLog;
  /** As `HEADERS_MS`. */
  headersMs?: number | undefined;
  /** As `IDLE_MS`. */
  idleMs?: number | undefined;
  /** As `ANSWER_MS`. */
  answerMs?: number | undefined;
  /** As `MAX_UNSENT_BYTES`. */
  maxUnsentBytes?: number | undefined;
}

/** One connection. */
export class Connection {
  readonly client: Client;
  /** What the certificate proves that the client has shown, judged anew: it may be revoked or have ended. Absent without. */
  certificate: (() => CertificateId | undefined) | undefined;
  /** Whether it is over TLS. */
  readonly secure: boolean;
  /** What the bounds of addresses count it under. */
  readonly group: string;
  /** Ends when the requests that have arrived so far are answered: one after the other, in their order. */
  answered: Promise<void> = Promise.resolve();
  /** Requests that have arrived and are not answered. */
  requests = 0;
  /** The last request that has begun to arrive, and whether all of it has. */
  lastRequest: { readonly complete: boolean } | undefined;
  /** Bytes of its answers that the client has not taken yet. */
  unsentBytes = 0;
  /** The TCP connection itself, below TLS. */
  readonly socket: Socket;
  #stage: Stage = "opening";
  #isClosing = false;
  #hasSpoken = false;
  #since = performance.now();

  constructor(socket: Socket, { client, secure }: { client: Client; secure: boolean }) {
    this.socket = socket;
    this.client = client;
    this.secure = secure;
    this.group = addressKey(client.address);
  }

  get stage(): Stage {
    return this.#stage;
  }

  /** When the stage began, as of `performance.now()`. */
  get since(): number {
    return this.#since;
  }

  /** Whether the client has sent anything of HTTP. */
  get hasSpoken(): boolean {
    return this.#hasSpoken;
  }

  /** Takes note that something of HTTP is about to be parsed: where no request was being received, one begins. */
  hear(): void {
    this.#hasSpoken = true;
    if (this.#stage === "idle") this.enter("opening");
  }

  enter(stage: Stage): void {
    if (stage === this.#stage) return;
    this.#stage = stage;
    this.#since = performance.now();
  }

  /** Whether the body of a request is still to come. */
  get isReceiving(): boolean {
    return this.lastRequest?.complete === false;
  }

  /** Whether it ends once all its requests are answered. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Ends it once all its requests are answered. False when there are none, or when this was called before. */
  close(): boolean {
    if (this.requests === 0 || this.#isClosing) return false;
    return this.#isClosing = true;
  }

  /** Ends it at once. */
  abort(): void {
    this.socket.destroy();
  }
}

/** All connections. Disposing aborts them. */
export class Connections implements Disposable {
  readonly #options: ConnectionsOptions;
  readonly #byEnds = new Map<string, Connection>();
  /** What stands for the ends of connections over the Unix socket, which have no addresses. */
  readonly #unixEnds = new WeakMap<Socket, string>();
  #unixCount = 0;
  #unsentBytes = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #empty: PromiseWithResolvers<void> | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#byEnds.size;
  }

  /**
   * Takes a connection that was accepted, over TCP or the Unix socket. Another is cut when there are too many, or this one
   * where none may be.
   */
  add(socket: Socket, { over, secure }: { over: "tcp" | "unix"; secure: boolean }): void {
    const client = over === "unix" ? SOCKET_CLIENT : clientOf(socket);
    // It has ended already.
    if (client === undefined) return void socket.destroy();
    if (over === "unix") this.#unixEnds.set(socket, `unix ${this.#unixCount += 1}`);
    const connection = new Connection(socket, { client, secure });
    const size = this.size + 1;
    if (size > this.#options.share(size)) {
      const victim = this.#leastNeeded();
      this.#abort(victim ?? connection, CROWDED);
      if (victim === undefined) return;
    } else if (2 * size > this.#options.share(2 * size)) {
      // Room for those who come all at once: whoever had the time to ask and did not leaves early.
      const victim = this.#leastNeeded(isLoitering);
      if (victim !== undefined) this.#abort(victim, CROWDED);
    }
    const ends = this.#endsOf(socket);
    this.#byEnds.set(ends, connection);
    this.#timer ??= setInterval(() => this.#look(performance.now()), LOOK_MS);
    socket.once("close", () => this.#remove(ends, connection));
  }

  /** The connection of a socket, or of the TLS socket above that; undefined when it has ended. */
  of(socket: Socket): Connection | undefined {
    return this.#byEnds.get(this.#endsOf(socket));
  }

  /** Counts bytes of an answer that the client has yet to take; what others do not take is cut where it gets too much. */
  hold(connection: Connection, bytes: number): void {
    connection.unsentBytes += bytes;
    this.#unsentBytes += bytes;
    const { maxUnsentBytes = MAX_UNSENT_BYTES } = this.#options;
    while (this.#unsentBytes > maxUnsentBytes) {
      const victim = this.#leastNeeded((each) => each !== connection && each.unsentBytes > 0);
      if (victim === undefined) return;
      this.#abort(victim, { rule: "limit", reason: "too many answers are not received" });
    }
  }

  /** Counts them no longer. */
  release(connection: Connection): void {
    this.#unsentBytes -= connection.unsentBytes;
    connection.unsentBytes = 0;
  }

  /** Ends those on which no request is being answered, and resolves when all have ended. */
  async close(): Promise<void> {
    for (const connection of this.#byEnds.values()) {
      if (connection.requests === 0) connection.abort();
    }
    if (this.size === 0) return;
    this.#empty ??= Promise.withResolvers();
    await this.#empty.promise;
  }

  /** Ends all at once. */
  abort(): void {
    for (const connection of this.#byEnds.values()) connection.abort();
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  #endsOf(socket: Socket): string {
    return this.#unixEnds.get(socket) ?? endsOf(socket);
  }

  #remove(ends: string, connection: Connection): void {
    this.release(connection);
    // A new connection from the same port may have come before this end was told of.
    if (this.#byEnds.get(ends) !== connection) return;
    this.#byEnds.delete(ends);
    if (this.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#empty?.resolve();
    this.#empty = undefined;
  }

  #look(now: number): void {
    const { headersMs = HEADERS_MS, idleMs = IDLE_MS, answerMs = ANSWER_MS } = this.#options;
    for (const connection of this.#byEnds.values()) {
      const lasted = now - connection.since;
      switch (connection.stage) {
        case "opening":
          if (lasted > headersMs) {
            this.#abort(connection, { rule: "time", reason: "it sent no whole request in time" });
          }
          break;
        case "idle":
          if (lasted > idleMs) connection.abort();
          break;
        case "answering":
          if (lasted > answerMs) {
            this.#abort(connection, { rule: "time", reason: "it does not receive its answer" });
          }
          break;
        case "refused":
        case "receiving":
        case "working":
          // Its answer is due; bodies have a deadline of their own, and what the API waits for has, too.
          break;
      }
    }
  }

  /**
   * The connection to cut for another: of the address that has the most, so that one that opens many shuts only
   * itself out; there one that had the time to go on before one that had not, or whoever holds connections and does
   * nothing would shut out whoever comes; of those the one that has come least far, the one that has been there longest.
   */
  #leastNeeded(
    fits: (connection: Connection) => boolean = ({ stage }) => stage !== "working",
  ): Connection | undefined {
    const counts = new Map<string, number>();
    for (const { group } of this.#byEnds.values()) counts.set(group, (counts.get(group) ?? 0) + 1);
    const now = performance.now();
    const rank = (each: Connection) =>
      [
        -(counts.get(each.group) ?? 0),
        Number(!RESTING.includes(each.stage) && now - each.since <= LOITERING_MS),
        STAGES.indexOf(each.stage),
        // What has been read and was no request goes before what there was no time to read.
        Number(!each.hasSpoken),
        each.since,
      ] as const;
    let least: Connection | undefined;
    for (const each of this.#byEnds.values()) {
      if (fits(each) && (least === undefined || isBefore(rank(each), rank(least)))) least = each;
    }
    return least;
  }

  #abort(connection: Connection, cut: Cut): void {
    // To connect and say nothing is what browsers and health checks do, a few at a time.
    if (connection.hasSpoken || cut === CROWDED) {
      this.#options.log.info("REST connection cut", { ...clientFields(connection), ...cut });
    }
    this.release(connection);
    connection.abort();
    // What closes a socket says so later, and until then it would be chosen again.
    for (const [ends, each] of this.#byEnds) if (each === connection) this.#remove(ends, each);
  }
}

/** Whose connection it is, for the log. */
export function clientFields(
  { client, certificate }: Pick<Connection, "client" | "certificate">,
): { peer: string; principal: string } {
  return {
    peer: unmapIpv4(client.address),
    principal: certificate?.()?.displayName ?? ANONYMOUS,
  };
}

/** Whether a client has had the time for a request: some of it was read, or nothing came for a while. */
function isLoitering({ stage, hasSpoken, since }: Connection): boolean {
  return stage === "opening" && (hasSpoken || performance.now() - since > LOITERING_MS);
}

function isBefore(left: readonly number[], right: readonly number[]): boolean {
  const index = left.findIndex((value, place) => value !== right[place]);
  return index >= 0 && (left[index] ?? 0) < (right[index] ?? 0);
}

function clientOf(socket: Socket): Client | undefined {
  const { remoteAddress: address, localAddress, localPort } = socket;
  if (address === undefined || localAddress === undefined || localPort === undefined) return;
  return { address, localAddress, localPort };
}

/** What a TLS socket and the one below it have in common, and no two connections. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
