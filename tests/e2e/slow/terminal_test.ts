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

if (Deno.build.os === "linux") {
  Deno.test("on a terminal run says in three lines what to do next, behind a log with coloured levels", async () => {
    const text = await output([]);
    match(text, /^\S+Z \x1b\[32mINFO \x1b\[0m connector started .*\n/);
    match(
      text,
      /\n\x1b\[1mRunning\.\x1b\[0m .*\n\x1b\[1mExpose\x1b\[0m a service: connector expose /,
    );
    match(text, /\n\x1b\[1mSee\x1b\[0m how it goes: connector status --watch --api=http:/);
    match(text, /INFO \x1b\[0m connector stopped/);
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
