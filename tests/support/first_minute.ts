// Everything that a user may type, in the situation of a user: each command, and two connectors from their start over a
// link of each kind to their end. What is printed must be ours. tests/e2e/first_minute_test.ts and the one in slow/
// say in which situations.

import { doesNotMatch, match, ok, strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { stripVTControlCharacters } from "node:util";
import { wantsColor } from "../../src/cli/color.ts";
import {
  COLOR_VARIABLES,
  OBEYED_BY_THE_RUNTIME,
  READ_BY_LIBRARIES,
} from "../../src/cli/environment.ts";
import { PROXY_VARIABLES } from "../../src/proxies.ts";
import { Child, type ChildOptions, type Exit } from "./child.ts";
import { makePki, pemOf, tempFolder, writeTls } from "./mtls.ts";
import { commandLine, OUR_LINE, RestClient } from "./processes.ts";
import { TerminalProgram } from "./terminal.ts";
import { echo, freePort, roundTrip, serveTcp, until } from "./world.ts";

/**
 * What the program, its libraries and the runtime's own modules ask the environment for, beside `CONNECTOR_*`. A name
 * that is new belongs to READ_BY_LIBRARIES, and is permitted in deno.json and explained in docs/permissions.md if it
 * is to have its effect; else it is read as unset.
 */
export const KNOWN_VARIABLES: readonly string[] = [
  // The runtime lets everybody read NO_COLOR and FORCE_COLOR, and does not write that down.
  ...COLOR_VARIABLES.filter((name) => name !== "NO_COLOR" && name !== "FORCE_COLOR"),
  ...OBEYED_BY_THE_RUNTIME,
  ...PROXY_VARIABLES,
  ...READ_BY_LIBRARIES,
  "SSLKEYLOGFILE",
].sort();

/** How a user's shell is when a command is typed. */
export interface Situation {
  /** The whole environment. */
  env: Record<string, string>;
  /** On a terminal; else on pipes, with stdin closed. */
  terminal: boolean;
  /** Default: the project's root. */
  cwd?: string;
  /** What starts the command, instead of the shell itself. */
  prefix?: string[];
  /** A folder where each process writes down, in a file of its own, what it asks permission for. */
  audit?: string;
}

/** What a command must do in every situation. */
interface Typed {
  args: string[];
  code: number;
  /** What it prints first. */
  start: RegExp;
  /** Where it prints. Default: stdout. */
  stream?: "stderr";
  /** Help and errors have it where it is wanted, scripts and versions never. */
  colour: boolean;
}

const HELP = { code: 0, start: /^Usage: connector /, colour: true };
const REFUSAL = {
  start: /^error: [^\n]+\nhint: [^\n]+\n$/,
  stream: "stderr",
  colour: true,
} as const;

/** Each command, its help, and a wrong use of it. */
const TYPED: readonly Typed[] = [
  { ...HELP, args: [], code: 2, stream: "stderr" },
  { ...HELP, args: ["--help"] },
  { ...HELP, args: ["help", "run"] },
  ...["run", "forward", "generate-certs", "health", "completion"].map((command) => ({
    ...HELP,
    args: [command, "--help"],
  })),
  { args: ["--version"], code: 0, start: /^connector \d+\.\d+\.\d+ \(.*\)\n$/, colour: false },
  ...["bash", "zsh", "fish"].map((shell) => ({
    args: ["completion", shell],
    code: 0,
    start: /connector/,
    colour: false,
  })),
  { ...REFUSAL, args: ["rnu"], code: 2 },
  { ...REFUSAL, args: ["run", "--grpc-bind=nowhere"], code: 2 },
  { ...REFUSAL, args: ["generate-certs", "--leaf"], code: 2 },
  { ...REFUSAL, args: ["health", "--url=http://127.0.0.1:1"], code: 1 },
  { ...REFUSAL, args: ["list", "--api=http://127.0.0.1:1"], code: 1 },
  { ...REFUSAL, args: ["forward", "local", "localhost:2"], code: 2 },
];

/** Types each command, some at a time. */
export async function typeEveryCommand(situation: Situation): Promise<void> {
  const left = [...TYPED];
  await all([1, 2].map(async () => {
    for (let typed = left.shift(); typed; typed = left.shift()) await typeOne(typed, situation);
  }));
}

/** As Promise.all, but waits for every one, so that nothing goes on when a test has failed. */
export async function all(promises: Iterable<Promise<unknown>>): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}

async function typeOne(typed: Typed, situation: Situation): Promise<void> {
  await using running = start(typed.args, situation);
  const { code } = await running.exited;
  const what = `connector ${typed.args.join(" ")}: ${running.printed()}`;
  strictEqual(code, typed.code, what);
  if (!situation.terminal) {
    strictEqual(running.stream(typed.stream === "stderr" ? "stdout" : "stderr"), "", what);
  }
  const printed = running.printed();
  const coloured = typed.colour && wantsColor(situation.env, situation.terminal);
  strictEqual(printed.includes("\x1b"), coloured, what);
  const text = stripVTControlCharacters(printed);
  match(text, typed.start);
  checkWords(text);
  if (typed.start !== HELP.start) return;
  for (const line of text.split("\n")) ok(line.length <= 80, `${line.length} columns: ${line}`);
}

/** The variables that processes with `audit` have asked for, beside `CONNECTOR_*`, sorted. */
export async function auditedVariables(audit: string): Promise<string[]> {
  const names = new Set<string>();
  for await (const { name } of Deno.readDir(audit)) {
    const text = await Deno.readTextFile(path.join(audit, name));
    for (const [, variable = ""] of text.matchAll(/"permission":"env","value":"([^"]*)"/g)) {
      if (!variable.startsWith("CONNECTOR_")) names.add(variable);
    }
  }
  return [...names].sort();
}

/** The runtime's remarks, and traces of where something went wrong. */
function checkWords(text: string): void {
  doesNotMatch(text, /defect|NotCapable|Warning|experimental|^ +at .*:\d+:\d+/m);
}

/** What `connector run` says on a terminal about what to do next. */
const NEXT = /^(Running\. Peers dial |Expose a service: |See how it goes: )/;

function partition(lines: string[], is: (line: string) => boolean): [string[], string[]] {
  return [lines.filter(is), lines.filter((line) => !is(line))];
}

/** Two connectors, a service of each type between them, and their end: in plaintext or with certificates. */
export async function runTwoConnectors(
  situation: Situation,
  { secure }: { secure: boolean },
): Promise<void> {
  await using folder = await tempFolder();
  await Deno.chmod(folder.path, 0o700);
  const { root, leaf } = await makePki();
  const { flags } = await writeTls(folder.path, pemOf(root, leaf));
  await using service = serveTcp(echo);
  using rest = new Rest(secure ? root.certificate : undefined);
  const run = (stateFile: string) =>
    start([
      ...["run", "--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0", "--drain-timeout=500ms"],
      `--state-file=${path.join(folder.path, stateFile)}`,
      ...(secure ? flags : []),
    ], situation);
  await using near = run("near.json");
  await using far = run("far.json");
  const [nearPorts, farPorts] = await Promise.all([near, far].map(portsOf));
  for (const type of ["local", "remote"]) {
    const port = freePort();
    await rest.expose(nearPorts?.http, {
      name: type,
      type,
      source_port: port,
      remote_connector_addr: `127.0.0.1:${farPorts?.grpc}`,
      destination_addr: `127.0.0.1:${service.port}`,
    });
    await roundTrip(port);
  }
  const url = `${secure ? "https" : "http"}://127.0.0.1:${nearPorts?.http}`;
  const rootFlag = secure ? [`--root-cert-path=${path.join(folder.path, "root.cert")}`] : [];
  await using health = start(["health", `--url=${url}`, ...rootFlag], situation);
  strictEqual((await health.exited).code, 0, health.printed());
  strictEqual(health.printed(), "healthy\n");
  for (const each of [far, near]) {
    each.interrupt();
    strictEqual((await each.exited).code, 0, each.printed());
    const printed = each.printed().replaceAll("^C", "");
    const { env, terminal } = situation;
    strictEqual(printed.includes("\x1b"), terminal && wantsColor(env, terminal), printed);
    const text = stripVTControlCharacters(printed);
    checkWords(text);
    const [next, log] = partition(text.split("\n").filter(Boolean), (line) => NEXT.test(line));
    strictEqual(next.length, terminal ? 3 : 0, text);
    for (const line of log) match(line, OUR_LINE);
    strictEqual(each.stream("stdout"), "");
  }
}

/** The REST API of connectors on this machine. */
class Rest {
  readonly #root: string | undefined;
  readonly #clients: RestClient[] = [];

  constructor(root: string | undefined) {
    this.#root = root;
  }

  async expose(port: string | undefined, body: Record<string, unknown>): Promise<void> {
    const host = `127.0.0.1:${port}`;
    const client = this.#root === undefined
      ? new RestClient(`http://${host}`)
      : new RestClient(`https://${host}`, Deno.createHttpClient({ caCerts: [this.#root] }));
    this.#clients.push(client);
    const { status, body: id } = await client.request("POST", "/expose", { body });
    strictEqual(status, 200, id);
    await until(async () => await client.statusOf(id) === "COMPLETE", "the service is complete");
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client[Symbol.dispose]();
  }
}

async function portsOf(running: Running): Promise<{ grpc: string; http: string }> {
  const line = /connector started.* grpc=\S*:(\d+) http=\S*:(\d+)/;
  await running.waitFor(line);
  const [, grpc = "", http = ""] = line.exec(running.printed()) ?? [];
  return { grpc, http };
}

/** A command that runs, wherever it prints to. */
interface Running extends AsyncDisposable {
  exited: Promise<Exit>;
  waitFor(pattern: RegExp): Promise<unknown>;
  /** Ctrl-C, or SIGINT. */
  interrupt(): void;
  /** All that it printed. */
  printed(): string;
  /** What it printed there; on a terminal that cannot be told. */
  stream(name: "stdout" | "stderr"): string;
}

function start(args: string[], situation: Situation): Running {
  const { terminal, cwd, prefix = [], audit } = situation;
  const env = {
    ...situation.env,
    ...(audit && { DENO_AUDIT_PERMISSIONS: path.join(audit, `${crypto.randomUUID()}.jsonl`) }),
  };
  const { command, options } = commandLine(args, { env, clearEnv: true, ...(cwd && { cwd }) });
  const [first = command, ...rest] = [...prefix, command, ...options.args];
  const { stderrLine: _, ...kept } = options;
  const child: ChildOptions = { ...kept, args: rest };
  if (terminal) {
    const program = new TerminalProgram(first, child);
    return {
      exited: program.exited,
      waitFor: (pattern) => program.waitFor(pattern),
      interrupt: () => program.type("\x03"),
      printed: () => program.output,
      stream: () => "",
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    };
  }
  const program = new Child("/bin/sh", {
    ...child,
    args: ["-c", 'exec "$@" <&-', "sh", first, ...rest],
  });
  return {
    exited: program.exited,
    waitFor: (pattern) => program.waitFor(pattern),
    interrupt: () => program.kill("SIGINT"),
    printed: () => program.stdout + program.stderr,
    stream: (name) => program[name],
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}
