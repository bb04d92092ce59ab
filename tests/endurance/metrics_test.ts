// What scrapes cost a connector with 1,000 services, and those whose connections it carries meanwhile.

import { ok } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { exposeService, spawnPair } from "../support/processes.ts";
import { quantile } from "../support/quantile.ts";
import { echo, freePort, serveTcp, until, writeAll } from "../support/world.ts";

const SERVICES = 1000;
/** How long echoes are sent with and without scrapes, in milliseconds. */
const ROUND_MS = 8000;
/** Ports below those that systems hand out. */
const FIRST_PORT = 20_000;

Deno.test("a scrape of 1,000 services takes under 50 ms, and stalls no connection", async () => {
  await using server = serveTcp(echo);
  await using pair = await spawnPair();
  const { port } = await exposeService(pair.local, {
    to: pair.remote.address,
    type: "local",
    destination: server.port,
  });
  const nowhere = `127.0.0.1:${freePort()}`;
  for (let number = 0; number < SERVICES; number += 1) {
    const { status, body } = await pair.local.rest.request("POST", "/expose", {
      body: {
        name: `service ${number}`,
        source_port: FIRST_PORT + number,
        remote_connector_addr: pair.remote.address,
        destination_addr: nowhere,
        type: "local",
      },
    });
    if (status !== 200) throw new Error(body);
  }
  const scrape = () => pair.local.rest.request("GET", "/metrics");
  // A port that another program has is of no account here.
  await until(
    async () =>
      /connector_services\{origin="own",status="pending"\} 0\n/.test((await scrape()).body),
    "every service was answered",
    { timeoutMs: 30_000 },
  );

  using visitor = await Deno.connect({ port });
  const buffer = new Uint8Array(16);
  /** How long echoes take while something goes on, in milliseconds. */
  const echoes = async (during: () => Promise<void>) => {
    const times: number[] = [];
    let over = false;
    const done = during().finally(() => over = true);
    while (!over) {
      const start = performance.now();
      await writeAll(visitor, buffer);
      for (let read = 0; read < buffer.length;) read += await visitor.read(buffer) ?? Infinity;
      times.push(performance.now() - start);
      await delay(2);
    }
    await done;
    return times;
  };
  const quiet = await echoes(() => delay(ROUND_MS));
  const times: number[] = [];
  const scraped = await echoes(async () => {
    for (const end = performance.now() + ROUND_MS; performance.now() < end; await delay(100)) {
      const start = performance.now();
      await scrape();
      times.push(performance.now() - start);
    }
  });
  const median = quantile(times, 0.5);
  const shown = (of: number[]) => {
    const [most, worst] = [quantile(of, 0.99), quantile(of, 1)];
    return `99 % of echoes within ${most.toFixed(1)} ms, the worst in ${worst.toFixed(1)} ms`;
  };
  console.log(
    `${times.length} scrapes: median ${median.toFixed(1)} ms, worst ${
      quantile(times, 1).toFixed(1)
    } ms\nwith scrapes: ${shown(scraped)}\nwithout: ${shown(quiet)}`,
  );
  ok(median < 50, `the median scrape took ${median} ms`);
  // One in a hundred echoes meets a scrape; a machine with other work has worse pauses anyway.
  const [most, before] = [quantile(scraped, 0.99), quantile(quiet, 0.99)];
  ok(most < Math.max(50, 3 * before), `99 % of echoes within ${most} ms, before ${before} ms`);
});
