// What every HTTP/2 connection of ours gets, those that grpc-js makes by itself too. First, the bounds of http2_bounds.ts
// for the ones that we open; a server's are set where it is made. Second, a defect of the runtime is kept from ending the
// process. When a GOAWAY arrives over a connection without open
// streams, node:http2 closes the session, and with it frees the native one that is still reading that frame:
// https://github.com/denoland/deno/issues/36788. So every peer that leaves in order could take us with it.
// Here each session's end waits for the next turn of the event loop, when nothing is being read; it goes when the issue is
// fixed. Third, what go_away.ts has about calls that outlive a GOAWAY. Loaded for its effect by whatever opens or accepts
// calls.

import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  type Http2Session,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import { foreignReason } from "./foreign_words.ts";
import { FLOOD } from "./frame_meter.ts";
import { pingWhileClosing, watchGoAway } from "./go_away.ts";
import { plainText } from "../plain_text.ts";
import { boundSession, CLIENT_SETTINGS, SESSION_OPTIONS } from "./http2_bounds.ts";

/** How much of the type of an answer is shown, in characters. */
const MAX_TYPE_LENGTH = 50;

const { connect, createServer, createSecureServer } = http2;

// grpc-js looks these up in the module each time.
http2.connect = guarding(bounded(connect), (session) => {
  guardEnd(session);
  tellCalls(session);
});
http2.createServer = guarding(createServer, (server) => server.on("session", guardEnd));
http2.createSecureServer = guarding(createSecureServer, (server) => server.on("session", guardEnd));

function guardEnd(session: Http2Session): void {
  deferEnd(session);
  pingWhileClosing(session);
}

/** The same function; the sessions that it makes are bounded. */
function bounded(make: typeof connect): typeof connect {
  return new Proxy(make, {
    apply(target, self, [authority, options, listener]: Parameters<typeof connect>) {
      const asked = typeof options === "object" ? options : {};
      let socket: Duplex | undefined;
      const { createConnection } = asked;
      const session: ClientHttp2Session = Reflect.apply(target, self, [
        authority,
        {
          ...withBounds(asked),
          ...createConnection && {
            createConnection: (...args) => socket = createConnection(...args),
          } satisfies ClientSessionOptions,
        },
        listener,
      ]);
      let connecting = true;
      session.once("remoteSettings", () => connecting = false);
      // It may be told twice.
      session.on("error", () => {});
      const onExcess = (why: string) => {
        const breach = new Breach(why);
        // Whoever waits for the session takes the first reason that comes, and the socket may have another one at once.
        if (connecting) session.emit("error", breach);
        session.destroy(breach);
      };
      // One that is not connected yet has nothing to bound, and may have read something by the time that it has.
      if (!boundSession(session, { onExcess, judgeFirst: foreignReason })) {
        session.once("connect", () => boundSession(session, { onExcess }));
      }
      refuseForeign(session);
      if (socket) watchGoAway(session, socket);
      return session;
    },
  });
}

/** Why we end a session. */
class Breach extends Error {}

/** How the runtime says of a peer that it is beyond a bound of SESSION_OPTIONS, or of its own; and what that means. */
const RUNTIME_BREACHES: Readonly<Record<string, string>> = {
  "Flooding was detected in this HTTP/2 session, and it must be closed": FLOOD,
  "Too many invalid HTTP/2 frames": "it sends too many HTTP/2 frames that are empty or not valid",
};

/**
 * Says to the calls of a session why it is ended, if that is a breach. Of the runtime they would only learn that it is, as if
 * the peer had ended it.
 */
function tellCalls(session: ClientHttp2Session): void {
  let why: string | undefined;
  const destroy = session.destroy.bind(session);
  session.destroy = (error, code) => {
    const text = error?.message ?? "";
    why ??= error instanceof Breach ? text : RUNTIME_BREACHES[text];
    destroy(error, code);
  };
  const request = session.request.bind(session);
  session.request = (...args) => {
    const call = request(...args);
    // Ahead of grpc-js, which takes the code and the last error for the reason.
    call.once("close", () => {
      if (why === undefined) return;
      Object.defineProperty(call, "rstCode", { value: http2.constants.NGHTTP2_INTERNAL_ERROR });
      // Without a listener it would end the process.
      if (call.listenerCount("error") > 0) call.emit("error", new Error(why));
    });
    return call;
  };
}

/** Ends a session whose answers are none of gRPC, or none that we can use: grpc-js would take a page for messages. */
function refuseForeign(session: ClientHttp2Session): void {
  const request = session.request.bind(session);
  session.request = (...args) => {
    const stream = request(...args);
    holdData(stream);
    stream.prependOnceListener("response", (headers) => {
      const why = foreignAnswer(headers);
      if (why === undefined) return;
      // It would end the call first, for a message that is none.
      stream.removeAllListeners("data").removeAllListeners("end").resume();
      session.destroy(new Breach(why));
    });
    return stream;
  };
}

/** Keeps data back until its headers were told: the runtime tells of them in the turn after. */
function holdData(stream: ClientHttp2Stream): void {
  const early: unknown[] = [];
  const { emit } = stream;
  stream.emit = (event: string | symbol, ...args: unknown[]) => {
    if (event === "data") return early.push(...args) > 0;
    // Not deleted: V8 would find every property of the stream more slowly from then on.
    if (event === "response") stream.emit = emit;
    const told = emit.call(stream, event, ...args);
    if (event === "response") { for (const data of early) stream.emit("data", data); }
    return told;
  };
}

/** Why an answer is none of a connector, as a clause about who gave it; undefined when it may be one. */
function foreignAnswer(
  headers: IncomingHttpHeaders & IncomingHttpStatusHeader,
): string | undefined {
  const { ":status": status = 200, "content-type": type = "", "grpc-encoding": encoding } = headers;
  // A compressed message of 4 KB may stand for one of 4 MB, and nobody asked for any.
  if (encoding !== undefined && encoding !== "identity") return "its messages are compressed";
  // One that has a status of gRPC speaks it, whatever else it says.
  if (type.startsWith("application/grpc") || headers["grpc-status"] !== undefined) return undefined;
  if (status !== 200) {
    return `it answered with HTTP status ${status}: it is not a connector, or a proxy in front of one`;
  }
  return `it answered with "${
    plainText(type, MAX_TYPE_LENGTH)
  }" in place of gRPC: it is not a connector`;
}

function withBounds(options: ClientSessionOptions): ClientSessionOptions {
  return {
    ...options,
    ...SESSION_OPTIONS,
    settings: { ...options.settings, ...CLIENT_SETTINGS },
  };
}

/** The same function; what it makes is given to `guard` first. */
function guarding<Make extends (...args: never[]) => unknown>(
  make: Make,
  guard: (made: ReturnType<Make>) => void,
): Make {
  return new Proxy(make, {
    apply(target, self, args) {
      const made = Reflect.apply(target, self, args);
      guard(made);
      return made;
    },
  });
}

/** Both ways to end a session, the runtime's own uses of them too, take effect in the next turn. */
function deferEnd(session: Http2Session): void {
  const close = session.close.bind(session);
  const destroy = session.destroy.bind(session);
  session.close = (...args) => void setImmediate(() => close(...args));
  session.destroy = (...args) => void setImmediate(() => destroy(...args));
}
