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

/** The words as bash takes them apart, and the line as it was typed. */
const BASH_ASKER = `
source "$1"
COMP_LINE="connector remove $2" COMP_POINT=\${#COMP_LINE}
COMP_WORDS=(connector remove)
case "$2" in
  *:*) COMP_WORDS+=("\${2%%:*}" : "\${2#*:}") ;;
  *) COMP_WORDS+=("$2") ;;
esac
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_connector
printf '%s\\n' "\${COMPREPLY[@]}"
`;

const COMMANDS = [
  ...[
    "completion",
    "config",
    "expose",
    "forward",
    "generate-certs",
    "health",
    "help",
    "list",
    "policy",
  ],
  ...["remove", "run", "status", "wait"],
];

for (const shell of ["bash", "fish"] as const) {
  Deno.test(`${shell} completes commands, flags and words`, async () => {
    const commands = await complete(shell, [""]);
    deepStrictEqual(COMMANDS.filter((each) => !commands.includes(each)), []);
    deepStrictEqual(await complete(shell, ["gen"]), ["generate-certs"]);
    deepStrictEqual(await complete(shell, ["run", "--grpc-b"]), ["--grpc-bind"]);
    deepStrictEqual(await complete(shell, ["health", "--ur"]), ["--url"]);
    deepStrictEqual(await complete(shell, ["completion", "z"]), ["zsh"]);
    deepStrictEqual(await complete(shell, ["config", "c"]), ["check"]);
  });
}

Deno.test("zsh is told of commands, flags and words", async () => {
  const commands = await complete("zsh", []);
  deepStrictEqual(commands.filter((each) => !each.startsWith("-")), COMMANDS);
  const flags = await complete("zsh", ["run"]);
  strictEqual(flags.includes("--grpc-bind") && flags.includes("--half-open-timeout"), true);
  const shells = await complete("zsh", ["completion"]);
  strictEqual(shells.includes("1:argument:(bash zsh fish powershell)"), true);
});

Deno.test("bash completes files for flags that take a path, and nothing for other values", async () => {
  deepStrictEqual(await complete("bash", ["run", "--root-cert-path", "_conn"]), ["_connector"]);
  deepStrictEqual(await complete("bash", ["run", "--root-cert-path", "=", "_conn"]), [
    "_connector",
  ]);
  deepStrictEqual(await complete("bash", ["run", "--log-level", ""]), []);
});

/** A program on the PATH that is called connector, and lists these services. */
const NAMES = ["web", "localhost:8080", "localhost:9090", "$(id);`id`"];

for (
  const [shell, ask] of [
    ["bash", BASH_ASKER],
    ["fish", 'source $argv[1]; complete -C "connector remove $argv[2]"'],
  ] as const
) {
  Deno.test(`${shell} completes names of services, which it asks the connector for`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const { stdout: script } = await runCommand(["completion", shell]);
      await Deno.writeTextFile(`${folder}/script`, script);
      const list = `#!/bin/sh\n[ "$*" = "list --quiet" ] && printf '%s\\n' ${
        NAMES.map((name) => `'${name}'`).join(" ")
      }\n`;
      await Deno.writeTextFile(`${folder}/connector`, list, { mode: 0o755 });
      const offered = async (typed: string) => {
        const options = shell === "bash" ? ["--norc"] : ["--no-config"];
        const { stdout, stderr } = await runProgram(shell, {
          args: [
            ...options,
            "-c",
            ask,
            ...(shell === "bash" ? ["bash"] : []),
            `${folder}/script`,
            typed,
          ],
          env: { PATH: `${folder}:${Deno.env.get("PATH")}` },
        });
        strictEqual(stderr, "");
        return stdout.split("\n").filter((line) => line !== "" && !line.startsWith("-")).sort();
      };
      deepStrictEqual(await offered("w"), ["web"]);
      // bash wants only what follows the colon.
      // bash inserts what it is given as it is, fish quotes it.
      deepStrictEqual(await offered("\\$"), shell === "bash" ? [] : ["$(id);`id`"]);
      deepStrictEqual((await offered("")).includes("\\$\\(id\\)\\;\\`id\\`"), shell === "bash");
      deepStrictEqual(await offered("localhost:8"), [shell === "bash" ? "8080" : "localhost:8080"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("zsh is given the names of services", async () => {
  const { stdout: script } = await runCommand(["completion", "zsh"]);
  const stub = `
function compdef { }
function compadd { shift; print -l -- "$@" }
function connector { [[ "$*" = "list --quiet" ]] && print -l -- web 'two words' }
`;
  const { stdout, stderr } = await runProgram("zsh", {
    args: ["-f", "-c", `${stub}\n${script}\n_connector_services`],
  });
  strictEqual(stderr, "");
  strictEqual(stdout, "web\ntwo words\n");
});
