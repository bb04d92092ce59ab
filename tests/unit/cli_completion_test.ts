// `connector completion` in process: every command and visible flag is in every script. That the shells take the
// scripts, and complete with them, is tested with the shells themselves, in tests/programs/completion_test.ts.

import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { createProgram, runCli } from "../../src/cli/program.ts";

async function completion(...args: string[]) {
  const outcome = { code: -1, stdout: "", stderr: "" };
  outcome.code = await runCli(["completion", ...args], {
    stdout: (text) => outcome.stdout += text,
    stderr: (text) => outcome.stderr += text,
    env: {},
  });
  return outcome;
}

const program = await createProgram({
  stdout: () => {},
  stderr: () => {},
  env: {},
  columns: () => undefined,
  runConnector: () => Promise.resolve(0),
  forward: () => Promise.resolve(0),
}, () => {});

for (
  const [shell, flag] of [
    ["bash", (name: string) => `${name}`],
    ["zsh", (name: string) => `'${name}`],
    ["fish", (name: string) => `-l ${name.slice(2)}`],
    ["powershell", (name: string) => `@('${name}', '`],
  ] as const
) {
  Deno.test(`the ${shell} script knows every command and flag`, async () => {
    const { code, stdout, stderr } = await completion(shell);
    deepStrictEqual([code, stderr], [0, ""]);
    ok(stdout.endsWith("\n"));
    ok(program.commands.length >= 4);
    for (const command of program.commands) {
      match(stdout, new RegExp(`\\b${command.name()}\\b`));
      const options = command.createHelp().visibleOptions(command);
      ok(options.length > 0);
      for (const { long } of options) ok(long && stdout.includes(flag(long)), long ?? "");
    }
  });
}

Deno.test("another shell is refused with the choices", async () => {
  for (const args of [["tcsh"], []]) {
    const { code, stdout, stderr } = await completion(...args);
    deepStrictEqual([code, stdout], [2, ""]);
    match(stderr, /^error: .*shell/);
  }
  strictEqual((await completion("tcsh")).stderr.includes("bash, zsh, fish, powershell"), true);
});

Deno.test("PowerShell cannot be led out of the quotation marks around a name", async () => {
  const { stdout } = await completion("powershell");
  // The pattern as PowerShell reads it, with its replacement.
  const [, pattern = "", by = ""] = /-replace '(.*)', '(.*)'\)/.exec(stdout) ?? [];
  const quoted = "it's \u2018; calc; \u201b".replaceAll(
    new RegExp(pattern.replaceAll("''", "'"), "g"),
    by.replaceAll("$0", "$$&"),
  );
  strictEqual(quoted, "it''s \u2018\u2018; calc; \u201b\u201b");
});
