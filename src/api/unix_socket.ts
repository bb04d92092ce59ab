// The Unix socket of the API. It is made where nobody else can reach it, and moved to its path once only its owner may
// open it. What is at that path already is replaced only if it is a stale socket of the same user. In the
// end the socket is removed, if it is still ours.

import { connect, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { Logger } from "@logtape/logtape";
import { delay } from "../delay.ts";
import { openToOthers, warnOfOpenFiles } from "../file_access.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";

/** Only its owner may connect, and the superuser. */
const SOCKET_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** The longest path that the system takes for a socket, in bytes: less on the BSDs and macOS. unix(7). */
const MAX_PATH_BYTES = Deno.build.os === "linux" ? 107 : 103;
/** How long whoever listens at a path may take to show it, in milliseconds: to connect takes no time. */
const PROBE_MS = 1000;
/** How often the server is tried, in milliseconds: to connect costs next to nothing. */
const LOOK_MS = 10_000;
/** The socket's name until it is moved. */
const FIRST_NAME = "s";
const REPLACED = "something else has taken its place";
const HINT = "Choose another path with --api-socket";

/** How it is served. */
export interface UnixSocketOptions {
  logger: Logger;
  /** How often the server is tried, in milliseconds. Default: `LOOK_MS`. */
  lookMs?: number;
}

/** A server that listens at a path. Disposing removes the socket; the server itself is the caller's to close. */
export class UnixSocket implements Disposable {
  readonly #server: Server;
  readonly #path: string;
  readonly #logger: Logger;
  #own: Deno.FileInfo;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #disposed = new AbortController();
  #accepted = 0;
  readonly #onConnection = () => this.#accepted += 1;

  private constructor(server: Server, { path, logger, own }: {
    path: string;
    logger: Logger;
    own: Deno.FileInfo;
  }) {
    this.#server = server;
    this.#path = path;
    this.#logger = logger;
    this.#own = own;
  }

  /** Lets a server listen at a path. @throws {ConnectorError} naming the path; then nothing has changed there. */
  static async open(
    server: Server,
    path: string,
    { logger, lookMs = LOOK_MS }: UnixSocketOptions,
  ): Promise<UnixSocket> {
    try {
      const own = await listenAt(server, path, refuseUnlessFree);
      const rules = { mode: SOCKET_MODE, label: `API socket "${path}"`, secret: true };
      warnOfOpenFiles(logger, await openToOthers(path, rules));
      const socket = new UnixSocket(server, { path, logger, own });
      server.on("connection", socket.#onConnection);
      socket.#keepAccepting(lookMs);
      return socket;
    } catch (error) {
      server.close();
      const action = `Cannot serve the REST API on the Unix socket "${path}"`;
      const { code, message, cause } = ConnectorError.from(error, action);
      throw new ConnectorError(code, message, { cause, hint: HINT });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#disposed.abort();
    this.#server.off("connection", this.#onConnection);
    // What has taken its place meanwhile is another's.
    if (this.#there() !== "ours") return;
    try {
      Deno.removeSync(this.#path);
    } catch (error) {
      this.#logger.warn("API socket not removed", { path: this.#path, reason: reasonOf(error) });
    }
  }

  /** What is at the path now. */
  #there(): "ours" | "nothing" | "another" {
    try {
      return isSame(Deno.lstatSync(this.#path), this.#own) ? "ours" : "another";
    } catch (error) {
      return error instanceof Deno.errors.NotFound ? "nothing" : "another";
    }
  }

  /**
   * When no file descriptor is left, the runtime gives up a listener without an error, as with TCP
   * (platform/stalled_accept.ts); but listening once more does not make this one go on (Deno 2.9.6). So it is tried
   * whether somebody who connects is let in, and if not the server listens anew, at the same path. So it does when
   * somebody has removed the socket, which may be the only way in.
   */
  #keepAccepting(lookMs: number): void {
    let looking = false;
    let problem: string | undefined;
    this.#timer = setInterval(async () => {
      if (looking) return;
      looking = true;
      const before = problem;
      problem = await this.#look().catch(reasonOf);
      looking = false;
      if (problem === undefined || problem === before || this.#disposed.signal.aborted) return;
      // It is tried again with the next look, and told once.
      this.#logger.warn("API socket cannot be reached", { path: this.#path, reason: problem });
    }, lookMs);
  }

  /** Opens it anew where it is necessary. Resolves with why that may not be. */
  async #look(): Promise<string | undefined> {
    const there = this.#there();
    if (there === "another") return REPLACED;
    if (there === "ours" && await this.#accepts()) return undefined;
    if (this.#disposed.signal.aborted) return undefined;
    this.#server.close();
    this.#own = await listenAt(this.#server, this.#path, (_path) => {
      if (this.#there() !== "another" && !this.#disposed.signal.aborted) return;
      this.#server.close();
      throw new ConnectorError("cancelled", REPLACED);
    });
    const reason = there === "ours" ? "it did not accept" : "it was removed";
    this.#logger.warn("API socket was opened anew", { path: this.#path, reason });
    return undefined;
  }

  async #accepts(): Promise<boolean> {
    const before = this.#accepted;
    const outcome = await probe(this.#path);
    if (outcome === "connected") await delay(PROBE_MS, { signal: this.#disposed.signal });
    // Nobody listens any more if it could not be opened anew the last time.
    else if (outcome !== "ECONNREFUSED") return true;
    return this.#accepted > before;
  }
}

/** Listens where nobody else can reach it, and moves the socket to its path. Resolves with what it is then. */
async function listenAt(
  server: Server,
  path: string,
  check: (path: string, own: Deno.FileInfo) => Promise<void> | void,
): Promise<Deno.FileInfo> {
  const folder = join(dirname(path), `.connector-${crypto.randomUUID().slice(0, 8)}`);
  const first = join(folder, FIRST_NAME);
  const length = Math.max(...[path, first].map(bytesOf));
  if (length > MAX_PATH_BYTES) {
    const most = MAX_PATH_BYTES - (length - bytesOf(path));
    throw new ConnectorError(
      "invalid_argument",
      `the path is too long for a socket, want at most ${most} bytes`,
    );
  }
  await Deno.mkdir(folder, { mode: FOLDER_MODE }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ConnectorError("not_found", "its folder does not exist", { cause: error });
  });
  try {
    await listen(server, first);
    await Deno.chmod(first, SOCKET_MODE);
    const own = await Deno.lstat(first);
    await check(path, own);
    await Deno.rename(first, path);
    return own;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function bytesOf(path: string): number {
  return new TextEncoder().encode(path).length;
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** @throws {ConnectorError} unless nothing is at the path, or a socket of our own user on which nobody listens. */
async function refuseUnlessFree(path: string, own: Deno.FileInfo): Promise<void> {
  const there = await lstatIfThere(path);
  if (there === undefined) return;
  const refuse = (problem: string) => new ConnectorError("already_exists", problem);
  if (!there.isSocket) throw refuse("something else is there, and is left as it is");
  if (there.uid !== own.uid) throw refuse("a socket of another user is there");
  const outcome = await probe(path);
  if (outcome === "ECONNREFUSED" || outcome === "ENOENT") return;
  throw refuse(
    outcome === "connected"
      ? "another program, perhaps another connector, serves it"
      : `whether another program serves it cannot be told: ${outcome}`,
  );
}

async function lstatIfThere(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Whether somebody listens: `connected`, or the system's code of why not. */
async function probe(path: string): Promise<string> {
  const socket = connect({ path });
  const timer = setTimeout(() => socket.destroy(new Error("it does not answer")), PROBE_MS);
  try {
    return await new Promise((resolve) => {
      socket.once("connect", () => resolve("connected"));
      socket.once(
        "error",
        (error) => resolve("code" in error ? String(error.code) : error.message),
      );
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

function isSame(there: Deno.FileInfo, own: Deno.FileInfo): boolean {
  return there.isSocket === true && there.dev === own.dev && there.ino === own.ino;
}
