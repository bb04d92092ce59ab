// What docs/security.md says that `connector policy` prints about its policies is what it prints.

import { deepStrictEqual, ok } from "node:assert/strict";
import * as path from "node:path";
import type { PolicyIo } from "../../src/cli/policy.ts";
import { type CliIo, runCli } from "../../src/cli/program.ts";
import { blocksOf, readSection, wordsOf } from "../support/readme_commands.ts";
import { EXAMPLES, readExample } from "../support/security_examples.ts";
import { tempFolder } from "../support/mtls.ts";
import { problemsOf } from "../support/policies.ts";

/** What names lead to, where the page's commands were run. */
const ADDRESSES: Record<string, string[]> = {
  "localhost": ["::1", "127.0.0.1"],
  "db.shop.svc.cluster.local": ["10.96.14.7"],
  "kubernetes.default.svc.cluster.local": ["10.96.0.1"],
};

Deno.test("docs/security.md: the policy that it explains has no mistake", async () => {
  const policies = blocksOf(await readSection("docs/security.md", "The policy"), "yaml");
  deepStrictEqual(policies.map((text) => problemsOf(text)), [[]]);
});

for (const heading of EXAMPLES) {
  Deno.test(`docs/security.md: connector policy prints what "${heading}" says`, async () => {
    await using folder = await tempFolder();
    const { policies, dialogues } = await readExample(heading);
    for (const { name, text } of policies) {
      await Deno.writeTextFile(path.join(folder.path, name), text);
    }
    const asked = dialogues.filter(({ command }) => command.startsWith("connector policy "));
    const actions = new Set<string | undefined>();
    for (const { command, output } of asked) {
      const [, ...args] = wordsOf(command);
      const [, action, file = ""] = args;
      actions.add(`${action} ${file}`);
      const inFolder = path.join(folder.path, file);
      let printed = "";
      const io: Partial<CliIo & PolicyIo> = {
        stdout: (text) => printed += text.replaceAll(inFolder, file),
        stderr: (text) => printed += text.replaceAll(inFolder, file),
        columns: () => undefined,
        env: { NO_COLOR: "1" },
        resolve: (host) => Promise.resolve(ADDRESSES[host] ?? []),
      };
      const code = await runCli(args.with(2, inFolder), io);
      deepStrictEqual([command, printed], [command, output]);
      deepStrictEqual([command, code], [command, /^refused/m.test(output) ? 1 : 0]);
    }
    // Each of its policies, both ways, and both answers.
    const wanted = policies.flatMap(({ name }) => [`check ${name}`, `explain ${name}`]);
    deepStrictEqual([...actions].toSorted(), wanted.toSorted());
    for (const answer of ["allowed", "refused"]) {
      ok(asked.some(({ output }) => output.startsWith(answer)), answer);
    }
  });
}
