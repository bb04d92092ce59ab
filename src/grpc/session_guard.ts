// Keeps a defect of the runtime from ending the process. When a GOAWAY arrives over a connection without open
// streams, node:http2 closes the session, and with it frees the native one that is still reading that frame:
// https://github.com/denoland/deno/issues/36788. So every peer that leaves in order could take us with it.
// Here each session's end waits for the next turn of the event loop, when nothing is being read. Loaded
// for its effect by whatever opens or accepts calls; it goes when the issue is fixed.

import http2, { type Http2Session } from "node:http2";
import { setImmediate } from "node:timers";

const { connect, createServer, createSecureServer } = http2;

// grpc-js looks these up in the module each time.
http2.connect = guarding(connect, deferEnd);
http2.createServer = guarding(createServer, (server) => server.on("session", deferEnd));
http2.createSecureServer = guarding(createSecureServer, (server) => server.on("session", deferEnd));

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
