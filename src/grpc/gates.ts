// Who gets in at the gRPC port, before anybody is a peer: how many connections there may be, in all and of one address; how
// long one may stay without a call; how many control calls are answered at once, and how much they may send. What a single
// connection may cost is in http2_bounds.ts, who is refused by TLS in refusals.ts, how many links there may be in tunnel/.
//
// A connection is new until the first message of a link has come over it. Honest peers send that at once, so new ones make
// room for newer ones when there are too many: whoever only holds connections open holds few, and keeps nobody out, from however
// many addresses. Until then it may have no more than HTTP/2's own 64 KiB under way to us; then its window grows.

import http2, {
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import { unmapIpv4 } from "../address.ts";
import { descriptors } from "../descriptors.ts";
import { addressKey } from "../principal.ts";
import { type BoundedSession, boundSession } from "./http2_bounds.ts";
import { connectionKeyOf, peerAddressOf } from "./socket_address.ts";
import { RECEIVE_WINDOW_BYTES } from "./windows.ts";

/**
 * Of the connections that there may be (2,000, or fewer with few file descriptors), the part of one address: some hundred
 * peers behind one NAT, with those of theirs that a broken path has left behind.
 */
const ADDRESS_PART = 1 / 2;
/** The last part is for addresses that have none yet. Loopback has no bound but this: a proxy may stand before us. */
const NEWCOMERS_PART = 1 / 8;
/** The part that may be new, and of that the part of one address: a herd that returns takes turns. */
const NEW_PART = 1 / 4;
const NEW_ADDRESS_PART = 1 / 8;
/** So many may be new however few there may be in all; an address that has no more gets in at the cost of any new one. */
const MIN_NEW = 8;
/**
 * A new connection makes room for a newer one when it is so old, in milliseconds: far above a handshake. Before that only
 * chance takes it, where there is a crowd.
 */
const NEW_GRACE_MS = 2_000;
/**
 * How long a connection may stay without a call once control calls have come over it, in milliseconds: a client comes back
 * by itself when it has more to ask.
 */
const IDLE_MS = 30_000;
/** How long a client has to leave when it was told to, in milliseconds. */
const LEAVE_MS = 5_000;
/** How long a first call, the request of a control call, and the first message of a link may take, in milliseconds. */
export const REQUEST_MS = 10_000;
/**
 * How long a control call may take in all, in milliseconds, and a link to end for the client once it has for us: far above
 * what any takes, but a client may never read what it is sent.
 */
const CALL_MS = 60_000;
/** Bytes of a control call's request, and of a link's first message: a service has a few hundred, a frame 64 KiB. */
const MAX_REQUEST_BYTES = 128 * 1024;
/** Control calls that are open at once, in all and of one address. */
const MAX_CONTROL_CALLS = 512;
const MAX_ADDRESS_CONTROL_CALLS = 128;
/** Links over one connection: every peer has a connection for each. */
const MAX_LINKS_PER_CONNECTION = 4;
/** How often deadlines are looked at, in milliseconds. */
const SWEEP_MS = 1_000;

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = http2.constants;

/** gRPC's codes, as text. */
const RESOURCE_EXHAUSTED = "8";
const UNIMPLEMENTED = "12";

/** What gates need. */
export interface GatesOptions {
  /** A connection, or a call of it, was refused: whose it was, and why. */
  onRefused: (address: string, reason: string) => void;
  /** Whether there may be so many connections at the port. Default: what the descriptors of the process allow. */
  allows?: (connections: number) => boolean;
  /** Deadlines, in milliseconds. */
  idleMs?: number;
  requestMs?: number;
  newGraceMs?: number;
}

/** One connection, from its accept to its end. */
interface Connection {
  /** host:port of the peer. */
  address: string;
  /** Both ends. */
  key: string;
  owner: Owner;
  socket: Socket;
  session: ServerHttp2Session | undefined;
  bounded: BoundedSession | undefined;
  openedAt: number;
  /** No link has sent anything over it. */
  fresh: boolean;
  /** Its calls. */
  readonly calls: Set<Call>;
  links: number;
  /** Links that were opened over it while it was new. */
  linksTried: number;
  /** A control call has come over it. */
  controls: boolean;
  /** Since when it has no call. */
  idleSince: number;
  /** When it was told to leave. */
  dismissedAt: number | undefined;
}

/** One call. */
interface Call {
  stream: ServerHttp2Stream;
  openedAt: number;
  control: boolean;
  /** When it was seen that our side has ended. */
  answeredAt: number | undefined;
}

/** All connections of one address. */
interface Owner {
  key: string;
  loopback: boolean;
  connections: number;
  /** Of those, the new ones, the oldest first. */
  readonly fresh: Set<Connection>;
  controlCalls: number;
}

/** The gates of one gRPC server. */
export class Gates {
  readonly #options: Required<GatesOptions>;
  readonly #owners = new Map<string, Owner>();
  readonly #connections = new Map<Socket, Connection>();
  /** By both of its ends. */
  readonly #byKey = new Map<string, Connection>();
  /** The new ones, the oldest first. */
  readonly #fresh = new Set<Connection>();
  #controlCalls = 0;
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(options: GatesOptions) {
    this.#options = {
      allows: (count) => descriptors.share("peers", count) >= count,
      idleMs: IDLE_MS,
      requestMs: REQUEST_MS,
      newGraceMs: NEW_GRACE_MS,
      ...options,
    };
  }

  /** Stands before a server: whatever listens to its connections and calls by now only learns of those that are let in. */
  guard(server: Http2Server): void {
    const { onRefused } = this.#options;
    filter(server, "connection", (socket: Socket) => this.#admit(socket));
    filter(
      server,
      "stream",
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => this.#take(stream, headers),
    );
    server.prependListener("session", (session: ServerHttp2Session) => {
      const address = peerAddressOf(session.socket);
      const connection = this.#byKey.get(connectionKeyOf(session.socket));
      const onExcess = (why: string) => {
        onRefused(address, why);
        session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
      };
      const bounded = boundSession(session, { onExcess });
      // One that cannot be bounded is none that we know how to serve.
      if (connection === undefined || bounded === undefined) return session.destroy();
      connection.session = session;
      connection.bounded = bounded;
    });
  }

  /** The first message of a link has come from an address, host:port. */
  prove(address: string): void {
    // Nearly always one; a call does not tell over which connection it has come.
    for (const connection of this.#connections.values()) {
      if (connection.address !== address || !connection.fresh) continue;
      this.#prove(connection);
      const { session, bounded } = connection;
      if (!session || session.destroyed) continue;
      session.setLocalWindowSize(RECEIVE_WINDOW_BYTES);
      bounded?.flush();
    }
  }

  /** Forgets all; whoever calls it ends the connections. */
  close(): void {
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  /** Whether a connection is let in. */
  #admit(socket: Socket): boolean {
    const { onRefused } = this.#options;
    const { remoteAddress } = socket;
    // It has gone already.
    if (remoteAddress === undefined) return refuse(socket);
    const key = addressKey(remoteAddress);
    const owner = this.#owners.get(key) ?? {
      key,
      loopback: isLoopback(remoteAddress),
      connections: 0,
      fresh: new Set(),
      controlCalls: 0,
    };
    const reason = this.#obstacle(owner);
    if (reason !== undefined) {
      onRefused(peerAddressOf(socket), reason);
      return refuse(socket);
    }
    const now = performance.now();
    const connection: Connection = {
      address: peerAddressOf(socket),
      key: connectionKeyOf(socket),
      owner,
      socket,
      session: undefined,
      bounded: undefined,
      openedAt: now,
      fresh: true,
      calls: new Set(),
      links: 0,
      linksTried: 0,
      controls: false,
      idleSince: now,
      dismissedAt: undefined,
    };
    this.#owners.set(key, owner);
    owner.connections += 1;
    owner.fresh.add(connection);
    this.#fresh.add(connection);
    this.#connections.set(socket, connection);
    this.#byKey.set(connection.key, connection);
    socket.once("close", () => this.#forget(connection));
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS);
    return true;
  }

  /** Why no more connections of an address are let in now; makes room among the new ones if it can. */
  #obstacle(owner: Owner): string | undefined {
    const { allows } = this.#options;
    // First what it has itself: whoever has too many costs no other a place.
    const own = owner.connections + 1;
    if (!owner.loopback && !allows(Math.ceil(own / ADDRESS_PART))) {
      return `its address has ${own - 1} connections already`;
    }
    const ownFresh = owner.fresh.size + 1;
    const part = owner.loopback ? NEW_PART * (1 - NEWCOMERS_PART) : NEW_ADDRESS_PART;
    if (
      ownFresh > MIN_NEW && !allows(Math.ceil(ownFresh / part)) &&
      !this.#cutIfOld(first(owner.fresh))
    ) {
      return `its address has ${ownFresh - 1} connections already that are no link yet`;
    }
    // All of them, and those that can give way to nobody.
    const all = this.#connections.size + 1;
    const lasting = all - this.#fresh.size;
    const places = (count: number) =>
      owner.connections === 0 ? count : Math.ceil(count / (1 - NEWCOMERS_PART));
    if (
      !allows(places(all)) && !(allows(places(lasting)) && this.#makeRoom(owner))
    ) {
      return `there are ${all - 1} connections of peers already`;
    }
    const allFresh = this.#fresh.size + 1;
    if (
      allFresh > 2 * MIN_NEW && !allows(Math.ceil(allFresh / NEW_PART)) && !this.#makeRoom(owner)
    ) {
      return `there are ${allFresh - 1} connections already that are no link yet`;
    }
    return undefined;
  }

  /**
   * Cuts a new connection for one of an address: one that has had its time, of the address that has most of them, or the
   * oldest of all. In a crowd none may be so old. Then it is any of them if the address has few: if it were the oldest,
   * nobody would get far against a quick crowd, and if it were none, nobody would get in.
   */
  #makeRoom(owner: Owner): boolean {
    if (this.#cutIfOld(first(this.#crowd()?.fresh)) || this.#cutIfOld(first(this.#fresh))) {
      return true;
    }
    if (this.#fresh.size === 0 || owner.fresh.size >= MIN_NEW) return false;
    const chosen = [...this.#fresh][Math.floor(Math.random() * this.#fresh.size)];
    return chosen !== undefined && this.#cut(chosen);
  }

  /** Cuts a new connection if it has had its time. Returns whether it was cut. */
  #cutIfOld(connection: Connection | undefined): boolean {
    if (connection === undefined) return false;
    if (performance.now() - connection.openedAt < this.#options.newGraceMs) return false;
    return this.#cut(connection);
  }

  /** The address with most new connections. */
  #crowd(): Owner | undefined {
    let crowd: Owner | undefined;
    for (const owner of this.#owners.values()) {
      if (owner.fresh.size > (crowd?.fresh.size ?? 0)) crowd = owner;
    }
    return crowd;
  }

  /** Cuts a connection for a newer one. */
  #cut(connection: Connection): true {
    this.#options.onRefused(connection.address, "newer connections need its place");
    this.#forget(connection);
    connection.session?.destroy();
    connection.socket.destroy();
    return true;
  }

  /** Idempotent. */
  #forget(connection: Connection): void {
    const { owner, socket, key } = connection;
    if (!this.#connections.delete(socket)) return;
    if (this.#byKey.get(key) === connection) this.#byKey.delete(key);
    this.#prove(connection);
    owner.connections -= 1;
    if (owner.connections === 0 && owner.controlCalls === 0) this.#owners.delete(owner.key);
    if (this.#connections.size === 0) this.close();
  }

  /** It is new no longer. */
  #prove(connection: Connection): void {
    if (!connection.fresh) return;
    connection.fresh = false;
    connection.linksTried = 0;
    connection.owner.fresh.delete(connection);
    this.#fresh.delete(connection);
  }

  /** Whether a call is answered by whoever serves its method. */
  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const connection = stream.session?.socket &&
      this.#byKey.get(connectionKeyOf(stream.session.socket));
    if (connection === undefined) {
      stream.close(NGHTTP2_NO_ERROR);
      return false;
    }
    const { owner } = connection;
    const control = headers[":path"] !== RemoteConnectionService.openStream.path;
    const encoding = headers["grpc-encoding"] ?? "identity";
    if (encoding !== "identity") {
      // A message of 4 KB can stand for one of 4 MB, and a window holds thousands of them.
      return answer(stream, UNIMPLEMENTED, "messages must not be compressed");
    }
    if (control) {
      const most = owner.loopback
        ? MAX_CONTROL_CALLS - MAX_ADDRESS_CONTROL_CALLS
        : MAX_ADDRESS_CONTROL_CALLS;
      if (owner.controlCalls >= most || this.#controlCalls >= MAX_CONTROL_CALLS) {
        return answer(stream, RESOURCE_EXHAUSTED, "there are too many control calls at once");
      }
      connection.controls = true;
      owner.controlCalls += 1;
      this.#controlCalls += 1;
    } else {
      // Opened and dropped again, links would fill the log.
      if (connection.fresh) connection.linksTried += 1;
      if (Math.max(connection.links + 1, connection.linksTried) > MAX_LINKS_PER_CONNECTION) {
        const most = `a connection has at most ${MAX_LINKS_PER_CONNECTION} links`;
        return answer(stream, RESOURCE_EXHAUSTED, most);
      }
      connection.links += 1;
    }
    const call = { stream, openedAt: performance.now(), control, answeredAt: undefined };
    connection.calls.add(call);
    stream.once("close", () => {
      connection.calls.delete(call);
      connection.idleSince = performance.now();
      if (!control) {
        connection.links -= 1;
        return;
      }
      owner.controlCalls -= 1;
      this.#controlCalls -= 1;
      if (owner.connections === 0 && owner.controlCalls === 0) this.#owners.delete(owner.key);
    });
    this.#watchRequest(connection, call);
    return true;
  }

  /** Bounds what a call sends: a control call in all, a link while its connection is new. */
  #watchRequest(connection: Connection, { stream, control }: Call): void {
    // What came with the head of the call is in the stream by now.
    let received = stream.readableLength;
    // A listener would make the stream flow, whether grpc-js wants more or not.
    const push = stream.push.bind(stream);
    stream.push = (chunk, encoding) => {
      if (chunk instanceof Uint8Array) received += chunk.length;
      if (!control && !connection.fresh) {
        Reflect.deleteProperty(stream, "push");
      } else if (received > MAX_REQUEST_BYTES) {
        Reflect.deleteProperty(stream, "push");
        const what = control ? "the request of a control call" : "the first message of a link";
        const reason = `${what} is larger than ${MAX_REQUEST_BYTES} bytes`;
        this.#options.onRefused(connection.address, reason);
        stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
        return false;
      }
      return push(chunk, encoding);
    };
  }

  #sweep(): void {
    const now = performance.now();
    const { idleMs, requestMs } = this.#options;
    for (const connection of this.#connections.values()) {
      const { session, calls } = connection;
      for (const call of calls) {
        const late = this.#lateness(call, { now, fresh: connection.fresh });
        if (late === undefined) continue;
        if (call.control) this.#options.onRefused(connection.address, late);
        call.stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
      }
      // TLS and the start of HTTP/2 have a deadline of their own.
      if (session === undefined || calls.size > 0) continue;
      if (connection.dismissedAt !== undefined) {
        if (now - connection.dismissedAt >= LEAVE_MS) session.destroy();
      } else if (now - connection.idleSince >= (connection.controls ? idleMs : requestMs)) {
        connection.dismissedAt = now;
        // In order: a client that has a call on its way makes it again over another connection.
        session.close();
      }
    }
  }

  /** What a call has taken too long for. */
  #lateness(call: Call, { now, fresh }: { now: number; fresh: boolean }): string | undefined {
    const { stream, openedAt, control } = call;
    const { requestMs } = this.#options;
    if (!control) {
      // gRPC's status is a call's last word, but HTTP/2 lets a client go on sending. What was sent ahead of it may take its
      // time on a slow path.
      if (stream.writableFinished) call.answeredAt ??= now;
      const over = call.answeredAt !== undefined &&
        now - call.answeredAt >= (fresh ? requestMs : CALL_MS);
      return over ? "it did not end a link that was over" : undefined;
    }
    const whole = stream.readableEnded || stream.endAfterHeaders;
    if (now - openedAt < (whole ? CALL_MS : requestMs)) return undefined;
    return `it did not ${whole ? "take the answer" : "send the request"} of a control call in time`;
  }
}

/** Puts a judge before all that listen to an event now. */
function filter<Args extends unknown[]>(
  server: Http2Server,
  event: string,
  admits: (...args: Args) => boolean,
): void {
  const emitter: NodeJS.EventEmitter = server;
  const listeners = emitter.listeners(event);
  emitter.removeAllListeners(event);
  emitter.on(event, (...args: Args) => {
    if (!admits(...args)) return;
    for (const listener of listeners) Reflect.apply(listener, server, args);
  });
}

function first<T>(set: Set<T> | undefined): T | undefined {
  return set?.values().next().value;
}

/** False: it is not let in. */
function refuse(socket: Socket): false {
  socket.on("error", () => {});
  socket.destroy();
  return false;
}

/** False: the call was answered here. */
function answer(stream: ServerHttp2Stream, code: string, message: string): false {
  stream.on("error", () => {});
  stream.respond({
    ":status": 200,
    "content-type": "application/grpc",
    "grpc-status": code,
    "grpc-message": message,
  }, { endStream: true });
  // What else it sends is not read.
  stream.close(NGHTTP2_NO_ERROR);
  return false;
}

function isLoopback(host: string): boolean {
  const address = unmapIpv4(host);
  return address.startsWith("127.") || address === "::1";
}
