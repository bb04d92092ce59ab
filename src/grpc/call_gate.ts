// Keeps out calls above the bounds at the gRPC port: compressed ones, control calls and links above their number, and
// requests above their size. A leaf of gates.ts: what a call may take of time is in deadlines.ts.

import http2, { type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { setImmediate } from "node:timers";
import { RemoteConnectionService } from "../../proto/gen/connector.ts";
import type {
  Call,
  Connection,
  ConnectionTable,
  GateRefusal,
  OnGateRefusal,
  Source,
} from "./connections.ts";
import { mergePieces } from "./merged_pieces.ts";

/** Bytes of a control call's request, and of a link's first message: a service has a few hundred, a frame 64 KiB. */
const MAX_REQUEST_BYTES = 128 * 1024;
/** Control calls that are open at once, in all and of one address. */
const MAX_CONTROL_CALLS = 512;
const MAX_ADDRESS_CONTROL_CALLS = 128;
/**
 * Control calls that one address may begin at once, and a second after that: each costs some tenths of a millisecond, also one
 * that is refused. Tools make a few.
 */
const CALLS_AT_ONCE = 512;
const CALLS_PER_SECOND = 100;
/** Links over one connection: every peer has a connection for each. */
const MAX_LINKS_PER_CONNECTION = 4;

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = http2.constants;

/** gRPC's codes, as text. */
const PERMISSION_DENIED = "7";
const RESOURCE_EXHAUSTED = "8";
const UNIMPLEMENTED = "12";

/** Lets calls through to whoever serves them. */
export class CallGate {
  readonly #table: ConnectionTable;
  readonly #onRefused: OnGateRefusal;
  #controlCalls = 0;

  /** `onRefused` is told whose call was refused or ended, and why. */
  constructor(table: ConnectionTable, { onRefused }: { onRefused: OnGateRefusal }) {
    this.#table = table;
    this.#onRefused = onRefused;
  }

  /** Whether a call is answered by whoever serves its method. One that is not has been answered. */
  admit(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    // Its session may have been destroyed since it was made: then an error follows, whoever does not listen to it.
    stream.on("error", () => {});
    const connection = stream.session?.socket && this.#table.of(stream.session.socket);
    if (connection === undefined) {
      stream.close(NGHTTP2_NO_ERROR);
      return false;
    }
    const refuse = (code: string, { rule, reason }: Omit<GateRefusal, "principal">) => {
      this.#onRefused(connection.address, { rule, reason, principal: connection.principal() });
      return answer(stream, code, reason);
    };
    const { revoked } = connection;
    if (revoked !== undefined) {
      return refuse(PERMISSION_DENIED, { rule: "revoked", reason: revoked });
    }
    const encoding = headers["grpc-encoding"] ?? "identity";
    if (encoding !== "identity") {
      // A message of 4 KB can stand for one of 4 MB, and a window holds thousands of them.
      const reason = "messages must not be compressed";
      return refuse(UNIMPLEMENTED, { rule: "encoding", reason });
    }
    const control = headers[":path"] !== RemoteConnectionService.openStream.path;
    if (control && !takeCall(connection.source)) return this.#cut(connection);
    const obstacle = control ? this.#takeControlCall(connection) : takeLink(connection);
    if (obstacle !== undefined) {
      return refuse(RESOURCE_EXHAUSTED, { rule: "calls", reason: obstacle });
    }

    const call = { stream, openedAt: performance.now(), control, answeredAt: undefined };
    connection.calls.add(call);
    stream.once("close", () => {
      connection.calls.delete(call);
      connection.idleSince = performance.now();
      if (control) this.#releaseControlCall(connection);
      else connection.links -= 1;
    });
    if (!control) mergePieces(stream);
    this.#boundRequest(connection, call);
    return true;
  }

  /** Ends a connection for a call too many. False: that is not answered, but ends with its connection. */
  #cut(connection: Connection): false {
    const { session } = connection;
    if (connection.overdrawn || session === undefined) return false;
    connection.overdrawn = true;
    const reason = "its address makes too many control calls";
    this.#onRefused(connection.address, {
      rule: "calls",
      reason,
      principal: connection.principal(),
    });
    // Not while its input is taken: the runtime goes on with what it was given, and fails.
    setImmediate(() => {
      if (session.destroyed) return;
      session.goaway(NGHTTP2_ENHANCE_YOUR_CALM);
      // With any other code the runtime makes an error with a stack for each call, a tenth of a millisecond.
      session.destroy(undefined, NGHTTP2_CANCEL);
    });
    return false;
  }

  /** Counts a control call. Returns why there may be no more. */
  #takeControlCall(connection: Connection): string | undefined {
    const { source } = connection;
    const most = source.loopback
      ? MAX_CONTROL_CALLS - MAX_ADDRESS_CONTROL_CALLS
      : MAX_ADDRESS_CONTROL_CALLS;
    if (source.controlCalls >= most || this.#controlCalls >= MAX_CONTROL_CALLS) {
      return "there are too many control calls at once";
    }
    connection.hasControlCalls = true;
    source.controlCalls += 1;
    this.#controlCalls += 1;
    return undefined;
  }

  #releaseControlCall({ source }: Connection): void {
    source.controlCalls -= 1;
    this.#controlCalls -= 1;
    this.#table.release(source);
  }

  /** Bounds what a call sends: a control call in all, a link while its connection is new. */
  #boundRequest(connection: Connection, { stream, control }: Call): void {
    // What came with the head of the call is in the stream by now.
    let received = stream.readableLength;
    // A listener would make the stream flow, whether grpc-js wants more or not.
    const { push: ownPush } = stream;
    const push = ownPush.bind(stream);
    stream.push = (chunk, encoding) => {
      if (chunk instanceof Uint8Array) received += chunk.length;
      if (!control && !connection.isNew) {
        stream.push = ownPush;
      } else if (received > MAX_REQUEST_BYTES) {
        stream.push = ownPush;
        const what = control ? "the request of a control call" : "the first message of a link";
        const reason = `${what} is larger than ${MAX_REQUEST_BYTES} bytes`;
        const principal = connection.principal();
        this.#onRefused(connection.address, { rule: "size", reason, principal });
        stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
        return false;
      }
      return push(chunk, encoding);
    };
  }
}

/** Counts the beginning of a control call. Returns whether it may be made. */
function takeCall(source: Source): boolean {
  const now = performance.now();
  const grown = source.callCredit + (now - source.callsGrownAt) / 1000 * CALLS_PER_SECOND;
  source.callsGrownAt = now;
  source.callCredit = Math.min(CALLS_AT_ONCE, grown);
  if (source.callCredit < 1) return false;
  source.callCredit -= 1;
  return true;
}

/** Counts a link. Returns why there may be no more. */
function takeLink(connection: Connection): string | undefined {
  // Opened and dropped again, links would fill the log.
  if (connection.isNew) connection.linksTried += 1;
  if (Math.max(connection.links + 1, connection.linksTried) > MAX_LINKS_PER_CONNECTION) {
    return `a connection has at most ${MAX_LINKS_PER_CONNECTION} links`;
  }
  connection.links += 1;
  return undefined;
}

/** False: the call was answered here. */
function answer(stream: ServerHttp2Stream, code: string, message: string): false {
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
