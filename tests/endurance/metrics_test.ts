// What scrapes cost a connector with 1,000 services, and those whose connections it carries meanwhile.

import { ok } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { echoText, startManyServices } from "../support/many_services.ts";
import { quantile } from "../support/quantile.ts";

/** How long echoes are sent with and without scrapes, in milliseconds. */
const ROUND_MS = 8000;

Deno.test("a scrape of 1,000 services takes under 50 ms, and stalls no connection", async () => {
  await using many = await startManyServices(1000);
  const quiet = await many.echoes(() => delay(ROUND_MS));
  const times: number[] = [];
  const scraped = await many.echoes(async () => {
    for (const end = performance.now() + ROUND_MS; performance.now() < end; await delay(100)) {
      const start = performance.now();
      await many.connector.rest.request("GET", "/metrics");
      times.push(performance.now() - start);
    }
  });
  const median = quantile(times, 0.5);
  console.log(
    `${times.length} scrapes: median ${median.toFixed(1)} ms, worst ${
      quantile(times, 1).toFixed(1)
    } ms\nwith scrapes: ${echoText(scraped)}\nwithout: ${echoText(quiet)}`,
  );
  ok(median < 50, `the median scrape took ${median} ms`);
  // One in a hundred echoes meets a scrape; a machine with other work has worse pauses anyway.
  const [most, before] = [quantile(scraped, 0.99), quantile(quiet, 0.99)];
  ok(most < Math.max(50, 3 * before), `99 % of echoes within ${most} ms, before ${before} ms`);
});
