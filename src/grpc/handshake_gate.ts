// Keeps strangers out before they speak HTTP/2. A connection is cut when it
// - has not completed its handshake in time,
// - shows no certificate, also not by resuming a session: TLS itself lets resumed sessions pass without one,
// - shows one that the judge refuses, or
// - does not offer HTTP/2.
// grpc-js keeps all of that to itself, so the events of its HTTP/2 servers are read. Why TLS refused somebody is put into
// words in refusals.ts; how many connections there may be is the business of connection_gate.ts.

import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import type { JudgedPeer, JudgePeer } from "../model/peer_judge.ts";
import { shownCertificates } from "../platform/peer_certificates.ts";
import { type AcceptedTls, tcpSocketOf, tlsSocketOf } from "../platform/tls_socket.ts";
import type { OnGateRefusal } from "./connections.ts";
import { explainRefusals, NO_CERTIFICATE, NO_HTTP2 } from "./refusals.ts";
import { connectionKeyOf, peerAddressOf } from "./socket_address.ts";

/** How long a connection may take until it speaks HTTP/2, in milliseconds: a handshake is a few round trips. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Whom a server lets in. */
export interface HandshakeGateOptions {
  /** Judges the certificates of peers; absent over plaintext, where there are none. */
  judge: JudgePeer | undefined;
  /** Told of each connection that the judge has let in, over TLS. */
  onJudged: (socket: TLSSocket, judged: JudgedPeer) => void;
  /** A connection was refused: who it was, and why. Called at most once for each. */
  onRefused: OnGateRefusal;
  /** In milliseconds. Default: `HANDSHAKE_TIMEOUT_MS`. */
  handshakeTimeoutMs?: number;
}

/** Guards a server. Disposing what it returns cuts the connections that have not spoken HTTP/2 yet. */
export function guardHandshakes(server: Http2Server, options: HandshakeGateOptions): Disposable {
  const { judge, onJudged } = options;
  const handshakes = new Handshakes(options);
  // Some events are emitted by secure servers only; a secure server is an Http2Server in grpc-js's eyes.
  const emitter: NodeJS.EventEmitter = server;

  // Ahead of the platform's own listener, which makes a plaintext connection a session at once.
  emitter.prependListener("connection", (socket: Socket) => handshakes.begin(socket));
  // After the platform's own, which has put TLS around the socket by now.
  emitter.on("connection", (socket: Socket) => {
    const handshake = handshakes.of(socket);
    if (handshake) (tlsSocketOf(socket) ?? socket).once("close", handshake.forget);
  });
  explainRefusals(server, { judge, refusing: (socket) => handshakes.of(socket)?.refuse });

  // TLS has said yes, or has asked nothing: it lets a session that is resumed pass without a certificate.
  const enter = emitter.listeners("secureConnection");
  emitter.removeAllListeners("secureConnection");
  emitter.on("secureConnection", (socket: AcceptedTls) => {
    let judged: JudgedPeer;
    try {
      judged = judgeClient(socket, judge);
    } catch (error) {
      handshakes.of(socket)?.refuse(reasonOf(error));
      socket.destroy();
      return;
    }
    onJudged(socket, judged);
    for (const listener of enter) Reflect.apply(listener, server, [socket]);
  });

  emitter.on("unknownProtocol", (socket: AcceptedTls) => {
    handshakes.of(socket)?.refuse(NO_HTTP2);
    socket.destroy();
  });

  emitter.on("session", (session: ServerHttp2Session) => {
    const handshake = handshakes.of(session.socket);
    session.once("remoteSettings", () => handshake?.forget());
  });

  return handshakes;
}

/** @throws {ConnectorError} unless TLS and the judge both say yes. */
function judgeClient(socket: TLSSocket, judge: JudgePeer | undefined): JudgedPeer {
  if (!socket.authorized) throw new ConnectorError("permission_denied", NO_CERTIFICATE);
  if (judge === undefined) throw new TypeError("a server with TLS has a judge");
  return judge(shownCertificates(socket), { purpose: "client" });
}

/** A connection that has not spoken HTTP/2 yet. */
interface Handshake {
  /** Tells why it is refused, the first time. */
  refuse: (reason: string) => void;
  /** Cuts it. */
  cut: () => void;
  /** It has spoken HTTP/2, or nothing more is told of it. */
  forget: () => void;
}

/** The connections that have not spoken HTTP/2 yet, each with its deadline. */
class Handshakes implements Disposable {
  readonly #onRefused: HandshakeGateOptions["onRefused"];
  readonly #timeoutMs: number;
  readonly #byKey = new Map<string, Handshake>();
  /** A socket that was closed does not tell its own end any more. */
  readonly #keys = new WeakMap<Socket, string>();

  constructor({ onRefused, handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS }: HandshakeGateOptions) {
    this.#onRefused = onRefused;
    this.#timeoutMs = handshakeTimeoutMs;
  }

  /** That of a TCP socket, or of the TLS socket around it. */
  of(socket: AcceptedTls | Socket): Handshake | undefined {
    const tcp = tcpSocketOf(socket);
    return this.#byKey.get(this.#keys.get(tcp) ?? connectionKeyOf(tcp));
  }

  begin(socket: Socket): void {
    const address = peerAddressOf(socket);
    const key = connectionKeyOf(socket);
    this.#keys.set(socket, key);
    let told = false;
    const refuse = (reason: string) => {
      if (!told) this.#onRefused(address, { rule: "handshake", reason });
      told = true;
    };
    const timer = setTimeout(() => {
      refuse(`it did not complete the handshake in ${this.#timeoutMs / 1000} s`);
      socket.destroy();
    }, this.#timeoutMs);
    socket.once("close", () => clearTimeout(timer));
    const handshake: Handshake = {
      refuse,
      cut: () => socket.destroy(),
      forget: () => {
        clearTimeout(timer);
        // A connection from the same port may have come before this one's end was told.
        if (this.#byKey.get(key) === handshake) this.#byKey.delete(key);
      },
    };
    this.#byKey.set(key, handshake);
  }

  /** Cuts them all. */
  [Symbol.dispose](): void {
    for (const handshake of this.#byKey.values()) handshake.cut();
  }
}
