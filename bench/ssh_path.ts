// `ssh -R` to an sshd of the bench's own on loopback, the tunnel that most people would reach for.
// Temporary keys, no configuration of the user or the system is read. Used by main.ts.

import { freePort, type Tools } from "./machine.ts";
import type { Path } from "./paths.ts";
import type { ProcessGroup } from "./processes.ts";

/** ssh-keygen takes milliseconds. */
const TIMEOUT_MS = 10_000;
/** sshd, started by root, insists on this empty folder. */
const PRIVILEGE_SEPARATION_FOLDER = "/run/sshd";

/** Starts sshd; each upstream gets an ssh client of its own. */
export async function startSshPath(
  processes: ProcessGroup,
  { tools, folder }: { tools: Tools; folder: string },
): Promise<Path> {
  const [sshd, ssh, keygen] = [tools.get("sshd"), tools.get("ssh"), tools.get("ssh-keygen")];
  if (sshd === undefined || ssh === undefined || keygen === undefined) {
    throw new TypeError("The ssh path was started without its tools");
  }
  const run = (command: string[]) => processes.run(command, { timeoutMs: TIMEOUT_MS });
  const [hostKey, userKey] = [`${folder}/ssh-host-key`, `${folder}/ssh-user-key`];
  for (const key of [hostKey, userKey]) {
    await run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key]);
  }
  const user = (await run(["id", "-un"])).trim();
  if (Deno.uid() === 0) await Deno.mkdir(PRIVILEGE_SEPARATION_FOLDER, { recursive: true });

  const port = freePort();
  const config = `${folder}/sshd_config`;
  await Deno.writeTextFile(config, sshdConfig({ port, hostKey, userKey }));
  const daemon = await processes.start([sshd, "-D", "-e", "-f", config], {
    ready: /^Server listening on/,
  });

  const pids = [daemon.pid];
  return {
    name: "ssh -R",
    pids: () => pids,
    open: async (upstreamPort) => {
      // Port 0: sshd chooses, and ssh prints it once the forwarding stands.
      const ready = /^Allocated port (\d+) for remote forward/;
      const client = await processes.start([
        ...[ssh, "-F", "none", "-N", "-i", userKey, "-p", String(port)],
        ...["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"],
        ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
        ...["-o", "ExitOnForwardFailure=yes"],
        ...["-R", `127.0.0.1:0:127.0.0.1:${upstreamPort}`, `${user}@127.0.0.1`],
      ], { ready });
      pids.push(client.pid);
      return Number((await client.line(ready))[1]);
    },
  };
}

function sshdConfig(
  { port, hostKey, userKey }: { port: number; hostKey: string; userKey: string },
): string {
  return `
ListenAddress 127.0.0.1
Port ${port}
HostKey ${hostKey}
AuthorizedKeysFile ${userKey}.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
`;
}
