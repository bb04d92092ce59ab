// Redis: a long pipeline, a blocked command, and a subscriber that is only spoken to.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { freePort } from "../support/world.ts";
import { tempFolder, throughTunnels, untilListening } from "./tunnels.ts";

Deno.test("redis: pipelines, a blocked command, and a subscriber", async () => {
  await using folder = await tempFolder();
  const port = freePort();
  await using _redis = new Child("redis-server", {
    args: [
      ...["--bind", "127.0.0.1", "--port", String(port), "--dir", folder.file("")],
      ...["--save", "", "--appendonly", "no", "--daemonize", "no"],
    ],
  });
  await untilListening(port);

  await throughTunnels(port, async (port, tunnel) => {
    const cli = async (...args: string[]) => {
      const { code, stdout, stderr } = await runProgram("redis-cli", {
        args: ["-h", "127.0.0.1", "-p", String(port), ...args],
      });
      strictEqual(code, 0, stderr);
      return stdout.trim();
    };
    const pipeline = await runProgram("sh", {
      args: [
        "-c",
        `seq 1 50000 | sed 's/.*/INCRBY sum-${tunnel} &/' | redis-cli -h 127.0.0.1 -p ${port} --pipe`,
      ],
    });
    match(pipeline.stdout, /errors: 0, replies: 50000/);
    strictEqual(await cli("GET", `sum-${tunnel}`), String(50_000 * 50_001 / 2));

    const blocked = cli("BLPOP", `queue-${tunnel}`, "10");
    await using subscriber = new Child("redis-cli", {
      args: ["-h", "127.0.0.1", "-p", String(port), "SUBSCRIBE", `news-${tunnel}`],
    });
    await subscriber.waitFor(/subscribe\nnews-/);
    for (let number = 1; number <= 5; number += 1) {
      strictEqual(await cli("PUBLISH", `news-${tunnel}`, `item ${number}`), "1");
    }
    await subscriber.waitFor(/item 5/);
    deepStrictEqual(subscriber.stdout.match(/item \d/g), [1, 2, 3, 4, 5].map((n) => `item ${n}`));
    await cli("RPUSH", `queue-${tunnel}`, "work");
    strictEqual(await blocked, `queue-${tunnel}\nwork`);
  });
});
