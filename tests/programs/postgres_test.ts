// PostgreSQL: transactions from many clients, and bulk both ways by COPY.

import { match, strictEqual } from "node:assert/strict";
import { Child, runProgram } from "../support/child.ts";
import { freePort } from "../support/world.ts";
import { IS_ROOT, tempFolder, throughTunnels, untilListening } from "./tunnels.ts";

Deno.test("postgres: pgbench with 8 clients, and COPY out and in", async () => {
  await using folder = await tempFolder();
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
  await using server = new Child(postgres, { args: postgresArgs, cwd: "/", stopSignal: "SIGINT" });
  await server.waitFor(/ready to accept connections/);
  await untilListening(port);

  await throughTunnels(port, async (port, tunnel) => {
    const client = async (command: string, args: string[]) => {
      const { code, stdout, stderr } = await runProgram(command, {
        args: ["-h", "127.0.0.1", "-p", String(port), "-U", "test", ...args],
        timeoutMs: 60_000,
      });
      strictEqual(code, 0, stderr);
      return stdout;
    };
    const psql = (query: string) => client("psql", ["-XAtc", query, "postgres"]);
    await client("pgbench", ["--initialize", "--quiet", "--scale=1", "postgres"]);
    const bench = await client("pgbench", [
      "--client=8",
      "--jobs=2",
      "--transactions=50",
      "postgres",
    ]);
    match(bench, /number of transactions actually processed: 400\/400/);
    const file = folder.file(`rows-${tunnel}`);
    await psql(`create table copied_${tunnel} (n int, text text)`);
    await psql(`\\copy (select n, md5(n::text) from generate_series(1, 100000) n) to '${file}'`);
    await psql(`\\copy copied_${tunnel} from '${file}'`);
    strictEqual(
      (await psql(
        `select count(*) filter (where text = md5(n::text)), max(n) from copied_${tunnel}`,
      ))
        .trim(),
      "100000|100000",
    );
  });
});

async function newestBin(): Promise<string> {
  const { stdout } = await runProgram("sh", {
    args: ["-c", "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1"],
  });
  return stdout.trim();
}
