// Echoes a byte every 10 ms in a process of its own, and prints the worst time of each tenth of a second, in
// milliseconds. Used by fleet.ts.
//
// Usage: fleet_echo.ts HOST PORT

import { delay } from "../../src/delay.ts";
import { writeAll } from "../support/world.ts";

const [hostname = "", port] = Deno.args;
using conn = await Deno.connect({ hostname, port: Number(port) });
const byte = new Uint8Array(1);
let worst = 0;
let printedAt = performance.now();
for (;;) {
  const sent = performance.now();
  await writeAll(conn, byte);
  if (await conn.read(byte) === null) break;
  worst = Math.max(worst, performance.now() - sent);
  if (performance.now() - printedAt >= 100) {
    console.log(worst.toFixed(1));
    worst = 0;
    printedAt = performance.now();
  }
  await delay(10);
}
