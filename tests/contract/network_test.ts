// Both kinds of sockets keep the network's contract: what is tested over one holds for the other.

import { denoNetwork } from "../../src/tcp/deno/sockets.ts";
import { handlesNetwork } from "../../src/tcp/handles/sockets.ts";
import { dialContract } from "./dial_contract.ts";
import { networkContract } from "./network_contract.ts";

for (const network of [handlesNetwork, denoNetwork]) {
  networkContract(network);
  dialContract(network);
}
