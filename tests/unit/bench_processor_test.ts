// What a load cost: processor time as the kernel counts it, for as much as was carried.

import { deepStrictEqual, ok } from "node:assert/strict";
import { processorTime } from "../../bench/loads.ts";
import { processorSeconds } from "../../bench/machine.ts";

Deno.test("processor time is told for a gigabyte, or for a thousand of what was done", () => {
  const figure = "x";
  deepStrictEqual(
    processorTime({ samples: [], carried: { figure, unit: "s/GB", amount: 4 } }, 2),
    { figure: "processor time, x", unit: "s/GB", value: 0.5 },
  );
  deepStrictEqual(
    processorTime({ samples: [], carried: { figure, unit: "ms/1,000", amount: 4 } }, 2),
    { figure: "processor time, x", unit: "ms/1,000", value: 500 },
  );
});

if (Deno.build.os === "linux") {
  Deno.test("processor time counts a process and what it started, and nothing for none", async () => {
    deepStrictEqual(await processorSeconds([]), 0);
    const before = await processorSeconds([Deno.pid]);
    // The shell's child works, and the shell waits for it.
    const args = ["-c", "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'"];
    await new Deno.Command("sh", { args }).output();
    const after = await processorSeconds([Deno.pid]);
    ok(after - before >= 0.05, `${after - before} s`);
  });
}
