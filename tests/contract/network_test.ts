// Both kinds of sockets keep the network's contract: what is tested over one holds for the other.

import { denoNetwork } from "../../src/net/deno/sockets.ts";
import { handlesNetwork } from "../../src/net/handles/sockets.ts";
import { dialContract } from "./dial_contract.ts";
import { networkContract } from "./network_contract.ts";

for (const network of [handlesNetwork, denoNetwork]) {
  networkContract(network);
  dialContract(network);
}
