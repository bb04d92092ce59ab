// The commands that the documentation tells users to type, taken from it word for word, so that tests run exactly
// those. Blocks marked `shell` are for tests; what is only shown is marked otherwise. Ports are exchanged, since
// those in the text may be taken here; `connector` is started from source; everything runs in a folder of its own.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import * as path from "node:path";
import { text } from "node:stream/consumers";
import { Child, type ChildOptions } from "./child.ts";
import { httpsRequest } from "./mtls.ts";
import { OUR_LINE, ROOT } from "./processes.ts";
import { freePort } from "./world.ts";

/**
 * The commands under a heading, in order: those in blocks of `shell`, or of another language, continued lines joined as a
 * shell would.
 */
export async function readCommands(
  file: string,
  heading: string,
  { language = "shell" }: { language?: string } = {},
): Promise<string[]> {
  const section = await readSection(file, heading);
  return blocksOf(section, language).flatMap((block) => splitCommands(block));
}

/** The text under a heading, up to the next one of its level. */
export async function readSection(file: string, heading: string): Promise<string> {
  const page = await Deno.readTextFile(path.join(ROOT, file));
  const start = page.search(new RegExp(`^#+ ${heading.replaceAll(/[()`]/g, "\\$&")}$`, "m"));
  if (start < 0) throw new Error(`${file} has no section "${heading}"`);
  const level = /^#+/.exec(page.slice(start))?.[0] ?? "";
  const body = page.slice(start + level.length);
  // A comment of a block looks like a heading: blocks are blanked out, so that places stay.
  const prose = body.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, (block) => " ".repeat(block.length));
  const end = prose.search(new RegExp(`^#{1,${level.length}} `, "m"));
  return end < 0 ? body : body.slice(0, end);
}

/** The blocks of a language in a text. Those in a list are indented, and are returned without that. */
export function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^\\1\`\`\`$`, "gm"))]
    .map(([, indent = "", block = ""]) => block.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}

/** What a terminal shows in blocks of `console`: each command, and what it prints. */
export function dialoguesOf(text: string): { command: string; output: string }[] {
  return blocksOf(text, "console").flatMap((block) =>
    block.split(/^\$ /m).slice(1).map((each) => {
      const [command = ""] = splitCommands(each);
      return { command, output: each.slice(command.length + 1) };
    })
  );
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
 * Runs one command of the text without a shell: `mkdir`, `cat … > file`, `echo` and `printf` to a file, `curl -k`, `curl`
 * over a Unix socket and `connector`, as far as the text uses them. Resolves with what it prints; fails when it fails.
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
    case "echo":
    case "printf": {
      const [words = "", arrow, target] = args;
      strictEqual(arrow, ">", command);
      const written = program === "echo" ? `${words}\n` : words.replaceAll("\\n", "\n");
      await Deno.writeTextFile(inFolder(target), written);
      return "";
    }
    case "connector": {
      await using child = startConnectorIn(folder, args);
      const { code } = await child.exited;
      if (code !== 0) throw child.failure(`ended with code ${code}`);
      return child.stdout;
    }
    case "curl":
      return args[1] === "--unix-socket" ? await curlOverSocket(folder, args) : await curl(args);
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

/** `curl -sS --unix-socket PATH URL [-d BODY]`. */
async function curlOverSocket(folder: string, args: string[]): Promise<string> {
  const [silent, socket, file = "", url = "", data, body, ...more] = args;
  deepStrictEqual([silent, socket, ...more], ["-sS", "--unix-socket"], args.join(" "));
  const { pathname, search, host } = new URL(url);
  const request = http.request({
    socketPath: path.resolve(folder, file),
    path: `${pathname}${search}`,
    method: data === undefined ? "GET" : "POST",
    headers: { host },
    agent: false,
  });
  request.end(body);
  // The event has this one argument.
  const [response] = await once(request, "response") as [http.IncomingMessage];
  return await text(response);
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
