// OpenSSH: the server speaks first, then a real session and real file copies go through the tunnel.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { randomBytes, sha256 } from "../support/world.ts";
import { startSshd } from "./servers.ts";
import { tempFolder, throughTunnels } from "./tunnels.ts";

Deno.test("sshd: banner, remote command with its exit code, and files both ways", async () => {
  await using folder = await tempFolder();
  await using sshd = await startSshd(folder);
  const { target, options } = sshd;
  const sent = randomBytes(8 * 1024 * 1024);
  await Deno.writeFile(folder.file("sent"), sent);

  await throughTunnels(sshd.port, async (port, tunnel) => {
    using conn = await Deno.connect({ port });
    const buffer = new Uint8Array(100);
    const count = await conn.read(buffer) ?? 0;
    match(new TextDecoder().decode(buffer.subarray(0, count)), /^SSH-2\.0-OpenSSH_/);

    const command = await runProgram("ssh", {
      args: [...options(port), target, "echo out; echo err >&2; head -c 3000000 /dev/zero; exit 7"],
    });
    strictEqual(command.code, 7, command.stderr);
    strictEqual(command.stdout.length, 4 + 3_000_000);
    strictEqual(command.stderr, "err\n");

    const [there, back] = [folder.file(`there-${tunnel}`), folder.file(`back-${tunnel}`)];
    for (
      const copy of [[folder.file("sent"), `${target}:${there}`], [`${target}:${there}`, back]]
    ) {
      const { code, stderr } = await runProgram("scp", { args: ["-q", ...options(port), ...copy] });
      strictEqual(code, 0, stderr);
    }
    deepStrictEqual(await sha256(await Deno.readFile(back)), await sha256(sent));
  });
});
