// What open dashboards cost those whose connections a connector with 1,000 services carries meanwhile.

import { ok } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { echoText, startManyServices } from "../support/many_services.ts";
import { quantile } from "../support/quantile.ts";

const READERS = 3;
/** How long echoes are sent with and without readers, in milliseconds. */
const ROUND_MS = 8000;

Deno.test("three pages that show 1,000 services stall no connection", async () => {
  await using many = await startManyServices(1000);
  const quiet = await many.echoes(() => delay(ROUND_MS));
  let bytes = 0;
  const open = async () => {
    const { body } = await fetch(`${many.connector.rest.url}/events`);
    if (body === null) throw new Error("it has a body");
    return body.getReader();
  };
  const readers = await Promise.all(Array.from({ length: READERS }, open));
  const reading = readers.map(async (reader) => {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      bytes += piece.value.length;
    }
  });
  const watched = await many.echoes(() => delay(ROUND_MS));
  await Promise.all(readers.map((reader) => reader.cancel()));
  await Promise.all(reading);
  console.log(
    `${READERS} readers, ${bytes} bytes\nwith readers: ${echoText(watched)}\nwithout: ${
      echoText(quiet)
    }`,
  );
  ok(bytes > READERS * 1000 * 100, `${bytes} bytes`);
  const [most, before] = [quantile(watched, 0.99), quantile(quiet, 0.99)];
  ok(most < Math.max(50, 3 * before), `99 % of echoes within ${most} ms, before ${before} ms`);
});
