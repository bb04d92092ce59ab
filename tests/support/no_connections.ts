// What is counted of a service that nobody has visited.

import type { ConnectionStats } from "../../src/model/service.ts";

export const NO_CONNECTIONS: ConnectionStats = {
  open: 0,
  total: 0,
  failed: 0,
  refused: 0,
  resuming: 0,
  resumed: 0,
  notResumed: 0,
  bytesIn: 0,
  bytesOut: 0,
};
