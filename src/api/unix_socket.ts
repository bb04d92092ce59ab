// The Unix socket of the API. It is made where nobody else can reach it, and moved to its path once only its owner may
// open it. What is at that path already is replaced only if it is a stale socket of the same user. In the
// end the socket is removed, if it is still ours.

import { connect, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { Logger } from "@logtape/logtape";
import { openToOthers } from "../file_access.ts";
import { ConnectorError, reasonOf } from "../model/errors.ts";

/** Only its owner may connect, and the superuser. */
const SOCKET_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** The longest path that the system takes for a socket, in bytes: less on the BSDs and macOS. unix(7). */
const MAX_PATH_BYTES = Deno.build.os === "linux" ? 107 : 103;
/** How long whoever listens at a path may take to show it, in milliseconds: to connect takes no time. */
const PROBE_MS = 1000;
/** The socket's name until it is moved. */
const FIRST_NAME = "s";
const HINT = "Choose another path with --api-socket";

/**
 * Lets a server listen at a path. Disposing what it returns removes the socket; the server itself is the caller's to close.
 *
 * @throws {ConnectorError} naming the path; then nothing has changed there.
 */
export async function listenOnSocket(
  server: Server,
  path: string,
  { logger }: { logger: Logger },
): Promise<Disposable> {
  try {
    return await listenAt(server, path, logger);
  } catch (error) {
    const action = `Cannot serve the REST API on the Unix socket "${path}"`;
    const { code, message, cause } = ConnectorError.from(error, action);
    throw new ConnectorError(code, message, { cause, hint: HINT });
  }
}

async function listenAt(server: Server, path: string, logger: Logger): Promise<Disposable> {
  const folder = join(dirname(path), `.connector-${crypto.randomUUID().slice(0, 8)}`);
  const first = join(folder, FIRST_NAME);
  const length = Math.max(...[path, first].map((each) => new TextEncoder().encode(each).length));
  if (length > MAX_PATH_BYTES) {
    const most = MAX_PATH_BYTES - (length - new TextEncoder().encode(path).length);
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
    await refuseUnlessFree(path, own);
    await Deno.rename(first, path);
    const rules = { mode: SOCKET_MODE, label: `API socket "${path}"`, secret: true };
    for (const problem of await openToOthers(path, rules)) {
      logger.warn("file is open to others", { ...problem });
    }
    return { [Symbol.dispose]: () => remove(path, own, logger) };
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
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

/** Removes our socket. What has taken its place meanwhile is another's. */
function remove(path: string, own: Deno.FileInfo, logger: Logger): void {
  try {
    const { isSocket, dev, ino } = Deno.lstatSync(path);
    if (isSocket && dev === own.dev && ino === own.ino) Deno.removeSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    logger.warn("API socket not removed", { path, reason: reasonOf(error) });
  }
}
