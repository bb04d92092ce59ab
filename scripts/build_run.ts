// Runs the programs that a build needs. Used by build.ts and its parts.

import * as path from "node:path";
import { stripVTControlCharacters } from "node:util";

/** The project's root. */
export const ROOT = path.resolve(import.meta.dirname ?? ".", "..");

/** A program that ended with another code than 0. */
export class ProgramError extends Error {
  override readonly name = "ProgramError";
  /** What it said. */
  readonly output: string;

  constructor(message: string, output: string) {
    super(message);
    this.output = output;
  }
}

/** Runs a program to its end and resolves with its standard output. @throws {ProgramError} when it fails. */
export async function run(
  command: string,
  { args, env = {}, withoutEnv = [] }: {
    args: string[];
    /** Added to this process's environment. */
    env?: Record<string, string>;
    /** Variables of this process that the program must not see. */
    withoutEnv?: string[];
  },
): Promise<Uint8Array> {
  const inherited = Object.entries(Deno.env.toObject())
    .filter(([name]) => !withoutEnv.includes(name));
  const { success, code, stdout, stderr } = await new Deno.Command(command, {
    args,
    clearEnv: true,
    env: { ...Object.fromEntries(inherited), ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (success) return stdout;
  // Deno colours what it says, to a pipe too.
  const output = stripVTControlCharacters(decode(stderr) + decode(stdout));
  throw new ProgramError(
    `${path.basename(command)} ${args[0] ?? ""} ended with code ${code}: ${output}`,
    output,
  );
}

/** Removes a file, if it is there. */
export async function removeFile(file: string): Promise<void> {
  try {
    await Deno.remove(file);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

export function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
