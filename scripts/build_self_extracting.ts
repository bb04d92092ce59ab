// A self-extracting executable for Linux and macOS: a shell script that unpacks a Deno runtime and the program, which
// are appended to it, and becomes them. It stands in where `deno compile` finds no base runtime.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";

/** The script's length, in bytes: what is packed starts behind it. Twice what it needs. */
const HEAD_BYTES = 16 * 1024;

/** What such an executable is made of. */
export interface SelfExtractingParts {
  /** The text of self_extract.sh. */
  script: string;
  /** A Deno runtime for the platform that it is made for. */
  runtime: Uint8Array;
  /** The bundled program. */
  program: Uint8Array;
  /** Flags of `deno run`. */
  permissions: readonly string[];
  os: "linux" | "macos";
}

/** Puts the executable together; the same parts give the same bytes. */
export async function selfExtracting(parts: SelfExtractingParts): Promise<Uint8Array> {
  const pack = async (bytes: Uint8Array) =>
    new Uint8Array(await promisify(gzip)(bytes, { level: 9 }));
  const [runtime, program] = [await pack(parts.runtime), await pack(parts.program)];
  const values: Record<string, string | number> = {
    RUNTIME_SHA256: sha256(parts.runtime),
    RUNTIME_SIZE: parts.runtime.length,
    // `tail -c +N` counts from 1.
    RUNTIME_START: HEAD_BYTES + 1,
    RUNTIME_PACKED: runtime.length,
    PROGRAM_SHA256: sha256(parts.program),
    PROGRAM_SIZE: parts.program.length,
    PROGRAM_START: HEAD_BYTES + 1 + runtime.length,
    PROGRAM_PACKED: program.length,
    CACHE: parts.os === "macos" ? "Library/Caches" : ".cache",
    // The shell must not take the stars for files of the folder that it runs in.
    PERMISSIONS: parts.permissions.map((flag) => `'${flag}'`).join(" "),
  };
  const script = parts.script.replaceAll(/@([A-Z0-9_]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`self_extract.sh asks for ${name}, which is unknown`);
    return String(value);
  });
  const head = new Uint8Array(HEAD_BYTES).fill("\n".charCodeAt(0));
  const { read } = new TextEncoder().encodeInto(script, head);
  if (read < script.length) throw new Error(`self_extract.sh is longer than ${HEAD_BYTES} bytes`);
  return Buffer.concat([head, runtime, program]);
}

/** In hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
