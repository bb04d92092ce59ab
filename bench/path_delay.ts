// One stream over a path with latency: delay_relay.ts stands between the two connectors, and only
// the tunnel's windows limit what is under way. Used by bench.ts.

import type { ConnectorPair } from "./connector_pair.ts";
import { measureThroughput } from "./loads.ts";
import { freePort, type Tools } from "./machine.ts";
import type { ProcessGroup } from "./processes.ts";
import type { Sample } from "./results.ts";
import { startProgram } from "./upstreams.ts";

/** Without delay a pair is faster than any path that long is likely to be; it counts up to here. */
const COUNTED_GBITS = 1;

/** Throughput with no relay, with a relay that adds nothing, and with `delayMs` each way. */
export async function measurePathDelay(
  processes: ProcessGroup,
  { pair, tools, delayMs, seconds }: {
    pair: ConnectorPair;
    tools: Tools;
    delayMs: number;
    seconds: number;
  },
): Promise<Sample[]> {
  const upstreamPort = freePort();
  const acceptor = String(pair.acceptor.grpcPort);
  const ports = {
    "no relay between": await pair.open(upstreamPort),
    "0 ms each way": await pair.open(
      upstreamPort,
      await startProgram(processes, "delay_relay.ts", acceptor, "0"),
    ),
    [`${delayMs} ms each way`]: await pair.open(
      upstreamPort,
      await startProgram(processes, "delay_relay.ts", acceptor, String(delayMs)),
    ),
  };
  const samples: Sample[] = [];
  for (const reverse of [false, true]) {
    const direction = reverse ? "upstream to visitor" : "visitor to upstream";
    const rates: number[] = [];
    for (const [between, port] of Object.entries(ports)) {
      const figure = `one stream, ${between}, ${direction}`;
      const target = { processes, tools, port, upstreamPort, seconds };
      for (const sample of (await measureThroughput(target, { figure, reverse })).samples) {
        samples.push(sample);
        rates.push(sample.value);
      }
    }
    const [whole = NaN, , delayed = NaN] = rates;
    samples.push({
      figure: `share of no delay (up to ${COUNTED_GBITS} Gbit/s), ${direction}`,
      unit: "share",
      value: delayed / Math.min(whole, COUNTED_GBITS),
    });
  }
  return samples;
}
