// A path leads from a visitor to an upstream: none at all, or the relay that the ratios refer to.
// connector_pair.ts and ssh_path.ts hold the others. Used by main.ts.

import type { ProcessGroup } from "./processes.ts";
import { startPrinting } from "./upstreams.ts";

/** What carries the bytes; each is a column of the table. */
export type PathName = "direct" | "relay" | "connector" | "Deno sockets" | "mTLS" | "ssh -R";

/** A way from a visitor to upstreams, all on this machine. */
export interface Path {
  readonly name: PathName;
  /** Makes the upstream on `upstreamPort` reachable; resolves with the port to visit. */
  open(upstreamPort: number): Promise<number>;
  /** The processes that carry the bytes so far; those that they started count as well. */
  pids(): readonly number[];
}

/** No tunnel: what this machine can do. */
export const DIRECT: Path = {
  name: "direct",
  open: (upstreamPort) => Promise.resolve(upstreamPort),
  pids: () => [],
};

/** Two hops of relay.ts, each a process of its own: what this runtime can do. */
export function relayPath(processes: ProcessGroup): Path {
  const pids: number[] = [];
  const hop = async (to: number) => {
    const listening = /^listening on (\d+)$/;
    const { pid, match } = await startPrinting(processes, ["relay.ts", String(to)], listening);
    pids.push(pid);
    return Number(match[1]);
  };
  return {
    name: "relay",
    open: async (upstreamPort) => await hop(await hop(upstreamPort)),
    pids: () => pids,
  };
}
