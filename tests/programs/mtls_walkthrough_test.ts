// README.md's walk-through with certificates, by a real shell and a real curl: every command as it stands there,
// other ports only.

import { match, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { Child, runProgram } from "../support/child.ts";
import { httpsRequest, tempFolder } from "../support/mtls.ts";
import { ROOT } from "../support/processes.ts";
import { exchangePorts, freePorts, readCommands } from "../support/readme_commands.ts";
import { until } from "../support/world.ts";

Deno.test("the README's commands with certificates, typed into a shell", async () => {
  await using folder = await tempFolder();
  await using stack = new AsyncDisposableStack();
  const bin = path.join(folder.path, "bin");
  const main = path.join(ROOT, "main.ts");
  await Deno.mkdir(bin);
  await Deno.writeTextFile(
    path.join(bin, "connector"),
    `#!/bin/sh\nexec '${Deno.execPath()}' run --quiet -P '${main}' "$@"\n`,
    { mode: 0o755 },
  );
  const ports = freePorts(9090, 9091, 9092, 9093, 9099);
  const commands = (await readCommands("README.md", "Securing connectors with certificates"))
    .map((command) => exchangePorts(command, ports));
  const options = { cwd: folder.path, env: { PATH: `${bin}:${Deno.env.get("PATH")}` } };
  const answers: string[] = [];
  for (const command of commands) {
    if (command.startsWith("connector run")) {
      const child = stack.use(new Child("sh", { ...options, args: ["-c", `exec ${command}`] }));
      await child.waitFor(/connector started/);
      continue;
    }
    const { code, stdout, stderr } = await runProgram("sh", { ...options, args: ["-c", command] });
    strictEqual(code, 0, `${command}: ${stderr}`);
    if (!command.startsWith("curl ")) continue;
    answers.push(stdout);
    // Whoever types the next command is slower than this.
    await until(
      async () => {
        const { body } = await httpsRequest(`https://localhost:${ports.get(9091)}/list`);
        return JSON.parse(body)[0].status === "COMPLETE";
      },
      "the service is complete",
    );
  }
  strictEqual(answers.length, 2);
  match(answers[0] ?? "", /^[0-9a-f-]{36}$/);
  strictEqual(answers[1], "OK");
});
