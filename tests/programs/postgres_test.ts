// PostgreSQL: transactions from many clients, and bulk both ways by COPY.

import { match, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { startPostgres } from "./servers.ts";
import { tempFolder, throughTunnels } from "./tunnels.ts";

Deno.test("postgres: pgbench with 8 clients, and COPY out and in", async () => {
  await using folder = await tempFolder();
  await using server = await startPostgres(folder);

  await throughTunnels(server.port, async (port, tunnel) => {
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
