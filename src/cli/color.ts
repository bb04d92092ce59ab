// Colour on the command line: whether a stream gets it, and what is coloured.

/** What is coloured, with its SGR parameters (ECMA-48): the sixteen colours that every terminal knows. */
const STYLES = {
  title: "1",
  error: "1;31",
  hint: "36",
  // Levels of the log, on a terminal.
  warn: "1;33",
  info: "32",
  debug: "2",
  trace: "2",
} as const;
export type Style = keyof typeof STYLES;

/**
 * Whether to colour what goes to a stream, by what the user's environment asks for: https://no-color.org first, then
 * https://force-color.org, then https://bixense.com/clicolors. Without a wish, only a terminal gets colour.
 */
export function wantsColor(
  env: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): boolean {
  if (env.NO_COLOR) return false;
  // Many programs take these two values for "no".
  if (env.FORCE_COLOR) return !/^(0|false)$/i.test(env.FORCE_COLOR);
  if (env.CLICOLOR_FORCE && env.CLICOLOR_FORCE !== "0") return true;
  return isTerminal && env.CLICOLOR !== "0" && env.TERM !== "dumb";
}

/** The text in a style. */
export function paint(style: Style, text: string): string {
  return `\x1b[${STYLES[style]}m${text}\x1b[0m`;
}
