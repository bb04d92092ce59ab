// The system's code in an error of grpc-js's `bindAsync`. Used by grpc/server.ts.
//
// What is wrong: grpc-js keeps only the text of what the system has said, and drops its code. Seen in grpc-js 1.14.7.
// Upstream: no report found. To reproduce: bind a port that is in use, and print `error.code`.
// Once mended: delete this file and its call.

/** The same error, with a code such as `EADDRINUSE` if its text has one. */
export function withSystemCode(error: Error): Error {
  const [code] = /\bE[A-Z]{3,}\b/.exec(error.message) ?? [];
  return Object.assign(error, code !== undefined && { code });
}
