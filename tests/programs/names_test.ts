// Names as the system looks them up, with a name server of our own. Every program of this machine would ask it, so the
// tests run in a network and a mount namespace that is theirs: names_in_namespace.ts.

import { strictEqual } from "node:assert/strict";
import { ROOT } from "../support/processes.ts";
import { runProgram } from "../support/child.ts";
import { IS_ROOT, tempFolder } from "./tunnels.ts";

/** How long all of them may take, in milliseconds. */
const TIMEOUT_MS = 240_000;

Deno.test("names: what hangs, changes or is odd in DNS stays with who asked for it", async () => {
  await using folder = await tempFolder();
  const files = {
    "/etc/hosts": "127.0.0.1 localhost\n127.0.0.1 listed\n",
    "/etc/resolv.conf": "nameserver 127.9.9.9\nsearch searched.test\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
  };
  const mounts: string[] = [];
  for (const [path, text] of Object.entries(files)) {
    const own = folder.file(path.slice("/etc/".length));
    await Deno.writeTextFile(own, text);
    // Not every system has each of them.
    mounts.push(`{ [ ! -e ${path} ] || mount --bind "${own}" ${path}; }`);
  }
  const script = `ip link set lo up && ${mounts.join(" && ")} && exec "$@"`;
  const test = [Deno.execPath(), "test", "-P=tests", "--no-check", "--quiet"];
  const [command, ...args] = await asRoot();
  const { code, stdout, stderr } = await runProgram(command, {
    args: [
      ...args,
      ...["--mount", "--net", "sh", "-c", script, "sh"],
      ...[...test, `${ROOT}/tests/programs/names_in_namespace.ts`],
    ],
    cwd: ROOT,
    timeoutMs: TIMEOUT_MS,
  });
  strictEqual(code, 0, stdout + stderr);
});

/** What makes namespaces, for somebody who is root in them: not every system lets an ordinary user be that. */
async function asRoot(): Promise<[command: string, ...args: string[]]> {
  if (IS_ROOT) return ["unshare"];
  const user = ["--user", "--map-root-user"];
  const { code } = await runProgram("unshare", { args: [...user, "--mount", "--net", "true"] });
  return code === 0 ? ["unshare", ...user] : ["sudo", "--non-interactive", "-E", "unshare"];
}
