// Which sockets the connectors under test have, and what that changes. The variable CONNECTOR_TEST_SOCKETS of a test run
// says it, `handles` or `deno`: connectors that are processes get it as `--sockets`, those in the test's process as their
// network. Without it, processes choose by themselves, and the others have the handles.

import { denoNetwork } from "../../src/net/deno/sockets.ts";
import { handlesNetwork } from "../../src/net/handles/sockets.ts";
import type { Network } from "../../src/net/network.ts";
import { SOCKET_KINDS } from "../../src/net/socket_kinds.ts";

const VARIABLE = "CONNECTOR_TEST_SOCKETS";
const wanted = Deno.env.get(VARIABLE) || undefined;
const kind = SOCKET_KINDS.find((each) => each === wanted);
if (kind !== wanted) throw new Error(`${VARIABLE} is "${wanted}", want handles or deno`);

/** The flag for a connector that is a process of its own; none when it is to choose by itself. */
export const SOCKETS_FLAG: readonly string[] = kind === undefined ? [] : [`--sockets=${kind}`];

/** The network of connectors in the test's own process. */
export const network: Network = kind === "deno" ? denoNetwork : handlesNetwork;

/**
 * What differs: how a connection ends for a visitor or destination where the other one has reset it, or a connector has cut
 * it off or turned it away. Deno's sockets cannot send a reset. Nor do they see one while nothing is read.
 */
export const CUT: "reset" | "in order" = network.canReset ? "reset" : "in order";
