// The commands that the documentation tells users to type, taken from it word for word, so that tests run exactly
// those. Blocks marked `shell` are for tests; what is only shown is marked otherwise. Ports are exchanged, since
// those in the text may be taken here; `connector` is started from source; everything runs in a folder of its own.

import { strictEqual } from "node:assert/strict";
import * as path from "node:path";
import { Child, type ChildOptions } from "./child.ts";
import { httpsRequest } from "./mtls.ts";
import { OUR_LINE, ROOT } from "./processes.ts";
import { freePort } from "./world.ts";

/** The commands under a heading, in order: those in blocks of `shell`, continued lines joined as a shell would. */
export async function readCommands(file: string, heading: string): Promise<string[]> {
  const text = await Deno.readTextFile(path.join(ROOT, file));
  const start = text.search(new RegExp(`^#+ ${heading.replaceAll(/[()`]/g, "\\$&")}$`, "m"));
  if (start < 0) throw new Error(`${file} has no section "${heading}"`);
  const level = /^#+/.exec(text.slice(start))?.[0] ?? "";
  const body = text.slice(start + level.length);
  const end = body.search(new RegExp(`^#{1,${level.length}} `, "m"));
  const section = end < 0 ? body : body.slice(0, end);
  return [...section.matchAll(/^```shell\n([\s\S]*?)^```$/gm)]
    .flatMap(([, block = ""]) => splitCommands(block));
}

/** The command with each of these ports, wherever it occurs as a whole number, exchanged. */
export function exchangePorts(command: string, ports: ReadonlyMap<number, number>): string {
  return command.replaceAll(/(?<!\d)\d{4,5}(?!\d)/g, (port) => {
    return `${ports.get(Number(port)) ?? port}`;
  });
}

/** A free port for each of the text's. */
export function freePorts(...ports: number[]): Map<number, number> {
  return new Map(ports.map((port) => [port, freePort()]));
}

/** The words of a command, as a shell would read them: quotes, and backslashes before line ends. */
export function wordsOf(command: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let rest = command; rest !== "";) {
    const [whole = "", single, double, bare] =
      /^(?:'([^']*)'|"([^"\\$`]*)"|\\\n|([^\s'"\\$`|&;()*?#<]+)|\s+)/.exec(rest) ?? [];
    if (whole === "") throw new Error(`Only a shell can read ${JSON.stringify(rest.slice(0, 40))}`);
    const part = single ?? double ?? bare;
    if (part !== undefined) word = (word ?? "") + part;
    else if (/^\s/.test(whole) && word !== undefined) {
      words.push(word);
      word = undefined;
    }
    rest = rest.slice(whole.length);
  }
  return word === undefined ? words : [...words, word];
}

/** Starts `connector` in a folder, as the text would have it: from source, or the executable under test. */
export function startConnectorIn(folder: string, args: string[]): Child {
  const executable = Deno.env.get("CONNECTOR_EXECUTABLE");
  const options: ChildOptions = { cwd: folder, stderrLine: OUR_LINE };
  if (executable) return new Child(executable, { ...options, args });
  const main = path.join(ROOT, "main.ts");
  return new Child(Deno.execPath(), { ...options, args: ["run", "--quiet", "-P", main, ...args] });
}

/**
 * Runs one command of the text without a shell: `mkdir`, `cat … > file`, `curl -k` and `connector`, as far as the
 * text uses them. Resolves with what it prints; fails when it fails.
 */
export async function runCommandIn(folder: string, command: string): Promise<string> {
  const [program, ...args] = wordsOf(command);
  const inFolder = (name = "") => path.resolve(folder, name);
  switch (program) {
    case "mkdir":
      await Deno.mkdir(inFolder(args[0]));
      return "";
    case "cat": {
      const [arrow, target] = args.slice(-2);
      strictEqual(arrow, ">", command);
      const texts = args.slice(0, -2).map((name) => Deno.readTextFileSync(inFolder(name)));
      await Deno.writeTextFile(inFolder(target), texts.join(""));
      return "";
    }
    case "connector": {
      await using child = startConnectorIn(folder, args);
      const { code } = await child.exited;
      if (code !== 0) throw child.failure(`ended with code ${code}`);
      return child.stdout;
    }
    case "curl":
      return await curl(args);
  }
  throw new Error(`The documentation uses ${program}, which tests cannot run`);
}

/** `curl -k URL [-d BODY]`. */
async function curl(args: string[]): Promise<string> {
  const [insecure, url = "", data, body, ...more] = args;
  strictEqual(insecure, "-k", args.join(" "));
  strictEqual(more.length, 0, args.join(" "));
  if (data === undefined) return (await httpsRequest(url)).body;
  strictEqual(data, "-d", args.join(" "));
  return (await httpsRequest(url, { body: body ?? "" })).body;
}

function splitCommands(block: string): string[] {
  const commands: string[] = [];
  let open = "";
  for (const line of block.split("\n")) {
    const command = open === "" ? line : `${open}\n${line}`;
    const quotes = command.replaceAll(/[^']/g, "").length;
    if (command.endsWith("\\") || quotes % 2 === 1) open = command;
    else {
      if (command.trim() !== "") commands.push(command);
      open = "";
    }
  }
  if (open !== "") throw new Error(`The command ${JSON.stringify(open)} does not end`);
  return commands;
}
