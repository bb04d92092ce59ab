// `connector run` on a terminal: it says what to do next, and its log has colour, unless the user wants none.

import { match, ok, strictEqual } from "node:assert/strict";
import { commandLine } from "../../support/processes.ts";
import { TerminalProgram } from "../../support/terminal.ts";

const FLAGS = ["run", "--grpc-bind=127.0.0.1:0", "--http-bind=127.0.0.1:0"];

async function output(args: string[], env: Record<string, string> = {}): Promise<string> {
  const { command, options } = commandLine([...FLAGS, ...args], { env: { TERM: "xterm", ...env } });
  await using terminal = new TerminalProgram(command, options);
  await terminal.waitFor(args.includes("--log-format=json") ? /connector started/ : /--watch/);
  terminal.type("\u0003");
  strictEqual((await terminal.exited).code, 0);
  return terminal.output;
}

/** With a plain character in the place of each escape. */
function shownEscapes(text: string): string {
  return text.replaceAll("\u001b[", "<");
}

if (Deno.build.os === "linux") {
  Deno.test("on a terminal run says in three lines what to do next, behind a log with coloured levels", async () => {
    const text = shownEscapes(await output([]));
    match(text, /^\S+Z <32mINFO <0m connector started .*\n/);
    match(
      text,
      /\n<1mRunning\.<0m .*\n<1mExpose<0m a service: connector expose /,
    );
    match(text, /\n<1mSee<0m how it goes: connector status --watch --api=http:/);
    match(text, /INFO <0m connector stopped/);
  });

  Deno.test("with NO_COLOR the same has no colour", async () => {
    const text = await output([], { NO_COLOR: "1" });
    ok(!text.includes("\u001b"), text);
    match(text, /^\S+Z INFO {2}connector started .*\nRunning\. .*\nExpose .*\nSee .*\n/);
  });

  Deno.test("a log in JSON is for programs: nothing else is said", async () => {
    const text = (await output(["--log-format=json"])).replace("^C", "");
    for (const line of text.trim().split("\n")) ok(JSON.parse(line).message, line);
  });
}
