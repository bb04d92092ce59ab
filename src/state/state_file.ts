// The file in which exposed services survive the process. It belongs to one connector at a time, is replaced whole and
// only when the new one is on disk, and is left untouched when it is not one of ours.

import { basename, dirname, join } from "node:path";
import { ConnectorError } from "../errors.ts";
import { type OpenFile, openToOthers } from "../file_access.ts";
import { InstanceSecret } from "../instance_secret.ts";
import type { Service } from "../service.ts";
import { formatState, type KeptState, parseState } from "./services_document.ts";

/** The largest file that is read, in bytes: ten thousand services of the longest names and addresses fit. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** It says what is reachable where, and holds the secret that proves whose it is: for its owner only. */
const MODE = 0o600;

/** A state file that is ours until it is disposed. */
export class StateFile implements Disposable {
  /** What it said when it was opened. */
  readonly services: readonly Service[];
  /** What proves to peers that the services are ours: the same after every start. */
  readonly instance: InstanceSecret;
  /** What others could do with it when it was opened; it is closed to them now, if it is ours. */
  readonly access: readonly OpenFile[];
  readonly #path: string;
  readonly #lock: Deno.FsFile;
  #next: { services: readonly Service[]; written: PromiseWithResolvers<void> } | undefined;
  #writing = false;

  private constructor(
    path: string,
    { lock, services, instance, access }: Required<KeptState> & {
      lock: Deno.FsFile;
      access: OpenFile[];
    },
  ) {
    this.#path = path;
    this.access = access;
    this.#lock = lock;
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
    const path = await followLink(given, label);
    const lock = await lockFor(path, label);
    try {
      const text = await readIfThere(path, label);
      const { services, instance } = text === undefined ? { services: [] } : parse(text, label);
      const access = text === undefined ? [] : await closeToOthers(path, label);
      const file = new StateFile(path, { lock, services, instance, access });
      // Whether it can be written shows now, not when somebody exposes the first service. A file of version 0.1.0 gets its
      // secret.
      if (instance === undefined) await file.save(services);
      return file;
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /**
   * Replaces what is kept. Resolves when it is on disk, this or something newer.
   *
   * @throws {ConnectorError} when it cannot be written; what was there before is there still.
   */
  save(services: readonly Service[]): Promise<void> {
    if (this.#next) this.#next.services = services;
    else this.#next = { services, written: Promise.withResolvers() };
    const { written } = this.#next;
    this.#writeNext();
    return written.promise;
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }

  async #writeNext(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    for (let next = this.#next; next !== undefined; next = this.#next) {
      this.#next = undefined;
      try {
        const { instance } = this;
        await replaceFile(this.#path, formatState({ instance, services: next.services }));
        next.written.resolve();
      } catch (error) {
        const action = `Cannot write state file "${this.#path}"`;
        next.written.reject(ConnectorError.from(error, action));
      }
    }
    this.#writing = false;
  }
}

/** A link leads to the file that is replaced, rather than being replaced itself. */
async function followLink(path: string, label: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      throw ConnectorError.from(error, `Cannot read ${label}`);
    }
  }
  try {
    return join(await Deno.realPath(dirname(path)), basename(path));
  } catch (error) {
    throw ConnectorError.from(error, `Cannot make ${label}: its folder`);
  }
}

/** The lock is a file of its own, because the state file is replaced at each write; the system frees it with the process. */
async function lockFor(path: string, label: string): Promise<Deno.FsFile> {
  let lock: Deno.FsFile;
  try {
    // To open a pipe would mean to wait for whoever reads it.
    const there = await Deno.stat(`${path}.lock`).catch(() => undefined);
    if (there && !there.isFile) {
      throw new ConnectorError("invalid_argument", `"${path}.lock" is not a file`);
    }
    lock = await Deno.open(`${path}.lock`, { write: true, create: true, mode: MODE });
  } catch (error) {
    throw ConnectorError.from(error, `Cannot lock ${label}`);
  }
  if (await lock.tryLock(true)) return lock;
  lock.close();
  throw new ConnectorError(
    "already_exists",
    `Cannot use ${label}: another connector uses it`,
    { hint: "Give each connector a --state-file of its own" },
  );
}

/** Says what others could do with the file and its folder, and takes it from them where the file is ours. */
async function closeToOthers(path: string, label: string): Promise<OpenFile[]> {
  const { mode } = await Deno.stat(path);
  const found = await openToOthers(path, { label, mode, secret: true });
  if (mode === null || (mode & 0o077) === 0) return found;
  try {
    await Deno.chmod(path, MODE);
  } catch (error) {
    // The next write replaces it by one that is ours.
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
  }
  return found;
}

async function readIfThere(path: string, label: string): Promise<string | undefined> {
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile) throw new ConnectorError("invalid_argument", "it is not a file");
    if (size > MAX_FILE_BYTES) {
      throw new ConnectorError("invalid_argument", `it is larger than ${MAX_FILE_BYTES} bytes`);
    }
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw ConnectorError.from(error, `Cannot read ${label}`);
  }
}

function parse(text: string, label: string): KeptState {
  try {
    return parseState(text);
  } catch (error) {
    const { code, message } = ConnectorError.from(error, `Cannot use ${label}`);
    throw new ConnectorError(code, message, {
      cause: error,
      hint: "It was left as it is: mend it, move it away, or name another file",
    });
  }
}

/** The new text stands beside the old until it is on disk; then it takes its place in one step. */
async function replaceFile(path: string, text: string): Promise<void> {
  const beside = `${path}.new`;
  await removeIfThere(beside);
  {
    using file = await Deno.open(beside, { write: true, createNew: true, mode: MODE });
    let rest = new TextEncoder().encode(text);
    while (rest.length > 0) rest = rest.subarray(await file.write(rest));
    await file.sync();
  }
  await Deno.rename(beside, path);
  // The name is on disk only when its folder is; Windows cannot open one.
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(dirname(path));
  await folder.sync();
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
