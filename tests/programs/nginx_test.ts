// nginx behind curl: HTTP/1.1 keep-alive over one tunnelled connection, parallel requests, a big download.

import { strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { freePort, randomBytes, sha256 } from "../support/world.ts";
import { IS_ROOT, tempFolder, throughTunnels, untilListening } from "./tunnels.ts";

Deno.test("nginx: keep-alive, parallel requests, and a big download with its checksum", async () => {
  await using folder = await tempFolder();
  const port = freePort();
  const big = randomBytes(64 * 1024 * 1024);
  await Deno.mkdir(folder.file("www"));
  await Deno.writeFile(folder.file("www/big"), big);
  await Deno.writeTextFile(folder.file("www/small"), "small\n");
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder.file(name)};`).join(" ");
  await Deno.writeTextFile(
    folder.file("nginx.conf"),
    `${IS_ROOT ? "user root;" : ""} daemon off; error_log stderr; pid ${folder.file("nginx.pid")};
    events {}
    http {
      access_log off; ${scratch}
      server { listen 127.0.0.1:${port}; root ${folder.file("www")}; }
    }`,
  );
  await using _nginx = new Child("/usr/sbin/nginx", {
    args: ["-c", folder.file("nginx.conf"), "-p", folder.file("www"), "-e", "stderr"],
    stopSignal: "SIGQUIT",
  });
  await untilListening(port);

  await throughTunnels(port, async (port, tunnel) => {
    const url = `http://127.0.0.1:${port}`;
    const get = (name: string) => ["-o", folder.file(`${name}-${tunnel}`), `${url}/${name}`];
    // `%{num_connects}` counts new connections: the second and third request use the first one's.
    const kept = await curl([
      "-w",
      "%{http_code} %{num_connects}\n",
      ...get("small"),
      ...get("big"),
      ...get("small"),
    ]);
    strictEqual(kept, "200 1\n200 0\n200 0\n");
    strictEqual(await Deno.readTextFile(folder.file(`small-${tunnel}`)), "small\n");
    strictEqual(await sha256(await Deno.readFile(folder.file(`big-${tunnel}`))), await sha256(big));

    const parallel = await curl(["-Z", "--parallel-max", "30", `${url}/small?[1-100]`]);
    strictEqual(parallel, "small\n".repeat(100));
    // A range starts in the middle, and the server closes.
    const range = await curl([
      "-r",
      "0-9",
      "-H",
      "Connection: close",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code} %{size_download}",
      `${url}/big`,
    ]);
    strictEqual(range, "206 10");
  });
});

async function curl(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram("curl", {
    args: ["-sS", "--max-time", "20", ...args],
  });
  strictEqual(code, 0, stderr);
  return stdout;
}
