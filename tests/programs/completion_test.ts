// The scripts of `connector completion` in the shells that they are for.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { runProgram } from "../support/child.ts";
import { runCommand } from "../support/processes.ts";

/** Cursor behind the last word; what the shell would offer, sorted. */
async function complete(shell: "bash" | "zsh" | "fish", words: string[]): Promise<string[]> {
  const { code, stdout: script } = await runCommand(["completion", shell]);
  strictEqual(code, 0);
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/_connector`;
    await Deno.writeTextFile(file, script);
    const run = await runProgram(shell, { args: [...asker(shell, file, words)], cwd: folder });
    strictEqual(run.stderr, "");
    return run.stdout.split("\n").map((line) => line.split("\t")[0]?.trim() ?? "").filter(Boolean)
      .sort();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function asker(shell: "bash" | "zsh" | "fish", file: string, words: string[]): string[] {
  const line = ["connector", ...words].join(" ");
  switch (shell) {
    case "bash":
      return [
        "--norc",
        "-c",
        `source "$0"; COMP_WORDS=(connector "$@"); COMP_CWORD=$#; _connector; printf '%s\\n' "\${COMPREPLY[@]}"`,
        file,
        ...words,
      ];
    case "fish":
      return ["--no-config", "-c", `source ${file}; complete -C ${JSON.stringify(line)}`];
    case "zsh":
      return ["-f", "-c", ZSH_ASKER, file, line];
  }
}

/** zsh completes in a terminal only: here its two functions that the script calls say what they were given. */
const ZSH_ASKER = `
function compdef { }
function _describe { print -l -- \${\${(P)2}%%:*} }
function _arguments { print -l -- \${\${@%%\\[*}%%=*} }
source $0
words=(\${(z)1} '') CURRENT=\${#words}
_connector
`;

const COMMANDS = ["completion", "generate-certs", "health", "help", "policy", "run"];

for (const shell of ["bash", "fish"] as const) {
  Deno.test(`${shell} completes commands, flags and words`, async () => {
    const commands = await complete(shell, [""]);
    deepStrictEqual(COMMANDS.filter((each) => !commands.includes(each)), []);
    deepStrictEqual(await complete(shell, ["gen"]), ["generate-certs"]);
    deepStrictEqual(await complete(shell, ["run", "--grpc-b"]), ["--grpc-bind"]);
    deepStrictEqual(await complete(shell, ["health", "--ur"]), ["--url"]);
    deepStrictEqual(await complete(shell, ["completion", "z"]), ["zsh"]);
  });
}

Deno.test("zsh is told of commands, flags and words", async () => {
  const commands = await complete("zsh", []);
  deepStrictEqual(commands.filter((each) => !each.startsWith("-")), COMMANDS);
  const flags = await complete("zsh", ["run"]);
  strictEqual(flags.includes("--grpc-bind") && flags.includes("--half-open-timeout"), true);
  const shells = await complete("zsh", ["completion"]);
  strictEqual(shells.includes("1:argument:(bash zsh fish)"), true);
});

Deno.test("bash completes files for flags that take a path, and nothing for other values", async () => {
  deepStrictEqual(await complete("bash", ["run", "--root-cert-path", "_conn"]), ["_connector"]);
  deepStrictEqual(await complete("bash", ["run", "--root-cert-path", "=", "_conn"]), [
    "_connector",
  ]);
  deepStrictEqual(await complete("bash", ["run", "--log-level", ""]), []);
});
