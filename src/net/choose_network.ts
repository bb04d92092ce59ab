// Which sockets serve: the runtime's handles if they pass their self-test, otherwise Deno's own. Used at start.

import type { Logger } from "@logtape/logtape";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import { denoNetwork } from "./deno/sockets.ts";
import type { Network } from "./network.ts";
import { selfTest } from "./self_test.ts";
import type { SocketKind } from "./socket_kinds.ts";

/** What is chosen from, and who is told. */
export interface ChooseNetworkParts {
  logger: Pick<Logger, "warn">;
  /** Loads what the handles are. Default: those of this runtime. */
  loadHandles?: () => Promise<Network>;
  /** What serves if the handles do not work, and tells whether this machine has a loopback. */
  deno?: Network;
  /** The longest that the self-test of the handles may take, in milliseconds. */
  timeoutMs?: number;
}

/**
 * The network of the kind that was asked for, or else the best that works.
 *
 * @throws {ConnectorError} `failed_precondition` when the handles were asked for and do not work.
 */
export async function chooseNetwork(
  asked: SocketKind | undefined,
  { logger, loadHandles = loadThem, deno = denoNetwork, ...bound }: ChooseNetworkParts,
): Promise<Network> {
  if (asked === "deno") return deno;
  let handles: Network | undefined;
  let problem: string | undefined;
  try {
    handles = await loadHandles();
    problem = await selfTest(handles, bound);
  } catch (error) {
    problem = `load: ${reasonOf(error)}`;
  }
  if (problem === undefined && handles !== undefined) return handles;
  // Where Deno's own fail as well, the machine has no loopback, or no file descriptor is left: that says nothing of the
  // handles.
  const ofMachine = handles === undefined ? undefined : await selfTest(deno);
  if (handles !== undefined && ofMachine !== undefined) {
    logger.warn("sockets cannot be tested on this machine", { reason: ofMachine });
    return handles;
  }
  if (asked === "handles") {
    throw new ConnectorError(
      "failed_precondition",
      `Cannot use the runtime's handles for sockets: they fail the self-test (${problem})`,
      { hint: "Omit --sockets to use Deno's sockets, which cannot pass on a reset" },
    );
  }
  logger.warn(
    "the runtime's handles fail the self-test, so Deno's sockets serve: resets arrive as ends",
    { reason: problem },
  );
  return deno;
}

async function loadThem(): Promise<Network> {
  // What they are made of is no promise of the runtime's: only this import may fail for it.
  const { handlesNetwork } = await import("./handles/sockets.ts");
  return handlesNetwork;
}
