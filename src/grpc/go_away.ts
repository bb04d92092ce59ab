// HTTP/2 GOAWAY (RFC 9113, section 6.8): the other end of a connection, which may be a proxy on the way, accepts no
// more calls over it and lets open ones finish. Tells whoever opened the connection; grpc-js tells nobody, and only opens
// the next call over another connection (docs/ARCHITECTURE.md, "Platform workarounds").

import http2, { type ClientHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { plainText } from "../plain_text.ts";

/** What a GOAWAY said. */
export interface GoAway {
  /** Why, by the specification's name for it, such as `ENHANCE_YOUR_CALM`; undefined when nothing is wrong. */
  error: string | undefined;
  /** In words of the other end; often empty. */
  text: string;
}

/** The most characters that are kept of what the other end says. */
const MAX_TEXT_LENGTH = 200;

/** By the socket that a session was made on: grpc-js tells nobody which session is whose. */
const listeners = new WeakMap<Duplex, (goAway: GoAway) => void>();

/** Tells the listener of the first GOAWAY that comes over a socket on which a session is made later. */
export function tellOfGoAway(socket: Duplex, listener: (goAway: GoAway) => void): void {
  listeners.set(socket, listener);
}

/** Watches a session that was just made on a socket, for whoever has asked about that. */
export function watchGoAway(session: ClientHttp2Session, socket: Duplex): void {
  const request = session.request.bind(session);
  // grpc-js removes all listeners before the first call.
  session.request = (...args) => {
    session.once("goaway", (code, _lastStream, data) => {
      // The runtime has nothing here where its types have no bytes.
      const text = data === undefined ? "" : new TextDecoder().decode(data);
      listeners.get(socket)?.({
        error: code === http2.constants.NGHTTP2_NO_ERROR ? undefined : nameOf(code),
        text: plainText(text, MAX_TEXT_LENGTH),
      });
    });
    return request(...args);
  };
}

function nameOf(code: number): string {
  const names = Object.entries(http2.constants).filter(([, value]) => value === code);
  const name = names.map(([name]) => ERROR_CODE.exec(name)?.[1]).find(Boolean);
  return name ?? `code ${code}`;
}

/** How the runtime names the codes of RFC 9113, section 7; other constants have the same values. */
const ERROR_CODE =
  /^NGHTTP2_((?:PROTOCOL|INTERNAL|FLOW_CONTROL|FRAME_SIZE|COMPRESSION|CONNECT)_ERROR|SETTINGS_TIMEOUT|STREAM_CLOSED|REFUSED_STREAM|CANCEL|ENHANCE_YOUR_CALM|INADEQUATE_SECURITY|HTTP_1_1_REQUIRED)$/;
