// The connections at the gRPC port, from their accept to their end, and the addresses that they come from. A table only:
// who is let in is decided in connection_gate.ts, what calls may do in call_gate.ts, and when they are late in deadlines.ts.
//
// A connection is new until the first message of a link has come over it.

import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { unmapIpv4 } from "../model/address.ts";
import { addressKey, type Principal } from "../model/principal.ts";
import type { JudgedPeer } from "../model/peer_judge.ts";
import type { BoundedSession } from "./http2_bounds.ts";
import { connectionKeyOf, peerAddressOf } from "./socket_address.ts";

/** Why a stranger, or what it asked for, was refused at the gRPC port. */
export interface GateRefusal {
  /**
   * What refused it.
   * - `handshake`: it shows no certificate that is trusted, or does not get as far as HTTP/2
   * - `revoked`: one of its certificates is revoked
   * - `connections`, `calls`: there are too many already
   * - `http2`: one connection costs too much
   * - `size`, `time`, `encoding`: a call is too large, takes too long, or is compressed
   * - `greeting`: what it says of itself, or of what it speaks, cannot be used
   */
  rule:
    | "handshake"
    | "revoked"
    | "connections"
    | "calls"
    | "http2"
    | "size"
    | "time"
    | "encoding"
    | "greeting";
  /** In words. */
  reason: string;
  /** Who it has proven to be, if that is known. */
  principal?: Principal | undefined;
}

/** Told of each refusal: of whom, host:port, and why. */
export type OnGateRefusal = (address: string, refusal: GateRefusal) => void;

/** One connection, from its accept to its end. */
export interface Connection {
  /** host:port of the peer. */
  readonly address: string;
  /** Both ends. */
  readonly key: string;
  readonly source: Source;
  readonly socket: Socket;
  /** Undefined until its handshake is over. */
  session: ServerHttp2Session | undefined;
  bounded: BoundedSession | undefined;
  readonly openedAt: number;
  /** Who is at the other end; undefined until the TLS handshake is over, and over plaintext. */
  judged: JudgedPeer | undefined;
  /** Who is at the other end, for the log: undefined until its certificates were judged, and over plaintext. */
  principal: () => Principal | undefined;
  /** Why it is about to be cut: one of its certificates was revoked. */
  revoked: string | undefined;
  /** No link has sent anything over it. */
  isNew: boolean;
  /** Its calls. */
  readonly calls: Set<Call>;
  links: number;
  /** Links that were opened over it while it was new. */
  linksTried: number;
  /** A control call has come over it. */
  hasControlCalls: boolean;
  /** It is about to be cut: it has made too many control calls. */
  overdrawn: boolean;
  /** Since when it has no call. */
  idleSince: number;
  /** When it was told to leave. */
  dismissedAt: number | undefined;
}

/** One call. */
export interface Call {
  readonly stream: ServerHttp2Stream;
  readonly openedAt: number;
  /** A call of the control API; otherwise it is a link. */
  readonly control: boolean;
  /** When it was seen that our side has ended. */
  answeredAt: number | undefined;
}

/** An address that connections come from; one IPv6 network counts as one. */
export interface Source {
  readonly key: string;
  readonly loopback: boolean;
  connections: number;
  /** Of those, the new ones, the oldest first. */
  readonly newOnes: Set<Connection>;
  controlCalls: number;
  /** Control calls that it may begin, as of `callsGrownAt`: as many as there may be, at first. */
  callCredit: number;
  callsGrownAt: number;
}

/** All connections of one server. */
export class ConnectionTable {
  readonly #sources = new Map<string, Source>();
  readonly #connections = new Map<Socket, Connection>();
  /** By both of its ends. */
  readonly #byKey = new Map<string, Connection>();
  readonly #newOnes = new Set<Connection>();
  readonly #onEmpty: () => void;

  /** `onEmpty` is called when the last connection has left. */
  constructor({ onEmpty }: { onEmpty: () => void }) {
    this.#onEmpty = onEmpty;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** The new ones, the oldest first. */
  get newOnes(): ReadonlySet<Connection> {
    return this.#newOnes;
  }

  /** All of them, in the order of their accept. */
  all(): Iterable<Connection> {
    return this.#connections.values();
  }

  /** Addresses that have a connection, or a control call that outlives its connection. */
  sources(): Iterable<Source> {
    return this.#sources.values();
  }

  /** The address that a host counts under; in the table once it has a connection. */
  sourceOf(host: string): Source {
    const key = addressKey(host);
    return this.#sources.get(key) ?? {
      key,
      loopback: isLoopback(host),
      connections: 0,
      newOnes: new Set(),
      controlCalls: 0,
      callCredit: Infinity,
      callsGrownAt: 0,
    };
  }

  /** The connection under a session or call. */
  of(socket: Socket): Connection | undefined {
    return this.#byKey.get(connectionKeyOf(socket));
  }

  /** Adds one that was let in. It leaves the table when it closes. */
  add(socket: Socket, source: Source): void {
    const now = performance.now();
    const connection: Connection = {
      address: peerAddressOf(socket),
      key: connectionKeyOf(socket),
      source,
      socket,
      session: undefined,
      bounded: undefined,
      openedAt: now,
      judged: undefined,
      principal: () => undefined,
      revoked: undefined,
      isNew: true,
      calls: new Set(),
      links: 0,
      linksTried: 0,
      hasControlCalls: false,
      overdrawn: false,
      idleSince: now,
      dismissedAt: undefined,
    };
    this.#sources.set(source.key, source);
    source.connections += 1;
    source.newOnes.add(connection);
    this.#newOnes.add(connection);
    this.#connections.set(socket, connection);
    this.#byKey.set(connection.key, connection);
    socket.once("close", () => this.remove(connection));
  }

  /** It is new no longer. Idempotent. */
  prove(connection: Connection): void {
    if (!connection.isNew) return;
    connection.isNew = false;
    connection.linksTried = 0;
    connection.source.newOnes.delete(connection);
    this.#newOnes.delete(connection);
  }

  /** Idempotent. */
  remove(connection: Connection): void {
    const { source, socket, key } = connection;
    if (!this.#connections.delete(socket)) return;
    if (this.#byKey.get(key) === connection) this.#byKey.delete(key);
    this.prove(connection);
    source.connections -= 1;
    this.release(source);
    if (this.size === 0) this.#onEmpty();
  }

  /** Forgets an address that has nothing left. */
  release(source: Source): void {
    if (source.connections === 0 && source.controlCalls === 0) this.#sources.delete(source.key);
  }
}

function isLoopback(host: string): boolean {
  const address = unmapIpv4(host);
  return address.startsWith("127.") || address === "::1";
}
