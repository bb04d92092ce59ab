// OpenSSH: the server speaks first, then a real session and real file copies go through the tunnel.

import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { freePort, randomBytes, sha256 } from "../support/world.ts";
import { IS_ROOT, tempFolder, throughTunnels, untilListening } from "./tunnels.ts";

Deno.test("sshd: banner, remote command with its exit code, and files both ways", async () => {
  await using folder = await tempFolder();
  const port = freePort();
  const config = folder.file("sshd_config");
  for (const key of ["host_key", "user_key"]) {
    const { code, stderr } = await runProgram("ssh-keygen", {
      args: ["-q", "-t", "ed25519", "-N", "", "-f", folder.file(key)],
    });
    strictEqual(code, 0, stderr);
  }
  await Deno.copyFile(folder.file("user_key.pub"), folder.file("authorized_keys"));
  await Deno.writeTextFile(
    config,
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${folder.file("host_key")}`,
      `AuthorizedKeysFile ${folder.file("authorized_keys")}`,
      "PidFile none",
      "StrictModes no",
      "UsePAM no",
      "PasswordAuthentication no",
      "PermitRootLogin prohibit-password",
      "Subsystem sftp internal-sftp",
    ].join("\n"),
  );
  // Debian's sshd wants this folder when root starts it.
  if (IS_ROOT) await Deno.mkdir("/run/sshd", { recursive: true, mode: 0o755 });
  await using _sshd = new Child("/usr/sbin/sshd", { args: ["-D", "-e", "-f", config] });
  await untilListening(port);

  const sent = randomBytes(8 * 1024 * 1024);
  await Deno.writeFile(folder.file("sent"), sent);
  const { stdout: user } = await runProgram("whoami");
  const target = `${user.trim()}@127.0.0.1`;
  const options = (port: number) => [
    ...["-F", "/dev/null", "-i", folder.file("user_key"), "-o", `Port=${port}`],
    ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
    ...["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"],
  ];

  await throughTunnels(port, async (port, tunnel) => {
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
