// Servers of Debian's for the tests of programs: OpenSSH's and PostgreSQL, each with what its clients need.

import { strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { freePort } from "../support/world.ts";
import { IS_ROOT, untilListening } from "./tunnels.ts";

/** A folder in which a server keeps what it needs. */
interface Folder {
  file: (name: string) => string;
}

/** A running server. */
export interface Server extends AsyncDisposable {
  port: number;
}

/** An sshd that lets this user in. */
export interface SshServer extends Server {
  /** user@host. */
  target: string;
  /** What a client is told to reach it by a port. */
  options: (port: number) => string[];
}

/** Starts OpenSSH's server with keys of its own. */
export async function startSshd(folder: Folder): Promise<SshServer> {
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
  await using stack = new AsyncDisposableStack();
  stack.use(new Child("/usr/sbin/sshd", { args: ["-D", "-e", "-f", config] }));
  await untilListening(port);
  const { stdout: user } = await runProgram("whoami");
  const owned = stack.move();
  return {
    port,
    target: `${user.trim()}@127.0.0.1`,
    options: (port) => [
      ...["-F", "/dev/null", "-i", folder.file("user_key"), "-o", `Port=${port}`],
      ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"],
      ...["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"],
    ],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Starts the newest PostgreSQL with a data folder of its own, for the user `test`. */
export async function startPostgres(folder: Folder): Promise<Server> {
  const port = freePort();
  const bin = await newestBin();
  // postgres refuses to run as root. setpriv becomes the program, so that signals reach it.
  const asServer = IS_ROOT
    ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
    : [];
  if (IS_ROOT) {
    const { code, stderr } = await runProgram("chown", { args: ["postgres", folder.file("")] });
    strictEqual(code, 0, stderr);
  }
  const run = (args: string[]): [string, string[]] => {
    const [command = "", ...more] = [...asServer, ...args];
    return [command, more];
  };
  const data = folder.file("data");
  const [initdb, initdbArgs] = run([
    ...[`${bin}/initdb`, "--pgdata", data, "--auth=trust", "--username=test", "--no-sync"],
  ]);
  const created = await runProgram(initdb, { args: initdbArgs, cwd: "/" });
  strictEqual(created.code, 0, created.stderr);
  const [postgres, postgresArgs] = run([
    ...[`${bin}/postgres`, "-D", data, "-h", "127.0.0.1", "-p", String(port)],
    ...["-k", "", "-c", "fsync=off"],
  ]);
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    new Child(postgres, { args: postgresArgs, cwd: "/", stopSignal: "SIGINT" }),
  );
  await server.waitFor(/ready to accept connections/);
  await untilListening(port);
  const owned = stack.move();
  return { port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function newestBin(): Promise<string> {
  const { stdout } = await runProgram("sh", {
    args: ["-c", "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1"],
  });
  return stdout.trim();
}
