// What every HTTP/2 connection of ours gets, those that grpc-js makes by itself too: the bounds of http2_bounds.ts for the
// ones that we open (a server's are set where it is made), the watch for GOAWAY, and the workarounds of src/platform/ for
// sessions. Loaded for its effect by whatever opens or accepts calls.

import http2, {
  type ClientHttp2Session,
  type ClientSessionOptions,
  type Http2Session,
} from "node:http2";
import type { Duplex } from "node:stream";
import { watchAnswers } from "../platform/grpc_foreign_answers.ts";
import { watchReadiness } from "../platform/grpc_connecting.ts";
import { pingWhileClosing } from "../platform/http2_ping_after_goaway.ts";
import { Breach, deferEnd, tellCalls } from "../platform/http2_session_end.ts";
import { watchArrivals } from "./arrivals.ts";
import { foreignReason } from "./foreign_words.ts";
import { FLOOD } from "./frame_meter.ts";
import { watchGoAway } from "./go_away.ts";
import { boundSession, CLIENT_SETTINGS, SESSION_OPTIONS } from "./http2_bounds.ts";

/** How the runtime says of a peer that it is beyond a bound of SESSION_OPTIONS, or of its own; and what that means. */
const RUNTIME_BREACHES: Readonly<Record<string, string>> = {
  "Flooding was detected in this HTTP/2 session, and it must be closed": FLOOD,
  "Too many invalid HTTP/2 frames": "it sends too many HTTP/2 frames that are empty or not valid",
};

const { connect, createServer, createSecureServer } = http2;

// grpc-js looks these up in the module each time.
http2.connect = guarding(bounded(connect), (session) => {
  repair(session);
  tellCalls(session, RUNTIME_BREACHES);
});
http2.createServer = guarding(createServer, (server) => server.on("session", repair));
http2.createSecureServer = guarding(createSecureServer, (server) => server.on("session", repair));

function repair(session: Http2Session): void {
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
      watchAnswers(session, (why) => session.destroy(new Breach(why)));
      if (socket) {
        watchReadiness(session, socket);
        watchGoAway(session, socket);
        watchArrivals(session, socket);
      }
      return session;
    },
  });
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
