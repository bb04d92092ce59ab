// What every HTTP/2 connection of ours gets, those that grpc-js makes by itself too. First, the bounds of http2_bounds.ts
// for the ones that we open; a server's are set where it is made. Second, a defect of the runtime is kept from ending the
// process. When a GOAWAY arrives over a connection without open
// streams, node:http2 closes the session, and with it frees the native one that is still reading that frame:
// https://github.com/denoland/deno/issues/36788. So every peer that leaves in order could take us with it.
// Here each session's end waits for the next turn of the event loop, when nothing is being read. Loaded
// for its effect by whatever opens or accepts calls; it goes when the issue is fixed.

import http2, {
  type ClientHttp2Session,
  type ClientSessionOptions,
  type Http2Session,
} from "node:http2";
import { setImmediate } from "node:timers";
import { FLOOD } from "./frame_meter.ts";
import { boundSession, HEADER_SETTINGS, SESSION_OPTIONS } from "./http2_bounds.ts";

const { connect, createServer, createSecureServer } = http2;

// grpc-js looks these up in the module each time.
http2.connect = guarding(bounded(connect), (session) => {
  deferEnd(session);
  tellCalls(session);
});
http2.createServer = guarding(createServer, (server) => server.on("session", deferEnd));
http2.createSecureServer = guarding(createSecureServer, (server) => server.on("session", deferEnd));

/** The same function; the sessions that it makes are bounded. */
function bounded(make: typeof connect): typeof connect {
  return new Proxy(make, {
    apply(target, self, [authority, options, listener]: Parameters<typeof connect>) {
      const asked = typeof options === "object" ? options : {};
      const session: ClientHttp2Session = Reflect.apply(target, self, [
        authority,
        withBounds(asked),
        listener,
      ]);
      const onExcess = (why: string) => session.destroy(new Breach(why));
      // One that is not connected yet has nothing to bound.
      if (!boundSession(session, { onExcess })) {
        session.once("connect", () => boundSession(session, { onExcess }));
      }
      refuseCompression(session);
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

/** A compressed message of 4 KB may stand for one of 4 MB, and nobody asked for any. */
function refuseCompression(session: ClientHttp2Session): void {
  const request = session.request.bind(session);
  session.request = (...args) => {
    const stream = request(...args);
    stream.prependOnceListener("response", (headers) => {
      const { "grpc-encoding": encoding = "identity" } = headers;
      if (encoding !== "identity") session.destroy(new Breach("its messages are compressed"));
    });
    return stream;
  };
}

function withBounds(options: ClientSessionOptions): ClientSessionOptions {
  return {
    ...options,
    ...SESSION_OPTIONS,
    settings: { ...options.settings, ...HEADER_SETTINGS },
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
