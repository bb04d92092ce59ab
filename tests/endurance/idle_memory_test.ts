// What a connector without services holds in memory soon after its start: the goals of bench/goals.ts.

import { ok } from "node:assert/strict";
import { delay } from "../../src/delay.ts";
import { residentMib } from "../support/http2_frames.ts";
import { makePki, pemOf, tempFolder, writeTls } from "../support/mtls.ts";
import { startCommand } from "../support/processes.ts";

/** How long after the start memory is read, in milliseconds: `deno task bench` reads it then, too. */
const IDLE_MS = 4000;
/** The first start after a change of the source compiles it, and the runtime keeps some 20 MB of that. */
const STARTS = 3;
/** glibc, as test support sets it up, writes to all memory that it hands out, and so takes some that stays unused. */
const env = { MALLOC_PERTURB_: "0" };

/** Memory is read from /proc. */
const onLinux = { ignore: Deno.build.os !== "linux" };

Deno.test("an idle connector has less than 75 MB of memory", onLinux, async () => {
  await checkMemory([], 75);
});

Deno.test(
  "an idle connector with certificates has less than 80 MB of memory",
  onLinux,
  async () => {
    await using folder = await tempFolder();
    const { root, leaf } = await makePki();
    const { flags } = await writeTls(folder.path, pemOf(root, leaf));
    await checkMemory(flags, 80);
  },
);

/** Starts connectors until one has less than so many MB, of 10⁶ bytes. */
async function checkMemory(flags: string[], limitMb: number): Promise<void> {
  const measured: number[] = [];
  while (measured.length < STARTS && !measured.some((megabytes) => megabytes < limitMb)) {
    measured.push(await idleMegabytes(flags));
  }
  ok(Math.min(...measured) < limitMb, `it has ${measured.map((each) => each.toFixed(1))} MB`);
}

async function idleMegabytes(flags: string[]): Promise<number> {
  const binds = ["--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];
  await using connector = startCommand(["run", ...binds, ...flags], { env });
  await connector.waitFor(/connector started/);
  await delay(IDLE_MS);
  return await residentMib(connector.pid) * 1024 ** 2 / 1e6;
}
