// What keeps strangers out before they are a session: whoever takes too long, shows no certificate, or shows one that the
// judge refuses, is cut. grpc-js keeps all of that to itself, so the events of its HTTP/2 servers are read. Why TLS refused
// somebody is put into words in refusals.ts.

import type { Http2Server, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { ConnectorError, reasonOf } from "../errors.ts";
import type { JudgePeer } from "../peer_judge.ts";
import {
  explainTlsError,
  Explanations,
  NO_CERTIFICATE,
  NO_HTTP2,
  NO_PLAINTEXT_HTTP2,
} from "./refusals.ts";
import { shownCertificates } from "./shown_certificates.ts";
import { connectionKeyOf, peerAddressOf } from "./socket_address.ts";

/** How long a connection may take until it speaks HTTP/2, in milliseconds: a handshake is a few round trips. */
export const SETUP_TIMEOUT_MS = 10_000;

/** Whom a server lets in. */
export interface GateOptions {
  /** Judges the certificates of peers; absent over plaintext, where there are none. */
  judge: JudgePeer | undefined;
  /** A connection was refused: who it was, and why. Called at most once for each. */
  onRefused: (address: string, reason: string) => void;
  /** In milliseconds. */
  setupTimeoutMs?: number;
}

/** A connection that has not spoken HTTP/2 yet. */
interface Attempt {
  /** Tells why it is refused, the first time. */
  refuse: (reason: string) => void;
  /** Cuts it. */
  cut: () => void;
  /** It has spoken HTTP/2, or nothing more is told of it. */
  forget: () => void;
  /** What the peer showed, for the words of a refusal. */
  shown?: Uint8Array[];
}

/** A TLS socket, and the TCP socket under it, which keeps its address when it is closed. */
type AcceptedTls = TLSSocket & { _parent?: Socket };

/**
 * Guards a server, and tells of every connection that is refused. Returns what cuts those that have not spoken yet.
 */
export function guardServer(server: Http2Server, options: GateOptions): () => void {
  const { onRefused, judge } = options;
  const setupTimeoutMs = options.setupTimeoutMs ?? SETUP_TIMEOUT_MS;
  const attempts = new Map<string, Attempt>();
  // A socket that was closed does not tell its own end any more.
  const keys = new WeakMap<Socket, string>();
  const attemptOf = (socket: AcceptedTls | Socket) => {
    const under = "_parent" in socket && socket._parent || socket;
    return attempts.get(keys.get(under) ?? connectionKeyOf(under));
  };
  const explanations = new Explanations(judge);
  // Some events are emitted by secure servers only; a secure server is an Http2Server in grpc-js's eyes.
  const emitter: NodeJS.EventEmitter = server;

  // Ahead of the platform's own listener, which makes a plaintext connection a session at once.
  emitter.prependListener("connection", (socket: Socket) => {
    const address = peerAddressOf(socket);
    const key = connectionKeyOf(socket);
    keys.set(socket, key);
    let told = false;
    const refuse = (reason: string) => {
      if (!told) onRefused(address, reason);
      told = true;
    };
    const timer = setTimeout(() => {
      refuse(`it did not complete the handshake in ${setupTimeoutMs / 1000} s`);
      socket.destroy();
    }, setupTimeoutMs);
    socket.once("close", () => clearTimeout(timer));
    attempts.set(key, {
      refuse,
      cut: () => socket.destroy(),
      forget: () => {
        clearTimeout(timer);
        attempts.delete(key);
      },
    });
  });

  // After the platform's own, which has put TLS around the socket by now.
  emitter.on("connection", (socket: Socket) => {
    const attempt = attemptOf(socket);
    const tls = tlsSocketOf(socket);
    if (attempt) (tls ?? socket).once("close", attempt.forget);
    // Ahead of the platform's own listener, which forgets the certificate as it refuses it.
    tls?.prependListener("secure", () => {
      if (attempt && !tls.authorized) attempt.shown = shownCertificates(tls);
    });
  });

  // TLS has said yes, or has asked nothing: it lets a session that is resumed pass without a certificate.
  const enter = emitter.listeners("secureConnection");
  emitter.removeAllListeners("secureConnection");
  emitter.on("secureConnection", (socket: AcceptedTls) => {
    try {
      judgeClient(socket, judge);
    } catch (error) {
      attemptOf(socket)?.refuse(reasonOf(error));
      socket.destroy();
      return;
    }
    for (const listener of enter) Reflect.apply(listener, server, [socket]);
  });

  emitter.on("tlsClientError", (error: Error, socket: AcceptedTls) => {
    const under = socket._parent ?? socket;
    const attempt = attemptOf(under);
    if (socket.authorizationError) {
      attempt?.refuse(explanations.of(attempt.shown ?? []));
    } else if (!LEFT.test(error.message)) {
      attempt?.refuse(explainTlsError(error));
    } else if (under.bytesRead > 0) {
      // One that left without a word was a probe of the port.
      attempt?.refuse("it left before the TLS handshake was complete");
    }
  });

  emitter.on("unknownProtocol", (socket: AcceptedTls) => {
    attemptOf(socket)?.refuse(NO_HTTP2);
    socket.destroy();
  });

  emitter.on("session", (session: ServerHttp2Session) => {
    const attempt = attempts.get(connectionKeyOf(session.socket));
    session.once("remoteSettings", () => attempt?.forget());
    session.on("error", (error: Error) => {
      if (/magic/.test(error.message)) attempt?.refuse(NO_PLAINTEXT_HTTP2);
    });
  });

  return () => {
    for (const attempt of attempts.values()) attempt.cut();
  };
}

/** @throws {ConnectorError} unless TLS and the judge both say yes. */
function judgeClient(socket: TLSSocket, judge: JudgePeer | undefined): void {
  if (!socket.authorized) throw new ConnectorError("permission_denied", NO_CERTIFICATE);
  if (judge === undefined) throw new TypeError("a server with TLS has a judge");
  judge(shownCertificates(socket), { purpose: "client" });
}

/**
 * The TLS socket around a TCP socket: the owner of its handle. Were the platform to change that, reasons would
 * be plainer, and a test would fail.
 */
function tlsSocketOf(socket: Socket): TLSSocket | undefined {
  // Private in its types, a plain property in fact.
  const { _handle: handle } = socket as Socket & { _handle?: object };
  if (!handle) return undefined;
  for (const key of Object.getOwnPropertySymbols(handle)) {
    const value: unknown = Reflect.get(handle, key);
    if (value instanceof TLSSocket) return value;
  }
  return undefined;
}

/** The platform's words when the peer has closed the connection. */
const LEFT = /socket hang up|disconnected|ECONNRESET|unexpected.?eof/i;
