// HTTP/2 flow-control windows: how much a peer may send ahead of our reading.

import type { ChannelOptions } from "@grpc/grpc-js";

/**
 * Bytes that a peer may send ahead of our reading, for the call and for its connection. HTTP/2 gives half a window
 * back at a time, so that a path of 50 ms carries 1.3 Gbit/s with it. A connection at our server has it once it carries a
 * link (gates.ts).
 */
export const RECEIVE_WINDOW_BYTES = 16 * 1024 * 1024;

/** What a client's channel needs for the window. */
export const CLIENT_WINDOW_OPTIONS: ChannelOptions = {
  "grpc-node.flow_control_window": RECEIVE_WINDOW_BYTES,
};
