// Reads PEM files, and writes a set of them as one act: all of them or none, never over an existing file
// unless told to. The only file of certs/ that touches the file system.

import { dirname, join } from "node:path";
import { ConnectorError } from "../../model/errors.ts";
import { type OpenFile, readSmallFile } from "../../file_access.ts";
import type { PemText } from "../reader/certificate.ts";

/** A file to be written. */
export interface PemFile {
  /** File name without a folder, such as `root.key`. */
  name: string;
  pem: string;
  /** A secret may be read by its owner only. */
  secret: boolean;
}

/** The largest PEM file that is read, in bytes: a hundred certificates fit several times. */
const MAX_PEM_BYTES = 1024 * 1024;
const SECRET_MODE = 0o600;
const PUBLIC_MODE = 0o644;
const FOLDER_MODE = 0o700;

/** A PEM file that was read. */
export interface PemFileText extends PemText {
  /** What others may do with it that they should not. */
  access: OpenFile[];
}

/** How to read a PEM file. */
export interface ReadOptions {
  /** It is a key, which nobody else should read. */
  secret?: boolean;
  /** In milliseconds. Default: 5 s. */
  timeoutMs?: number;
}

/**
 * Reads a PEM file whole. `what` opens its label, as in `root certificate "certs/root.cert"`.
 *
 * @throws {ConnectorError} with the platform's code when it cannot be read; `invalid_argument` when it is
 *   larger than 1 MiB; `deadline_exceeded` when it is a pipe or a device that does not come to an end.
 */
export async function readPemFile(
  path: string,
  what: string,
  { secret = false, timeoutMs }: ReadOptions = {},
): Promise<PemFileText> {
  const label = `${what} "${path}"`;
  const { text: pem, access } = await readSmallFile(path, {
    label,
    maxBytes: MAX_PEM_BYTES,
    wanted: "a PEM file",
    // A file of certificates may have the key in it as well.
    secret: (text) => secret || text.includes("PRIVATE KEY-----"),
    ...(timeoutMs !== undefined && { timeoutMs }),
  });
  return { label, pem, access };
}

/**
 * Writes the files into the folder, which is made if it is missing. Either every
 * file is there at the end, whole, or none of them is new; secrets never have a moment of a looser mode.
 *
 * @throws {ConnectorError} `already_exists` when a file is there and `force` is not set, otherwise with the
 *   platform's code.
 */
export async function writePemFiles(
  files: readonly PemFile[],
  options: { folder: string; force?: boolean },
): Promise<void> {
  const { folder, force = false } = options;
  const entries = files.map((file) => ({ file, path: join(folder, file.name) }));
  await makeFolder(folder);
  const existing = await whichExist(entries.map(({ path }) => path));
  if (existing.length > 0 && !force) throw alreadyExists(existing);

  // Undone in reverse order when anything fails; dropped when all has gone well.
  await using undo = new AsyncDisposableStack();
  const replaced: string[] = [];
  const staged: { from: string; to: string }[] = [];
  for (const { file, path } of entries) {
    const from = hiddenName(path, "new");
    undo.defer(() => removeIfThere(from));
    await create(from, { file, shown: path });
    staged.push({ from, to: path });
  }
  for (const path of existing) {
    const aside = hiddenName(path, "old");
    await act(path, () => Deno.rename(path, aside));
    undo.defer(() => Deno.rename(aside, path));
    replaced.push(aside);
  }
  // An empty file holds each name, because a rename alone would silently replace what appeared meanwhile.
  for (const { file, path } of entries) {
    await create(path, { file: { ...file, pem: "" }, shown: path });
    undo.defer(() => removeIfThere(path));
  }
  for (const { from, to } of staged) await act(to, () => Deno.rename(from, to));

  undo.move();
  for (const path of replaced) await removeIfThere(path);
}

/** Writes `<name>.cert` and `<name>.key`, as `writePemFiles` does, and returns their paths. */
export async function writeIssued(
  { certificate, privateKey }: { certificate: string; privateKey: string },
  options: { name: string; folder: string; force?: boolean },
): Promise<{ certificate: string; privateKey: string }> {
  const { name, ...rest } = options;
  const files = {
    certificate: { name: `${name}.cert`, pem: certificate, secret: false },
    privateKey: { name: `${name}.key`, pem: privateKey, secret: true },
  };
  await writePemFiles([files.certificate, files.privateKey], rest);
  return {
    certificate: join(options.folder, files.certificate.name),
    privateKey: join(options.folder, files.privateKey.name),
  };
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
      throw new ConnectorError(
        "invalid_argument",
        `Cannot write into "${folder}": it is not a folder`,
        { cause: error },
      );
    }
    throw ConnectorError.from(error, `Cannot make the folder "${folder}"`);
  }
}

async function whichExist(paths: readonly string[]): Promise<string[]> {
  const existing: string[] = [];
  for (const path of paths) {
    const info = await act(path, () => infoOf(path));
    if (info === undefined) continue;
    if (info.isDirectory) {
      throw new ConnectorError("invalid_argument", `Cannot write "${path}": it is a directory`);
    }
    existing.push(path);
  }
  return existing;
}

async function infoOf(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    // Not stat: a link that leads nowhere is in the way too.
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Creates the file exclusively and waits until it is on disk. `shown` is the path that an error names. */
async function create(
  path: string,
  { file, shown }: { file: PemFile; shown: string },
): Promise<void> {
  const mode = file.secret ? SECRET_MODE : PUBLIC_MODE;
  try {
    using handle = await Deno.open(path, { write: true, createNew: true, mode });
    let rest = new TextEncoder().encode(file.pem);
    while (rest.length > 0) rest = rest.subarray(await handle.write(rest));
    await handle.sync();
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw alreadyExists([shown]);
    throw ConnectorError.from(error, `Cannot write "${shown}"`);
  }
}

async function act<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw ConnectorError.from(error, `Cannot write "${path}"`);
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** A name in the same folder that nobody else uses, so that a rename stays within one file system. */
function hiddenName(path: string, suffix: string): string {
  return join(dirname(path), `.${crypto.randomUUID()}.${suffix}`);
}

function alreadyExists(paths: readonly string[]): ConnectorError {
  const list = paths.map((path) => `"${path}"`).join(" and ");
  const verb = paths.length === 1 ? "it exists" : "they exist";
  return new ConnectorError("already_exists", `Cannot write ${list}: ${verb} already`, {
    hint: "Give --force to replace what is there, or another output location",
  });
}
