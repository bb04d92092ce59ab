// The links in memory keep the contract, so that what is tested over them holds for real ones.

import { memoryLinks, seeded } from "../support/memory_link.ts";
import { linkContract, type OpenLinks } from "./link_contract.ts";

function openInMemory(turns: () => number): OpenLinks {
  return (hellos) => {
    const pair = memoryLinks({ ...hellos, bound: 4, turns });
    return Promise.resolve({
      ...pair,
      // There is nothing outside of the pair to release.
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  };
}

linkContract("memory", openInMemory(() => 0));

const random = seeded(1);
linkContract("slow memory", openInMemory(() => random(4)));
