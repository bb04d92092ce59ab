// Reads small files that the program relies on (keys, certificates, tokens), and finds out who besides
// the owner may read or change such a file. Open access is not refused: whoever takes a file into use
// logs it.

import { dirname } from "node:path";
import type { Logger } from "@logtape/logtape";
import { ConnectorError } from "./model/errors.ts";

/** What to look for. */
export interface AccessRules {
  /** What messages call the file, such as `server key "certs/leaf.key"`. */
  label: string;
  /** Nobody else may read it either; the group may, as Kubernetes has it for a volume's `fsGroup`. */
  secret: boolean;
}

/** A file that is open to others. */
export interface OpenFile {
  /** Its label. */
  file: string;
  /** In octal, of the file or of its folder: `0644`. */
  mode: string;
  /** Who may do what, and what to do about it. */
  problem: string;
}

/** Logs what others may do with files that they should not. */
export function warnOfOpenFiles(logger: Pick<Logger, "warn">, files: readonly OpenFile[]): void {
  for (const file of files) logger.warn("file is open to others", { ...file });
}

const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;
const GROUP_WRITE = 0o020;
const STICKY = 0o1000;

/** How long reading may take, in milliseconds: a pipe may have nobody at its other end, or a terminal. */
const READ_TIMEOUT_MS = 5000;

/** A small file that was read. */
export interface SmallFile {
  bytes: Uint8Array<ArrayBuffer>;
  /** The same as UTF-8. */
  text: string;
  /** What others may do with it that they should not. */
  access: OpenFile[];
  /** Whether it can be read again: no pipe and no device. */
  isFile: boolean;
}

/** How to read a small file. */
export interface SmallFileRules {
  /** What messages call it, as `server key "certs/leaf.key"`. */
  label: string;
  maxBytes: number;
  /** What a larger one should have been, as "a PEM file". */
  wanted: string;
  /** Whether nobody else should read a file with this text. */
  secret: (text: string) => boolean;
  /** In milliseconds. Default: 5 s. */
  timeoutMs?: number;
}

/**
 * Reads a file whole.
 *
 * @throws {ConnectorError} with the platform's code when it cannot be read; `invalid_argument` when it is
 *   larger than `maxBytes`; `deadline_exceeded` when it is a pipe or a device that does not come to an end.
 */
export async function readSmallFile(path: string, rules: SmallFileRules): Promise<SmallFile> {
  const { label, timeoutMs = READ_TIMEOUT_MS } = rules;
  try {
    return await withDeadline(readBounded(path, rules), timeoutMs);
  } catch (error) {
    throw ConnectorError.from(error, `Cannot read ${label}`);
  }
}

/** Not readFile: a path may name a device or a pipe that never ends. */
async function readBounded(
  path: string,
  { label, maxBytes, wanted, secret }: SmallFileRules,
): Promise<SmallFile> {
  const buffer = new Uint8Array(maxBytes + 1);
  let length = 0;
  using file = await Deno.open(path);
  while (length < buffer.length) {
    const read = await file.read(buffer.subarray(length));
    if (read === null) break;
    length += read;
  }
  if (length > maxBytes) {
    throw new ConnectorError(
      "invalid_argument",
      `it is larger than ${maxBytes} bytes, want ${wanted}`,
    );
  }
  const { mode, isFile } = await file.stat();
  const bytes = buffer.slice(0, length);
  const text = new TextDecoder().decode(bytes);
  const access = { label, mode, secret: secret(text) };
  // A pipe of the shell's has no folder.
  return { bytes, text, access: isFile ? await openToOthers(path, access) : [], isFile };
}

/** The work itself cannot be stopped: the system waits for the program at the other end. */
async function withDeadline<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const seconds = timeoutMs / 1000;
    reject(
      new ConnectorError(
        "deadline_exceeded",
        `it did not come to an end in ${seconds} s, want a file`,
      ),
    );
  }, timeoutMs);
  // Once the deadline has passed nobody is left to hear of a failure.
  work.catch(() => {});
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Problems of an open file and of the folders that lead to it: the one given, and the one that a link leads to. */
export async function openToOthers(
  path: string,
  { mode, label, secret }: AccessRules & { mode: number | null },
): Promise<OpenFile[]> {
  // Windows has no modes.
  if (mode === null || Deno.build.os === "windows") return [];
  const problems: OpenFile[] = [];
  const who = [
    ...(secret && mode & OTHERS_READ ? ["others may read it"] : []),
    ...(mode & OTHERS_WRITE ? ["others may change it"] : []),
    ...(mode & GROUP_WRITE ? ["its group may change it"] : []),
  ];
  if (who.length > 0) {
    const wanted = secret ? "chmod 600" : "chmod go-w";
    problems.push({
      file: label,
      mode: octal(mode),
      problem: `${who.join(", ")}: ${wanted} "${path}"`,
    });
  }
  for (const [folder, mode] of await foldersOf(path)) {
    // In a sticky folder, as /tmp is one, nobody can exchange what is another's.
    if (mode === null || (mode & OTHERS_WRITE) === 0 || mode & STICKY) continue;
    problems.push({
      file: label,
      mode: octal(mode),
      problem: `others may exchange it: chmod o-w "${folder}"`,
    });
  }
  return problems;
}

/** With their modes. One that cannot be asked about, since it is closed to us, is left out. */
async function foldersOf(path: string): Promise<Map<string, number | null>> {
  const folders = new Map<string, number | null>();
  for (
    const find of [() => Deno.realPath(dirname(path)), () => Deno.realPath(path).then(dirname)]
  ) {
    try {
      const folder = await find();
      folders.set(folder, (await Deno.stat(folder)).mode);
    } catch (error) {
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    }
  }
  return folders;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
