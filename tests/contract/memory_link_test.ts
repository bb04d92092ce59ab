// The links in memory keep the contract, so that what is tested over them holds for real ones.

import type { Link } from "../../src/mux/link.ts";
import { ResumableLink } from "../../src/mux/resumable_link.ts";
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

for (const keeps of [false, true]) {
  linkContract(`${keeps ? "resumable" : "settled"} memory`, async (hellos) => {
    const { dialler, acceptor, ...rest } = await openInMemory(() => random(4))(hellos);
    const over = (link: Link) => {
      const carried = ResumableLink.over(link, { keeps });
      // An end in order is one, and what ends for a reason has that reason: no other link follows.
      if (!keeps) carried.settle();
      return carried;
    };
    return { ...rest, dialler: over(dialler), acceptor: over(acceptor) };
  });
}
