// Ends a session whose answers are not gRPC, or none that we can use. Used for every call that we make.
//
// What is wrong: grpc-js takes the body of any answer for messages, even an HTML page, whatever its
// content type, though a client must not
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Content-Type"). And it unpacks
// compressed messages that nobody asked for. Seen in grpc-js 1.14.7.
// Upstream: no report of a client found; https://github.com/grpc/grpc-node/pull/902 mended the same of servers.
// Once mended: delete this file and its call; what is said of such answers then comes with grpc-js's status.

import type { ClientHttp2Session, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { plainText } from "../plain_text.ts";
import { holdEarlyData } from "./http2_early_data.ts";

/** How much of the type of an answer is shown, in characters. */
const MAX_TYPE_LENGTH = 50;

/** Looks at the head of every answer. `onForeign` is told why one is none of a connector, and ends the session. */
export function watchAnswers(session: ClientHttp2Session, onForeign: (why: string) => void): void {
  const request = session.request.bind(session);
  session.request = (...args) => {
    const stream = request(...args);
    holdEarlyData(stream);
    stream.prependOnceListener("response", (headers) => {
      const why = foreignAnswer(headers);
      if (why === undefined) return;
      // It would end the call first, for a message that is none.
      stream.removeAllListeners("data").removeAllListeners("end").resume();
      onForeign(why);
    });
    return stream;
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
