// The worked examples of docs/security.md, as the page has them: their policies, and what is typed and printed.

import { ok } from "node:assert/strict";
import { blocksOf, dialoguesOf, readCommands, readSection } from "./readme_commands.ts";

/** Their headings. */
export const EXAMPLES = ["A laptop team", "A shared cluster gateway", "One service only"] as const;
/** One of them. */
export type ExampleName = typeof EXAMPLES[number];

/** An example. */
export interface SecurityExample {
  /** Policies, by the name of the file: the first line of each says it. */
  policies: { name: string; text: string }[];
  /** What a terminal shows. */
  dialogues: { command: string; output: string }[];
  /** What is typed, in order. */
  commands: string[];
  section: string;
}

/** Reads an example. */
export async function readExample(heading: ExampleName): Promise<SecurityExample> {
  const section = await readSection("docs/security.md", heading);
  const policies = blocksOf(section, "yaml").map((text) => {
    const name = /^# (\S+\.yaml)\n/.exec(text)?.[1];
    ok(name, `a policy of "${heading}" does not begin with its name`);
    return { name, text };
  });
  ok(policies.length > 0, `"${heading}" has no policy`);
  const commands = await readCommands("docs/security.md", heading);
  return { policies, dialogues: dialoguesOf(section), commands, section };
}
