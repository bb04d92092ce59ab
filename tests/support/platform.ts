// Tests of the bare platform: each shows that what a workaround is for is still wrong, and fails once it is not, saying what
// can go. The workarounds are those of the table in docs/ARCHITECTURE.md, "Platform workarounds".

import { once } from "node:events";
import type { Http2Server } from "node:http2";
import type { AddressInfo, Server as TcpServer, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { runProgram } from "./child.ts";

/** A row of the table. */
export interface Workaround {
  name: string;
  /** Where it is, from the project's root. */
  file: string;
  /** Where it was reported: URLs, or that nothing was found. */
  upstream: string;
  /** The test file that shows that it is needed, from the project's root. */
  test: string;
}

const ROOT = new URL("../../", import.meta.url);
const DOCUMENT = "docs/ARCHITECTURE.md";
const HEADING = "## Platform workarounds";

/** All rows of the table. */
export function workarounds(): Workaround[] {
  const text = Deno.readTextFileSync(new URL(DOCUMENT, ROOT));
  const [, after = ""] = text.split(`\n${HEADING}\n`);
  const [section = ""] = after.split("\n## ");
  const rows = section.split("\n").filter((line) => line.startsWith("|")).slice(2);
  return rows.map((row) => {
    const [name = "", file = "", upstream = "", test = ""] = row.split("|").slice(1, -1)
      .map((cell) => cell.trim().replaceAll("`", ""));
    return { name, file, upstream, test };
  });
}

/** What was seen of the bare platform. */
export interface Sighting {
  /** Whether it still does what the workaround is for. */
  wrong: boolean;
  /** What it did, for the message when that is not wrong any more. */
  seen: unknown;
}

/** Tests that a workaround, by its name in the table, is still needed. */
export function stillNeeded(
  name: string,
  look: () => Promise<Sighting> | Sighting,
  options: Pick<Deno.TestDefinition, "ignore" | "sanitizeOps" | "sanitizeResources"> = {},
): void {
  Deno.test({
    name: `${name}: the platform still needs the workaround`,
    ...options,
    async fn() {
      const row = workarounds().find((each) => each.name === name);
      if (row === undefined) throw new Error(`${DOCUMENT} has no workaround "${name}"`);
      demandWrong(row, await look());
    },
  });
}

/** @throws {Error} saying what can go, unless the platform is still wrong. */
export function demandWrong({ name, file, upstream }: Workaround, { wrong, seen }: Sighting): void {
  if (wrong) return;
  const what = file.startsWith("src/platform/") ? file : `What ${file} does about it`;
  throw new Error(
    `Deno ${Deno.version.deno} and the packages of deno.json need no workaround "${name}" any more: ` +
      `seen was ${
        JSON.stringify(seen)
      }. ${what} can go, with its row in ${DOCUMENT} and this test (${upstream})`,
  );
}

/** Runs a program with the bare runtime and every permission; a shell's words may stand before it. */
export async function runBare(
  program: string,
  { shell, flags = [], args = [], env = {} }: {
    /** Run by sh ahead of the runtime, such as `ulimit -n 80`. */
    shell?: string;
    /** Of the runtime, such as `--v8-flags=--expose-gc`. */
    flags?: string[];
    args?: string[];
    env?: Record<string, string>;
  } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = [Deno.execPath(), "eval", "--quiet", ...flags, program, ...args];
  const [executable = "", ...rest] = shell === undefined
    ? command
    : ["sh", "-c", `${shell} && exec "$@"`, "sh", ...command];
  // There deno.json says which version of a package is meant.
  return await runProgram(executable, { args: rest, env, cwd: fileURLToPath(ROOT) });
}

/** Listens on a port of 127.0.0.1, until the scope is left. */
export async function listenOnLoopback(
  server: TcpServer | Http2Server,
): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
