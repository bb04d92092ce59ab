// What must be true at the end of a chaos run, when no fault is active and every visitor has gone.

import { delay } from "../../src/delay.ts";
import type { ChaosConnector } from "./connector.ts";
import { openDescriptors } from "./measure.ts";
import type { ChaosPair } from "./pair.ts";

/** It may take so long, in milliseconds, until a link that was lost without a word is noticed and let go. */
const SETTLE_MS = 60_000;
/** Descriptors more than at the start that are none left over: connections of REST clients are kept for a while. */
const DESCRIPTOR_SLACK = 6;
/** A count that stays so long is the baseline, in milliseconds. */
const STEADY_MS = 1000;

/** Open descriptors of each connector, by name. */
export type Baseline = ReadonlyMap<string, number>;

/** Counts descriptors once their numbers stay. */
export async function takeBaseline(pairs: readonly ChaosPair[]): Promise<Baseline> {
  const baseline = new Map<string, number>();
  for (const connector of pairs.flatMap(({ connectors }) => connectors)) {
    let count = await descriptorsOf(connector);
    for (let before = -1; before !== count; count = await descriptorsOf(connector)) {
      before = count;
      await delay(STEADY_MS);
    }
    baseline.set(connector.name, count);
  }
  return baseline;
}

/** Resolves with everything that is still wrong after a while, in words; nothing is good. */
export async function remains(
  pairs: readonly ChaosPair[],
  baseline: Baseline,
): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const wrong = (await Promise.all(pairs.map((pair) => wrongWith(pair, baseline)))).flat();
    if (wrong.length === 0 || performance.now() > deadline) return wrong;
    await delay(200);
  }
}

async function wrongWith(pair: ChaosPair, baseline: Baseline): Promise<string[]> {
  const wrong: string[] = [];
  for (const { name, upstream } of pair.services) {
    if (upstream.open > 0) wrong.push(`the upstream of ${name} has ${upstream.open} connections`);
  }
  for (const connector of pair.connectors) {
    const { name } = connector;
    try {
      const incomplete = await pair.incomplete(connector);
      if (incomplete) wrong.push(incomplete);
      if (!(await connector.ready())) wrong.push(`${name} is not ready`);
      for (const { connections, name: service } of await connector.list()) {
        if (connections.open === 0) continue;
        wrong.push(`${name} counts ${connections.open} open connections of ${service}`);
      }
    } catch (error) {
      wrong.push(String(error));
    }
    const [before, now] = [baseline.get(name) ?? 0, await descriptorsOf(connector)];
    if (now > before + DESCRIPTOR_SLACK) {
      wrong.push(`${name} has ${now} open descriptors, after ${before} at the start`);
    }
  }
  return wrong;
}

async function descriptorsOf({ pid }: ChaosConnector): Promise<number> {
  return pid === undefined ? 0 : await openDescriptors(pid) ?? 0;
}
