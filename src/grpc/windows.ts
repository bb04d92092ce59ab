// HTTP/2 flow-control windows. grpc-js lets a client set its receive windows but leaves a server's at
// 64 KiB, which stalls every upload: https://github.com/grpc/grpc-node/pull/3058. When that is released,
// `windowed` goes, and the option below serves both sides.

import { type ChannelOptions, Server, type ServerCredentials } from "@grpc/grpc-js";
import type { Http2Server, SessionOptions } from "node:http2";
import { HANDSHAKE_TIMEOUT_MS } from "./handshake_gate.ts";
import { SERVER_SETTINGS, SESSION_OPTIONS } from "./http2_bounds.ts";

/**
 * Bytes that a peer may send ahead of our reading, for the call and for its connection. HTTP/2 gives half a window
 * back at a time, so that a path of 50 ms carries 1.3 Gbit/s with it.
 */
export const RECEIVE_WINDOW_BYTES = 16 * 1024 * 1024;

/** What a client's channel needs for the window. */
export const CLIENT_WINDOW_OPTIONS: ChannelOptions = {
  "grpc-node.flow_control_window": RECEIVE_WINDOW_BYTES,
};

/** The members of grpc-js's server that it keeps private. */
interface ServerInternals {
  commonServerOptions: SessionOptions & { handshakeTimeout?: number };
  createHttp2Server(credentials: ServerCredentials): Http2Server;
}

/**
 * Makes a server whose calls have wide receive windows and whose headers are bounded, and that tells of its HTTP/2 servers
 * as they are made. The window of a connection is gates.ts's business.
 */
export function windowed(server: Server, onHttp2Server: (server: Http2Server) => void): Server {
  // Private in its types, plain properties in fact: the test of this file fails when they change.
  const internals = server as unknown as ServerInternals;
  Object.assign(internals.commonServerOptions, SESSION_OPTIONS);
  // The runtime keeps a socket whose handshake has failed until this is over, 27 KB each; its default is two minutes.
  internals.commonServerOptions.handshakeTimeout = HANDSHAKE_TIMEOUT_MS;
  internals.commonServerOptions.settings = {
    ...internals.commonServerOptions.settings,
    ...SERVER_SETTINGS,
    initialWindowSize: RECEIVE_WINDOW_BYTES,
  };
  const create = internals.createHttp2Server.bind(server);
  internals.createHttp2Server = (credentials) => {
    const http2Server = create(credentials);
    onHttp2Server(http2Server);
    return http2Server;
  };
  return server;
}
