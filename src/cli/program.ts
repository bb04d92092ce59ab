// The command line: which commands there are, how help and errors look, and which exit code follows.
// What a command does is in its own file; here nothing listens, dials or logs.

import { Command, CommanderError } from "commander";
import { ConnectorError } from "../model/errors.ts";
import { paint, type Style, wantsColor } from "./color.ts";
import { cleanEnvironment, readVariable, refuseKeyLog } from "./environment.ts";
import { examples, HELP_LAYOUT, helpWidth } from "./help_layout.ts";
import { writeError, writeOut } from "./output.ts";
import { EXIT_NOT_READY, NotReadyError } from "./not_ready_error.ts";
import type { LoadedConfig } from "./config_file.ts";
import {
  readConfigPath,
  readRunOptions,
  type RunOptions,
  type RunSettings,
} from "./run_options.ts";
import { addRunFlags, describeSettings, RUN_FLAG_NAMES } from "./run_settings.ts";
import { plainText } from "../plain_text.ts";
import { closestFlag } from "./closest_flag.ts";
import { UsageError } from "./usage_error.ts";
import type { ForwardOptions } from "./forward.ts";
import { type Build, versionText } from "./version.ts";

/** What the command line needs of the world; tests give their own. */
export interface CliIo {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Columns of the terminal that a stream leads to, 0 when it does not know; undefined when that is no terminal. */
  columns(stream: "stdout" | "stderr"): number | undefined;
  env: Readonly<Record<string, string | undefined>>;
  /** Runs until it is told to end, and resolves with the exit code. */
  runConnector(options: RunOptions, build: Build | undefined): Promise<number>;
  /** Forwards until it is told to end, and resolves with the exit code. */
  forward(options: ForwardOptions): Promise<number>;
  /** Ends what would go on until the process is told to end. */
  signal?: AbortSignal;
  /** What this executable was built from; nothing when it runs from source. */
  build?: Build;
}

/** A foreseen failure, or a defect. */
const EXIT_FAILURE = 1;
/** A command line that cannot be followed. */
const EXIT_USAGE = 2;

/** Runs one command line, without the program's name, and resolves with the exit code; never rejects. */
export async function runCli(args: string[], given: Partial<CliIo> = {}): Promise<number> {
  cleanEnvironment();
  const io: CliIo = { ...processIo(), ...given };
  let exitCode = 0;
  const program = await createProgram(io, (code) => exitCode = code, { runs: args[0] === "run" });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    const command = program.commands.find((each) => each.name() === args[0]) ?? program;
    return report(error, io, command);
  }
}

/**
 * Builds the program with all its commands; the code that a command asks to exit with goes to `setExitCode`. With `runs` it
 * has `run` alone: a connector would keep the others in memory for as long as it runs.
 */
export async function createProgram(
  io: CliIo,
  setExitCode: (code: number) => void,
  { runs = false }: { runs?: boolean } = {},
): Promise<Command> {
  const program = new Command("connector")
    .description(
      "Exposes TCP services across networks, over one gRPC stream between two connectors.",
    )
    .version(versionText(io.build), "--version", "print the version, the commit and the build date")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout(text),
      writeErr: (text) => io.stderr(text),
      // Errors are printed where they are caught, all in one form.
      outputError: () => {},
      getOutHelpWidth: () => helpWidth(io.columns("stdout")),
      getErrHelpWidth: () => helpWidth(io.columns("stderr")),
      getOutHasColors: () => isColored(io, "stdout"),
      getErrHasColors: () => isColored(io, "stderr"),
    })
    .configureHelp(HELP_LAYOUT);
  program.addCommand(
    createRunCommand(async (settings) => {
      const config = await readConfig(settings);
      const options = readRunOptions(config?.settings ?? settings);
      if (options.tls) refuseKeyLog(io.env);
      const described = describeSettings(config?.settings ?? settings);
      const run = { ...options, described, ...(config && { config: config.source }) };
      setExitCode(await io.runConnector(run, io.build));
    }, io),
  );
  if (!runs) {
    const { otherCommands } = await import("./other_commands.ts");
    const others = otherCommands({ ...io, settings: () => runSettings(io.env) }, setExitCode);
    for (const command of others) program.addCommand(command);
  }
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

function createRunCommand(
  action: (settings: RunSettings) => Promise<void>,
  io: Pick<CliIo, "env">,
): Command {
  const command = new Command("run")
    .summary("run a connector")
    .description("Runs a connector: a gRPC server for its peers and a REST API for you.")
    .addHelpText("after", RUN_EXAMPLES);
  const settings = addRunFlags(command, { names: RUN_FLAG_NAMES, env: io.env });
  return command.action(() => action(settings()));
}

/** What variables and defaults say. */
function runSettings(env: CliIo["env"]): RunSettings {
  return addRunFlags(new Command(), { names: RUN_FLAG_NAMES, env })();
}

/** The configuration file, if there is one. @throws {ConnectorError} when it cannot be used. */
async function readConfig(settings: RunSettings): Promise<LoadedConfig | undefined> {
  const path = readConfigPath(settings);
  if (path === undefined) return undefined;
  // Loaded only now: what reads YAML and checks services takes memory.
  const { loadConfig } = await import("./config_file.ts");
  return await loadConfig(path, settings);
}

const RUN_EXAMPLES = examples(`  A connector on the default ports:
    connector run

  On other ports, for this machine only:
    connector run --grpc-bind=127.0.0.1:60000 --http-bind=127.0.0.1:60001

  With options and services from a file:
    connector run --config=connector.yaml

  With mutual TLS:
    connector run --root-cert-path=root.cert \\
      --server-cert-path=leaf.cert --server-key-path=leaf.key
`);

/** Prints what went wrong in the form it deserves, and says which exit code follows. */
function report(error: unknown, io: CliIo, command: Command): number {
  const line = (label: Style, text: string) => {
    const start = isColored(io, "stderr") ? paint(label, `${label}:`) : `${label}:`;
    return `${start} ${shown(text)}\n`;
  };
  const print = (message: string, hint: string | undefined) => {
    io.stderr(line("error", message) + (hint === undefined ? "" : line("hint", hint)));
  };
  const seeHelp = `see ${
    command.parent ? `${command.parent.name()} ` : ""
  }${command.name()} --help`;
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    // Help was printed because no command was given.
    if (error.code === "commander.help") return EXIT_USAGE;
    const { message, hint } = readParserError(error);
    const flag = /^unknown option '(.*)'$/s.exec(message)?.[1];
    print(message, (flag === undefined ? hint : suggestFlag(flag, command)) ?? seeHelp);
    return EXIT_USAGE;
  }
  if (error instanceof UsageError) {
    print(error.message, error.hint ?? seeHelp);
    return EXIT_USAGE;
  }
  if (error instanceof NotReadyError) {
    print(error.message, undefined);
    return EXIT_NOT_READY;
  }
  if (error instanceof ConnectorError) {
    print(error.message, error.hint);
    return EXIT_FAILURE;
  }
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  io.stderr(`${line("error", "this is a defect of connector")}${shown(stack)}\n`);
  return EXIT_FAILURE;
}

/** The longest line of an error, in characters; ours quote a few paths at most. */
const MAX_LINE_LENGTH = 8192;

/** A message may quote what is in somebody's file: it must not steer the terminal. Its own line ends stay. */
function shown(message: string): string {
  return message.split("\n").map((line) => plainText(line, MAX_LINE_LENGTH)).join("\n");
}

/** Takes the parser's `error: text.` and `(Did you mean x?)` apart. */
function readParserError(error: CommanderError): { message: string; hint: string | undefined } {
  const [message = "", suggestion] = error.message.replace(/^error: /, "").split("\n(", 2);
  return {
    message: message.replace(/\.$/, ""),
    hint: suggestion?.replace(/^Did/, "did").replace(/\)$/, ""),
  };
}

/**
 * What was meant by a flag that the parser does not know. It compares the whole `--flag=value` with the last
 * of an option's names; here it is asked again, with the flag alone and every name.
 */
function suggestFlag(flag: string, command: Command): string | undefined {
  const [name = flag] = flag.split("=", 1);
  const known = command.options.flatMap(({ short, long }) => [short, long])
    .filter((each) => each !== undefined);
  if (name === "--help" || known.includes(name)) return `${name} takes no value`;
  const meant = closestFlag(name, [...known, "--help"]);
  return meant && `did you mean ${meant}?`;
}

function isColored(io: Pick<CliIo, "columns" | "env">, stream: "stdout" | "stderr"): boolean {
  return wantsColor(io.env, io.columns(stream) !== undefined);
}

function processIo(): CliIo {
  return {
    stdout: writeOut,
    stderr: writeError,
    columns: (stream) => Deno[stream].isTerminal() ? Deno.consoleSize().columns : undefined,
    // One variable at a time: the program may not read all of them.
    env: new Proxy({}, {
      get: (_, name) => typeof name === "string" ? readVariable(name) : undefined,
    }),
    async runConnector(options, build) {
      // Loaded only now, so that help and version need not wait for the servers' code.
      const { runConnector } = await import("./run.ts");
      return await runConnector(options, build);
    },
    async forward(options) {
      const { runForward } = await import("./run_forward.ts");
      return await runForward(options);
    },
  };
}
