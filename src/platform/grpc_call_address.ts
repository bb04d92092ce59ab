// Says where a call at our server comes from. Used by the code that judges or describes a caller.
//
// What is wrong: grpc-js gives handlers the peer's address as text in which IPv6 has no brackets, and both ends of the
// connection only one layer below what handlers get. Seen in grpc-js 1.14.7.
// Upstream: no report found. To reproduce: serve on [::1], and print `call.getPeer()`.
// Once mended: delete this file, and use `getPeer` and `getConnectionInfo` of the call itself.

import type { ServerInterceptingCall, ServerUnaryCall } from "@grpc/grpc-js";
import { connectionText, formatAddress, unmapIpv4 } from "../model/address.ts";

/** Where a call comes from: host:port, or `unknown` when its connection was lost. */
export function addressOfCall(call: Pick<ServerUnaryCall<unknown, unknown>, "getPeer">): string {
  const text = call.getPeer();
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  return colon >= 0 && Number.isInteger(port)
    ? formatAddress({ host: unmapIpv4(text.slice(0, colon)), port })
    : text;
}

/**
 * The TCP connection of a call, as `connectionText` writes it; undefined when it was lost. No program at the other end
 * can choose what it says: both ends of one connection, and nobody else, have the same.
 */
export function connectionOfCall(call: object): string | undefined {
  const inner: unknown = Reflect.get(call, "call");
  if (typeof inner !== "object" || inner === null || !("getConnectionInfo" in inner)) {
    return undefined;
  }
  // The check above, and grpc-js's `ServerInterceptingCallInterface`, say what it is.
  const { localAddress, localPort, remoteAddress, remotePort } = (inner as ServerInterceptingCall)
    .getConnectionInfo();
  return connectionText(
    { host: remoteAddress, port: remotePort },
    { host: localAddress, port: localPort },
  );
}
