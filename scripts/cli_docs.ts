// `deno task docs`: docs/cli.md, the help of every command, as the commands themselves print it, and the JSON Schema of the
// configuration file; --check only compares.

import * as path from "node:path";
import type { Command } from "commander";
import { configJsonSchema } from "../src/cli/config_schema.ts";
import { createProgram } from "../src/cli/program.ts";
import { ROOT } from "./build_run.ts";

/** Characters of a line: a terminal's width must not show in the page. */
const WIDTH = 100;

/** The whole page. */
export async function cliDocs(): Promise<string> {
  let printed = "";
  const program = await createProgram({
    stdout: (text) => printed += text,
    stderr: (text) => printed += text,
    columns: () => undefined,
    env: {},
    runConnector: () => Promise.resolve(0),
    forward: () => Promise.resolve(0),
  }, () => {});
  const help = (command: Command) => {
    printed = "";
    command.configureOutput({ getOutHelpWidth: () => WIDTH, getOutHasColors: () => false });
    command.outputHelp();
    return printed.trim();
  };
  const sections = [program, ...program.commands].map((command) => {
    const name = command === program ? "connector" : `connector ${command.name()}`;
    return `## ${name}\n\n\`\`\`text\n${help(command)}\n\`\`\`\n`;
  });
  return `# Command line

\`deno task docs\` generates this page from the commands. The exit code is 0 if a command succeeds, 1 if
it fails, 2 if the command line is wrong, and 3 if a service that it asks about is not complete
(\`status\`, \`wait\`, \`expose --wait\`). Errors are on stderr, as \`error:\` and often \`hint:\`.

${sections.join("\n")}`;
}

/** The JSON Schema of the configuration file, for editors. */
export function configSchemaText(): string {
  return `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
}

if (import.meta.main) {
  const pages = { "cli.md": await cliDocs(), "connector.schema.json": configSchemaText() };
  for (const [name, wanted] of Object.entries(pages)) {
    const file = path.join(ROOT, "docs", name);
    if (!Deno.args.includes("--check")) {
      await Deno.writeTextFile(file, wanted);
    } else if (await Deno.readTextFile(file).catch(() => "") !== wanted) {
      console.error(`error: docs/${name} is not what the program says\nhint: run deno task docs`);
      Deno.exit(1);
    }
  }
}
