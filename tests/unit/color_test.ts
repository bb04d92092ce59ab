// When help and errors have colour: what the environment asks for, and whether a terminal is there.

import { strictEqual } from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { paint, wantsColor } from "../../src/cli/color.ts";

/** Variables, and whether there is colour on a terminal and on a pipe. */
const CASES: [env: Record<string, string>, terminal: boolean, pipe: boolean][] = [
  [{}, true, false],
  [{ TERM: "xterm-256color", COLORTERM: "truecolor" }, true, false],
  [{ CI: "true" }, true, false],
  // https://no-color.org: whatever it is, unless it is empty; it wins.
  [{ NO_COLOR: "1" }, false, false],
  [{ NO_COLOR: "0" }, false, false],
  [{ NO_COLOR: "" }, true, false],
  [{ NO_COLOR: "1", FORCE_COLOR: "1", CLICOLOR_FORCE: "1" }, false, false],
  // https://force-color.org, and what Node.js makes of "0".
  [{ FORCE_COLOR: "1" }, true, true],
  [{ FORCE_COLOR: "3" }, true, true],
  [{ FORCE_COLOR: "true", TERM: "dumb" }, true, true],
  [{ FORCE_COLOR: "" }, true, false],
  [{ FORCE_COLOR: "0" }, false, false],
  [{ FORCE_COLOR: "false", CLICOLOR_FORCE: "1" }, false, false],
  // https://bixense.com/clicolors
  [{ CLICOLOR: "0" }, false, false],
  [{ CLICOLOR: "1" }, true, false],
  [{ CLICOLOR: "0", CLICOLOR_FORCE: "1" }, true, true],
  [{ CLICOLOR_FORCE: "0" }, true, false],
  [{ TERM: "dumb" }, false, false],
];

for (const [env, terminal, pipe] of CASES) {
  Deno.test(`colour with ${JSON.stringify(env)}`, () => {
    strictEqual(wantsColor(env, true), terminal, "on a terminal");
    strictEqual(wantsColor(env, false), pipe, "on a pipe");
  });
}

Deno.test("a style adds nothing but colour, and ends", () => {
  const painted = paint("error", "error:");
  strictEqual(stripVTControlCharacters(painted), "error:");
  strictEqual(painted.endsWith("\x1b[0m"), true);
});
