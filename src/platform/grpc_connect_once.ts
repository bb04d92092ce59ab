// Lets each address be tried once. Used for every channel that we open.
//
// What is wrong: grpc-js keeps the timer of its back-off after its client was closed, so ours is
// set to 1 ms (dial.ts). With that, when a connection fails, grpc-js opens the next one to the same
// address before it reports the failure, and nothing can stop it: the peer would see, and log,
// every try twice. Here the second is closed without a word. Seen in grpc-js 1.14.7.
// Upstream: no report found. To reproduce: set `grpc.initial_reconnect_backoff_ms` to 1, let a TCP server close what it
// accepts once it is sent something, and count what one failed call brings.
// Once mended: delete this file; what it does with a socket that has connected needs another place.

import type { ChannelCredentials } from "@grpc/grpc-js";
import type { Socket } from "node:net";

type SecureConnector = ReturnType<ChannelCredentials["_createSecureConnector"]>;
export type Connect = SecureConnector["connect"];

/** Has `connectFirst` connect over the first socket of each connector, with the credentials' own way in its second argument. */
export function connectOnce(
  credentials: ChannelCredentials,
  connectFirst: (socket: Socket, connect: Connect) => ReturnType<Connect>,
): ChannelCredentials {
  const create = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (...args) => {
    const connector = create(...args);
    const connect = connector.connect.bind(connector);
    let tried = false;
    connector.connect = async (socket) => {
      if (tried) throw new Error("the address was tried already");
      tried = true;
      return await connectFirst(socket, connect);
    };
    return connector;
  };
  return credentials;
}
