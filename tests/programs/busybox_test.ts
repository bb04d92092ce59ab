// Self-extracting executables where every program is busybox's, shell included, as on small systems.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { runProgram } from "../support/child.ts";
import { makePlace, unpacked, WHOLE } from "../support/self_extracting.ts";

Deno.test("self-extracting: busybox is enough, also for many at once", async () => {
  await using place = await makePlace();
  const PATH = path.join(place.folder, "busybox");
  await Deno.mkdir(PATH);
  const install = await runProgram("busybox", { args: ["--install", "-s", PATH] });
  strictEqual(install.code, 0, install.stderr);
  for (let round = 0; round < 5; round++) {
    const started = await Promise.all(
      Array.from({ length: 12 }, () =>
        runProgram(path.join(PATH, "sh"), {
          args: [place.executable, "exit0"],
          cwd: place.folder,
          env: { ...place.env, PATH },
        })),
    );
    for (const { code, stderr } of started) deepStrictEqual([code, stderr], [0, ""]);
    deepStrictEqual(unpacked(place.store), WHOLE);
    await Deno.remove(path.dirname(place.store), { recursive: true });
  }
});
