// The gates of the gRPC port: what stands between a stranger and the services behind it, put together in the order in which
// a stranger meets it. Each is a file named for what it keeps out: connection_gate.ts (too many connections),
// handshake_gate.ts (no certificate, no end of the handshake), http2_bounds.ts (what one connection may cost), call_gate.ts
// (too many or too large calls), deadlines.ts (whatever takes too long). How many links there may be is the business of
// tunnel/, and who may do what that of whoever answers a call.

import http2, {
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { descriptors } from "../descriptors.ts";
import { ConnectorError } from "../model/errors.ts";
import type { JudgedPeer, JudgePeer } from "../model/peer_judge.ts";
import { type IdentifyPeer, Principal } from "../model/principal.ts";
import { shownCertificates } from "../platform/peer_certificates.ts";
import { CallGate } from "./call_gate.ts";
import { ConnectionGate, NEW_GRACE_MS } from "./connection_gate.ts";
import { ConnectionTable, type OnGateRefusal } from "./connections.ts";
import { Deadlines, IDLE_MS, REQUEST_MS } from "./deadlines.ts";
import { guardHandshakes } from "./handshake_gate.ts";
import { boundSession } from "./http2_bounds.ts";
import { peerAddressOf } from "./socket_address.ts";
import { tcpSocketOf } from "../platform/tls_socket.ts";
import { RECEIVE_WINDOW_BYTES } from "./windows.ts";

const { NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
/** How long the links of a connection may take to tell its peer that it is not trusted any more, in milliseconds. */
const REVOKED_GRACE_MS = 1000;

/** What gates need. */
export interface GatesOptions {
  /** Judges the certificates of peers; absent over plaintext, where there are none. */
  judge?: JudgePeer | undefined;
  /** A connection, or a call of it, was refused: whose it was, and why. */
  onRefused: OnGateRefusal;
  /** Says who a certificate in DER is of; absent over plaintext. */
  identify?: IdentifyPeer | undefined;
  /** Whether there may be so many connections at the port. Default: what the descriptors of the process allow. */
  allows?: (connections: number) => boolean;
  /** Deadlines, in milliseconds. */
  idleMs?: number;
  requestMs?: number;
  newGraceMs?: number;
}

/** The gates of one gRPC server, which may listen on several addresses. */
export class Gates implements Disposable {
  readonly #judge: JudgePeer | undefined;
  readonly #onRefused: OnGateRefusal;
  readonly #identify: IdentifyPeer | undefined;
  readonly #table = new ConnectionTable({ onEmpty: () => this.#deadlines.pause() });
  readonly #connectionGate: ConnectionGate;
  readonly #callGate: CallGate;
  readonly #deadlines: Deadlines;
  /** Connections that have not spoken HTTP/2 yet, of each server. */
  readonly #handshakes: Disposable[] = [];

  constructor(
    {
      judge,
      onRefused,
      identify,
      allows = (count) => descriptors.share("peers", count) >= count,
      idleMs = IDLE_MS,
      requestMs = REQUEST_MS,
      newGraceMs = NEW_GRACE_MS,
    }: GatesOptions,
  ) {
    this.#judge = judge;
    this.#onRefused = onRefused;
    this.#identify = identify;
    this.#connectionGate = new ConnectionGate(this.#table, { onRefused, allows, newGraceMs });
    this.#callGate = new CallGate(this.#table, { onRefused });
    this.#deadlines = new Deadlines(this.#table, { onRefused, idleMs, requestMs });
  }

  /** Stands before a server: whatever listens to its connections and calls by now only learns of those that are let in. */
  guard(server: Http2Server): void {
    this.#handshakes.push(guardHandshakes(server, {
      judge: this.#judge,
      onRefused: this.#onRefused,
      onJudged: (socket, judged) => {
        const connection = this.#table.of(tcpSocketOf(socket));
        if (connection === undefined) return;
        connection.judged = judged;
        connection.principal = this.#principalOf(socket);
      },
    }));
    // Ahead of the handshake's gate.
    filter(server, "connection", (socket: Socket) => {
      const admitted = this.#connectionGate.admit(socket);
      if (admitted) this.#deadlines.start();
      return admitted;
    });
    filter(
      server,
      "stream",
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
        this.#callGate.admit(stream, headers),
    );
    server.prependListener("session", (session: ServerHttp2Session) => this.#bound(session));
  }

  /** The first message of a link has come from an address, host:port. */
  prove(address: string): void {
    // Nearly always one; a call does not tell over which connection it has come.
    for (const connection of this.#table.all()) {
      if (connection.address !== address || !connection.isNew) continue;
      this.#table.prove(connection);
      const { session, bounded } = connection;
      if (!session || session.destroyed) continue;
      // Until now it had no more than HTTP/2's own 64 KiB under way to us.
      session.setLocalWindowSize(RECEIVE_WINDOW_BYTES);
      bounded?.flush();
    }
  }

  /** Who is at the other end of the connection from an address, host:port; undefined over plaintext. */
  judgedAt(address: string): JudgedPeer | undefined {
    for (const connection of this.#table.all()) {
      if (connection.address === address) return connection.judged;
    }
    return undefined;
  }

  /** Cuts connections one of whose certificates is revoked by now, in a moment: until then they take no calls. */
  cutRevoked(): void {
    for (const connection of this.#table.all()) {
      const reason = connection.judged?.revoked();
      if (reason === undefined || connection.revoked !== undefined) continue;
      connection.revoked = reason;
      const principal = connection.principal();
      this.#onRefused(connection.address, { rule: "revoked", reason, principal });
      const timer = setTimeout(() => connection.socket.destroy(), REVOKED_GRACE_MS);
      connection.socket.once("close", () => clearTimeout(timer));
    }
  }

  /** Looks at no deadlines any more; whoever calls it ends the connections. Idempotent. */
  close(): void {
    this.#deadlines.pause();
  }

  /** Cuts the connections that have not spoken HTTP/2 yet, too. Idempotent. */
  abort(): void {
    this.close();
    for (const handshakes of this.#handshakes) handshakes[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.abort();
  }

  /** Finds out who shows a certificate when it is asked first: few are. */
  #principalOf(socket: TLSSocket): () => Principal | undefined {
    let found: Principal | undefined;
    return () => found ??= this.#identifyPeer(socket);
  }

  #identifyPeer(socket: TLSSocket): Principal | undefined {
    const [own] = shownCertificates(socket);
    if (own === undefined) return undefined;
    try {
      const certificate = this.#identify?.(own);
      return new Principal({ host: socket.remoteAddress ?? "", certificate });
    } catch (error) {
      // One that says nothing of its holder opens no link either.
      if (error instanceof ConnectorError) return undefined;
      throw error;
    }
  }

  #bound(session: ServerHttp2Session): void {
    const address = peerAddressOf(session.socket);
    const connection = this.#table.of(session.socket);
    const onExcess = (reason: string) => {
      this.#onRefused(address, { rule: "http2", reason, principal: connection?.principal() });
      session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
    };
    const isLinked = () => connection?.isNew === false;
    const bounded = boundSession(session, { onExcess, isLinked });
    // One that cannot be bounded is none that we know how to serve.
    if (connection === undefined || bounded === undefined) return session.destroy();
    connection.session = session;
    connection.bounded = bounded;
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
