// Holds the output of an HTTP/2 session back until its socket has room. Used for every session, by grpc/http2_bounds.ts.
//
// What is wrong: the runtime writes whatever a session has to say to its socket, whether that takes it or not: answers to
// pings, and all that the peer's windows let us send, which may be gigabytes. Seen in Deno 2.9.6.
// Upstream: https://github.com/denoland/deno/pull/36044 holds back what a stream writes until HTTP/2 has framed it, and no
// longer; no report of the session was found.
// Once mended: delete this file. The meter of frames then needs another way to learn of what was sent.

import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { NativeSession } from "./http2_session_internals.ts";

/**
 * From now on the session writes nothing while `maxUnsentBytes` or more wait for the socket to take them; what is more
 * waits in its calls, which are held back. `onSent` is told how many bytes were given to the socket at once.
 */
export function holdOutput(
  session: Http2Session,
  { native, socket, maxUnsentBytes, onSent }: {
    native: NativeSession;
    socket: Socket;
    maxUnsentBytes: number;
    onSent: (length: number) => void;
  },
): void {
  const finish = native.sendPending.bind(native);
  let waiting = false;
  native.sendPending = () => {
    while (!waiting) {
      if (socket.writableLength >= maxUnsentBytes) {
        waiting = true;
        socket.once("drain", resume);
        return;
      }
      const chunk = native.getOutgoingChunk();
      // There is nothing left that it could write.
      if (chunk === undefined || chunk.byteLength === 0) return finish();
      onSent(chunk.byteLength);
      socket.write(chunk);
    }
  };
  const resume = () => {
    waiting = false;
    if (session.destroyed) return;
    native.sendPending();
    // What the runtime looks at after each read: it has said its last word.
    if (!waiting && !native.hasPendingData()) session.destroy();
  };
  session.once("close", () => socket.off("drain", resume));
}
