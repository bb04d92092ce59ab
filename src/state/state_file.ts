// The file in which exposed services survive the process. It belongs to one connector at a time, is replaced whole and
// only when the new one is on disk, and is left untouched when it is not one of ours. One that cannot be exchanged, as a
// mount point, is written in place (in_place.ts).

import { basename, dirname, join, resolve } from "node:path";
import { delay } from "../delay.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";
import { type OpenFile, openToOthers } from "../file_access.ts";
import { InstanceSecret } from "../instance_secret.ts";
import type { Service } from "../model/service.ts";
import { contentOf, overwrite } from "./in_place.ts";
import { formatState, type KeptState, parseState } from "./services_document.ts";

/** The largest file that is read, in bytes: ten thousand services of the longest names and addresses fit. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** So many times that one may be large which is written in place: content, a gap of as much, and content once more. */
const IN_PLACE_FACTOR = 3;
/** The most links that are followed one after another: as many as Linux does. */
const MAX_LINKS = 40;
/** Whether the file has a lock itself: Windows would let nobody read it. */
const LOCKED_ITSELF = Deno.build.os !== "windows";
/** It says what is reachable where, and holds the secret that proves whose it is: for its owner only. */
const MODE = 0o600;

/** A state file that is ours until it is closed. Disposing closes it. */
export class StateFile implements AsyncDisposable {
  /** What it said when it was opened. */
  readonly services: readonly Service[];
  /** What proves to peers that the services are ours: the same after every start. */
  readonly instance: InstanceSecret;
  /** What others could do with it when it was opened; it is closed to them now, if it is ours. */
  readonly access: readonly OpenFile[];
  readonly #path: string;
  readonly #locks: Locks;
  /** It cannot be exchanged for a new one, or must not: no lock stands beside it. */
  #inPlace: boolean;
  /** Ends with the last write that was asked for. Never rejects. */
  #lastWrite: Promise<void> = Promise.resolve();

  private constructor(
    path: string,
    { locks, services, instance, access }: Required<KeptState> & {
      locks: Locks;
      access: OpenFile[];
    },
  ) {
    this.#path = path;
    this.access = access;
    this.#locks = locks;
    this.#inPlace = locks.beside === undefined;
    this.services = services;
    this.instance = instance ?? InstanceSecret.random();
  }

  /**
   * Opens a state file; one that is missing is made.
   *
   * @throws {ConnectorError} when it cannot be read or written, another connector uses it, or it is not a state file.
   */
  static async open(given: string): Promise<StateFile> {
    const label = `state file "${given}"`;
    const path = await followLinks(given, label);
    const there = await isThere(path, label);
    using stack = new DisposableStack();
    const locks = stack.use(await lock(path, { label, there }));
    const text = there ? await read(path, label) : undefined;
    const { services, instance } = text === undefined ? { services: [] } : parse(text, label);
    const access = text === undefined ? [] : await closeToOthers(path, label);
    const file = new StateFile(path, { locks, services, instance, access });
    // Whether it can be written shows now, not when somebody exposes the first service. A file of version 0.1.0 gets its
    // secret.
    if (instance === undefined || !locks.writable) await file.save(services);
    // The locks are the file's from now on.
    stack.move();
    return file;
  }

  /**
   * Replaces what is kept, once what was asked for before is written. Resolves when it is on disk.
   *
   * @throws {ConnectorError} when it cannot be written; what was there before is there still.
   */
  save(services: readonly Service[]): Promise<void> {
    const written = this.#lastWrite.then(() => this.#write(services));
    this.#lastWrite = written.catch(() => {});
    return written;
  }

  /**
   * Waits for what is being written, and for what whoever waited for that saves next; then leaves the file to others. Nothing
   * may be saved after that. Never rejects.
   */
  async close(): Promise<void> {
    let last: Promise<void>;
    do {
      last = this.#lastWrite;
      await last;
      // Whoever waited for it saves again within this turn of the event loop, if at all.
      await delay(0);
    } while (last !== this.#lastWrite);
    this.#locks[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #write(services: readonly Service[]): Promise<void> {
    try {
      await this.#replace(services);
    } catch (error) {
      const message = `Cannot write state file "${this.#path}": ${reasonOf(error)}`;
      // Whatever it is, it is no fault of who has asked.
      throw new ConnectorError("internal", message, { cause: error, told: true });
    }
  }

  async #replace(services: readonly Service[]): Promise<void> {
    const { instance } = this;
    const content = new TextEncoder().encode(formatState({ instance, services }));
    let reason: unknown;
    if (!this.#inPlace) {
      try {
        return await exchangeFile(this.#path, {
          content,
          onExchanged: (file) => this.#locks.keep(file),
        });
      } catch (error) {
        // Nothing can take the place of a mount point, nor of what is in a folder that is closed to us.
        if (!["EBUSY", "EXDEV", "EACCES", "EPERM", "EROFS"].includes(codeOf(error))) throw error;
        reason = error;
      }
    }
    using file = await Deno.open(this.#path, { read: true, write: true }).catch((error) => {
      // There is nothing to write over: why there can be nothing new says more.
      throw error instanceof Deno.errors.NotFound ? reason ?? error : error;
    });
    await overwrite(file, content);
    this.#inPlace = true;
  }
}

const WRITABLE_FOLDER = "Name a file in a folder that the connector's user may write to";

/** Locks that are held until they are disposed. */
interface Locks extends Disposable {
  /** The lock of a file that is exchanged; undefined where its folder is closed to us. */
  beside: Deno.FsFile | undefined;
  /** Whether the file can be written as it is; true also when it is not there. */
  writable: boolean;
  /** Holds the lock of the file that has taken the place of the one whose lock was held. */
  keep(file: Deno.FsFile): void;
}

/** A link leads to the file that is replaced, rather than being replaced itself, and whether or not that is there. */
async function followLinks(given: string, label: string): Promise<string> {
  let path = resolve(given);
  for (let left = MAX_LINKS; left > 0; left -= 1) {
    try {
      return await Deno.realPath(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        throw ConnectorError.from(error, `Cannot read ${label}`);
      }
    }
    try {
      path = join(await Deno.realPath(dirname(path)), basename(path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        throw new ConnectorError("not_found", `Cannot make ${label}: its folder does not exist`, {
          hint: `Make "${dirname(path)}"`,
          cause: error,
        });
      }
      throw ConnectorError.from(error, `Cannot make ${label}: its folder`);
    }
    const target = await linkTarget(path);
    if (target === undefined) return path;
    path = resolve(dirname(path), target);
  }
  throw new ConnectorError(
    "invalid_argument",
    `Cannot read ${label}: its symbolic links form a loop`,
  );
}

/** Where a link leads; undefined when it is none. */
async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await Deno.readLink(path);
  } catch {
    return undefined;
  }
}

/** Whether there is a file. */
async function isThere(path: string, label: string): Promise<boolean> {
  try {
    const { isFile, isDirectory } = await Deno.stat(path);
    if (isFile) return true;
    throw new ConnectorError("invalid_argument", "it is not a file", {
      ...(isDirectory && {
        hint:
          "Docker creates a folder if the file to be mounted does not exist: create the file first",
      }),
    });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw ConnectorError.from(error, `Cannot read ${label}`);
  }
}

/**
 * Locks the file itself, which counts while it is written in place, and whoever else has mounted it sees; and one of its own
 * beside it, because what is exchanged takes its lock away with it. The system frees both with the process.
 */
async function lock(
  path: string,
  { label, there }: { label: string; there: boolean },
): Promise<Locks> {
  const own = there && LOCKED_ITSELF ? await openToLock(path, label) : undefined;
  let file = own?.file;
  try {
    if (file) await take(file, label);
    const beside = await lockBeside(path, { label, needed: own?.writable !== true });
    return {
      beside,
      writable: own?.writable ?? true,
      keep(next) {
        file?.close();
        file = next;
      },
      [Symbol.dispose]() {
        file?.close();
        beside?.close();
      },
    };
  } catch (error) {
    file?.close();
    throw error;
  }
}

/** Opens the file, for writing if that may be. */
async function openToLock(
  path: string,
  label: string,
): Promise<{ file: Deno.FsFile; writable: boolean }> {
  try {
    return { file: await Deno.open(path, { read: true, write: true }), writable: true };
  } catch (error) {
    // A read-only file in a folder that is not can only be a mount; of another's file we make one of ours.
    if (codeOf(error) === "EROFS") {
      const { code, message } = ConnectorError.from(error, `Cannot write ${label}`);
      throw new ConnectorError(code, message, { cause: error, hint: WRITABLE_FOLDER });
    }
  }
  try {
    return { file: await Deno.open(path), writable: false };
  } catch (error) {
    throw ConnectorError.from(error, `Cannot read ${label}`);
  }
}

/** Takes the lock beside the file; undefined when there can be none, and none is needed. */
async function lockBeside(
  path: string,
  { label, needed }: { label: string; needed: boolean },
): Promise<Deno.FsFile | undefined> {
  let file: Deno.FsFile;
  try {
    // To open a pipe would mean to wait for whoever reads it.
    const there = await Deno.stat(`${path}.lock`).catch(() => undefined);
    if (there && !there.isFile) {
      throw new ConnectorError("invalid_argument", `"${path}.lock" is not a file`);
    }
    file = await Deno.open(`${path}.lock`, { write: true, create: true, mode: MODE });
  } catch (error) {
    if (!needed && !(error instanceof ConnectorError)) return undefined;
    const { code, message, hint } = ConnectorError.from(error, `Cannot lock ${label}`);
    throw new ConnectorError(code, message, {
      cause: error,
      hint: hint ??
        (code === "permission_denied" ? WRITABLE_FOLDER : "Name a file in another folder"),
    });
  }
  try {
    await take(file, label);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** @throws {ConnectorError} when somebody else has it. */
async function take(file: Deno.FsFile, label: string): Promise<void> {
  let taken: boolean;
  try {
    taken = await file.tryLock(true);
  } catch (error) {
    throw ConnectorError.from(error, `Cannot lock ${label}`);
  }
  if (taken) return;
  throw new ConnectorError(
    "already_exists",
    `Cannot use ${label}: another connector uses it`,
    { hint: "Give each connector a --state-file of its own" },
  );
}

/** Says what others could do with the file and its folder, and takes it from them where the file is ours. */
async function closeToOthers(path: string, label: string): Promise<OpenFile[]> {
  try {
    const { mode } = await Deno.stat(path);
    const found = await openToOthers(path, { label, mode, secret: true });
    if (mode === null || (mode & 0o077) === 0) return found;
    // It is another's, or of a file system without modes.
    await Deno.chmod(path, MODE).catch(() => {});
    return found;
  } catch (error) {
    throw ConnectorError.from(error, `Cannot look at ${label}`);
  }
}

async function read(path: string, label: string): Promise<string> {
  try {
    const { size } = await Deno.stat(path);
    const bytes = size > MAX_FILE_BYTES * IN_PLACE_FACTOR
      ? undefined
      : await contentOf(await Deno.readFile(path));
    if (bytes === undefined || bytes.length > MAX_FILE_BYTES) {
      throw new ConnectorError("invalid_argument", `it is larger than ${MAX_FILE_BYTES} bytes`);
    }
    return new TextDecoder().decode(bytes);
  } catch (error) {
    throw ConnectorError.from(error, `Cannot read ${label}`);
  }
}

function parse(text: string, label: string): KeptState {
  try {
    if (text === "") throw new ConnectorError("invalid_argument", "it is empty");
    return parseState(text);
  } catch (error) {
    const { code, message } = ConnectorError.from(error, `Cannot use ${label}`);
    const remedy = text === ""
      ? 'remove it, or write {"version":1,"services":[]} into it'
      : "repair it, move it away, or name another file";
    throw new ConnectorError(code, message, {
      cause: error,
      hint: `The file is unchanged: ${remedy}`,
    });
  }
}

/**
 * The new content stands beside the old until it is on disk; then it takes its place in one step. `onExchanged` is given the
 * file, locked, where it has a lock itself.
 */
async function exchangeFile(
  path: string,
  { content, onExchanged }: { content: Uint8Array; onExchanged: (file: Deno.FsFile) => void },
): Promise<void> {
  const beside = `${path}.new`;
  await removeIfThere(beside);
  let file: Deno.FsFile | undefined;
  try {
    file = await openNew(beside);
    let rest = content;
    while (rest.length > 0) rest = rest.subarray(await file.write(rest));
    await file.sync();
    if (LOCKED_ITSELF) await file.tryLock(true);
    else file.close();
    await Deno.rename(beside, path);
    if (LOCKED_ITSELF) onExchanged(file);
  } catch (error) {
    if (LOCKED_ITSELF) file?.close();
    // It takes up what is left of a disk that is full. That it cannot be removed is no news.
    await removeIfThere(beside).catch(() => {});
    throw error;
  }
  // The name is on disk only when its folder is; Windows cannot open one.
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(dirname(path));
  try {
    await folder.sync();
  } catch (error) {
    // So do SMB and some FUSE file systems answer, which have no such thing.
    if (codeOf(error) !== "EINVAL") throw error;
  }
}

async function openNew(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { write: true, createNew: true, mode: MODE });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConnectorError("not_found", `"${dirname(path)}" no longer exists`);
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The system's name of an error, such as `EBUSY`. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
