// What was meant by a flag, or by a key of the configuration file, that is mistyped. The parser knows how to guess; it is
// asked with nothing but names.

import { Command, CommanderError } from "commander";

/** The one of the known flags that looks most like this one, each with its hyphens; undefined if none does. */
export function closestFlag(written: string, known: readonly string[]): string | undefined {
  const names = new Command().helpOption(false).exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const each of known) names.option(each);
  try {
    names.parse([written], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return /\(Did you mean (?:one of )?(-[-\w]+)/.exec(error.message)?.[1];
  }
  return undefined;
}
