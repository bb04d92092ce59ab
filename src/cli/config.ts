// `connector config`: checks a configuration file, and shows which options are in force and where each comes from: those of a
// running connector, or those that a file would give here.

import { Argument, Command } from "commander";
import type { ConfigJson } from "../api/answers.ts";
import { plainJson, plainText } from "../plain_text.ts";
import { addApiOptions, type ApiSettings } from "./api_options.ts";
import { examples } from "./help_layout.ts";
import type { RunSettings } from "./run_options.ts";
import { textTable } from "./text_table.ts";
import { UsageError } from "./usage_error.ts";

/** What the command needs of the world. */
export interface ConfigIo {
  stdout(text: string): void;
  stderr(text: string): void;
  env: Readonly<Record<string, string | undefined>>;
  /** What variables and defaults say of `connector run`. */
  settings(): RunSettings;
}

/** A file with a mistake. */
const EXIT_REFUSED = 1;
/** The longest line, in characters. Lines quote what stands in the file. */
const MAX_LINE_LENGTH = 1000;

interface ConfigSettings extends ApiSettings {
  json?: boolean;
}

/** Builds the command. `setExitCode` is told if a file has a mistake. */
export function configCommand(io: ConfigIo, setExitCode: (code: number) => void): Command {
  const command = new Command("config")
    .summary("check a configuration file, or show what is in force")
    .description(
      "check: reads a file as connector run --config would here, and prints each mistake with its line and column; " +
        "the exit code is 1 if there is one. show: prints the options of a running connector and where each comes " +
        "from: a flag, a variable, the file or the default; with a file, those that connector run would have here.",
    )
    .addArgument(new Argument("<action>", "what to do").choices(["check", "show"]))
    .argument("[file]", "the configuration file")
    .option("--json", "show: print JSON, for programs");
  addApiOptions(command).addHelpText("after", EXAMPLES);
  // The parser lets nothing but the choices through.
  return command.action(
    async (action: "check" | "show", file: string | undefined, settings: ConfigSettings) => {
      refuseContradictions(settings, { action, file });
      if (action === "check") {
        if (file === undefined) {
          throw new UsageError("the file is missing: connector config check FILE");
        }
        if (!await check(file, io)) setExitCode(EXIT_REFUSED);
        return;
      }
      const shown = file === undefined ? await ask(settings, io) : await preview(file, io);
      io.stdout(settings.json ? jsonText(shown) : configText(shown));
    },
  );
}

/** @throws {UsageError} for an option that would have no effect. */
function refuseContradictions(
  { json, ...api }: ConfigSettings,
  { action, file }: { action: "check" | "show"; file: string | undefined },
): void {
  if (action === "check" && json) throw new UsageError("--json is only for connector config show");
  // What the parser has is named as the options are, but for the hyphens.
  const [given] = Object.keys(api);
  if (given === undefined || action === "show" && file === undefined) return;
  const flag = `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new UsageError(
    `${flag} is only for connector config show without a file, which asks a running connector`,
  );
}

/** Prints what is wrong with a file. Whether nothing is. @throws {ConnectorError} when it cannot be read. */
async function check(path: string, io: ConfigIo): Promise<boolean> {
  // Loaded only now, so that help and other commands need not wait for the YAML library.
  const { findProblems } = await import("./config_file.ts");
  const { problems, access, services, options } = await findProblems(path, io.settings());
  for (const { line: number, column, message } of problems) {
    io.stderr(line(`${path}:${number}:${column}: ${message}`));
  }
  for (const { file, mode, problem } of access) {
    io.stderr(line(`warning: ${file} has the mode ${mode}: ${problem}`));
  }
  if (problems.length > 0) return false;
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;
  io.stdout(
    line(`${path}: ${count(options, "option")}, ${count(services, "service")}, no mistake`),
  );
  return true;
}

async function ask(settings: ApiSettings, io: ConfigIo): Promise<ConfigJson> {
  const { ApiClient } = await import("./api_client.ts");
  return await (await ApiClient.open(settings, io.env)).config();
}

async function preview(path: string, io: ConfigIo): Promise<ConfigJson> {
  const { loadConfig } = await import("./config_file.ts");
  const { readRunOptions } = await import("./run_options.ts");
  const { describeSettings } = await import("./run_settings.ts");
  const { settings } = await loadConfig(path, io.settings());
  readRunOptions(settings);
  return { file: path, options: describeSettings(settings), need_restart: [] };
}

/** The options as a table, and what there is to say of the file. */
function configText({ file, options, need_restart: needRestart, problem }: ConfigJson): string {
  const rows = options.map(({ name, value, origin }) => [name, value, origin]);
  const notes = [
    ...(file === undefined ? [] : [`configuration: ${file}`]),
    ...(problem === undefined ? [] : [problem]),
    ...(needRestart.length === 0
      ? []
      : [`changed in the file, and in force after a restart: ${needRestart.join(", ")}`]),
  ];
  return textTable([["OPTION", "VALUE", "FROM"], ...rows], { most: MAX_LINE_LENGTH }) +
    notes.map(line).join("");
}

function jsonText(value: unknown): string {
  // Its own line ends stay.
  return `${JSON.stringify(value, null, 2).split("\n").map(plainJson).join("\n")}\n`;
}

function line(text: string): string {
  return `${plainText(text, MAX_LINE_LENGTH)}\n`;
}

const EXAMPLES = examples(
  `  Has the file a mistake?
    connector config check connector.yaml

  What does the running connector do, and which option comes from where?
    connector config show

  What would it do with this file?
    connector config show connector.yaml
`,
  { options: false },
);
