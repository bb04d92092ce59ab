// Lays out the help of every command: as wide as the terminal within bounds, terms on the left, their meaning on the
// right, and no line that a terminal of 80 columns would have to wrap.

import type { Help, HelpConfiguration } from "commander";
import { paint } from "./color.ts";

/** Columns of a line where no terminal says how many it has. */
const DEFAULT_WIDTH = 80;
/** The widest line: longer ones are hard to read. */
const MAX_WIDTH = 100;
/** The narrowest line: below it, there is no room for two columns. */
const MIN_WIDTH = 40;
/** The most columns for terms, and the most of the width: a longer term has its meaning below it. */
const MAX_TERM_WIDTH = 30;
const MAX_TERM_SHARE = 0.4;
/** Columns before a term, and between it and its meaning. */
const GAP = 2;

/** What stands above the examples of a command with options. */
const OPTIONS_NOTE = `
Every option can be given as a flag or as the environment variable beside it;
the flag wins.
`;

/** Columns of a line of help, for a terminal of so many columns, or for none. */
export function helpWidth(columns: number | undefined): number {
  // A terminal that was never told its size has none.
  return Math.max(MIN_WIDTH, Math.min(columns || DEFAULT_WIDTH, MAX_WIDTH));
}

/** Examples as they stand below the help, in lines of at most 80 columns. */
export function examples(text: string, { options = true } = {}): string {
  return `${options ? OPTIONS_NOTE : ""}\n${paint("title", "Examples:")}\n${text}`;
}

/** For `Command.configureHelp`. */
export const HELP_LAYOUT: HelpConfiguration = {
  // Narrower than what helpWidth leaves for meanings, so that all are wrapped.
  minWidthToWrap: 10,
  styleTitle: (title) => paint("title", title),
  padWidth: (command, helper) =>
    Math.min(
      MAX_TERM_WIDTH,
      Math.floor((helper.helpWidth ?? DEFAULT_WIDTH) * MAX_TERM_SHARE),
      Math.max(
        helper.longestOptionTermLength(command, helper),
        helper.longestSubcommandTermLength(command, helper),
        helper.longestArgumentTermLength(command, helper),
      ),
    ),
  formatItem,
};

function formatItem(term: string, termWidth: number, meaning: string, helper: Help): string {
  const indent = " ".repeat(GAP + termWidth + GAP);
  const width = (helper.helpWidth ?? DEFAULT_WIDTH) - indent.length;
  // `env: NAME` stays on one line: a control character stands for its space meanwhile.
  const glued = meaning.replaceAll(/\b(default|env): /g, "$1:\0");
  const lines = helper.boxWrap(glued, width).replaceAll("\0", " ").split("\n");
  const missing = termWidth - helper.displayWidth(term);
  const start = " ".repeat(GAP) + term;
  return missing < 0
    ? [start, ...lines.map((line) => indent + line)].join("\n")
    : start + " ".repeat(missing + GAP) + lines.join(`\n${indent}`);
}
