// Endless bulk transfers: a server that sends or receives for ever, and its visitors; and a visitor that measures the
// echo time beside them. For tests of slow paths.

import { echo, serveTcp, writeAll } from "./world.ts";

const PIECE = new Uint8Array(64 * 1024);
/** What a visitor says first. */
const DOWNLOAD = 1;
const UPLOAD = 2;
const ECHO = 3;

/** A server on a free port of 127.0.0.1 for all of them. */
export function serveBulk(): { port: number } & AsyncDisposable {
  return serveTcp(async (conn) => {
    const wish = new Uint8Array(1);
    if (await conn.read(wish) === null) return;
    if (wish[0] === DOWNLOAD) { while (true) await writeAll(conn, PIECE); }
    if (wish[0] === ECHO) return await echo(conn);
    const buffer = new Uint8Array(PIECE.length);
    while (await conn.read(buffer) !== null);
  });
}

/** Visitors of such a server, behind whatever port leads to it. */
export class BulkVisitors implements AsyncDisposable {
  /** Bytes that downloads have brought. */
  downloaded = 0;
  /** Why visitors were cut, of those that were. */
  readonly cuts: string[] = [];
  readonly #conns: Deno.TcpConn[] = [];
  readonly #work: Promise<void>[] = [];
  #closed = false;

  /** So many downloads and uploads more. */
  async start(
    port: number,
    { downloads = 0, uploads = 0 }: { downloads?: number; uploads?: number },
  ): Promise<void> {
    for (let count = 0; count < downloads; count += 1) {
      const conn = await this.#visit(port, DOWNLOAD);
      this.#run(async () => {
        const buffer = new Uint8Array(PIECE.length);
        for (let length = await conn.read(buffer); length !== null;) {
          this.downloaded += length;
          length = await conn.read(buffer);
        }
        throw new Error("the end was read");
      });
    }
    for (let count = 0; count < uploads; count += 1) {
      const conn = await this.#visit(port, UPLOAD);
      this.#run(async () => {
        while (true) await writeAll(conn, PIECE);
      });
    }
  }

  /** How long a few bytes take to come back, over a new connection and over the same again, in milliseconds. */
  async echoTimes(port: number, count: number): Promise<number[]> {
    const conn = await this.#visit(port, ECHO);
    const times: number[] = [];
    const buffer = new Uint8Array(32);
    for (let round = 0; round < count; round += 1) {
      const started = performance.now();
      await writeAll(conn, buffer);
      for (let length = 0; length < buffer.length;) {
        const more = await conn.read(buffer);
        if (more === null) throw new Error("the echo was cut");
        length += more;
      }
      times.push(performance.now() - started);
    }
    return times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const conn of this.#conns) conn.close();
    await Promise.all(this.#work);
  }

  async #visit(port: number, wish: number): Promise<Deno.TcpConn> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    this.#conns.push(conn);
    await writeAll(conn, new Uint8Array([wish]));
    return conn;
  }

  #run(work: () => Promise<void>): void {
    this.#work.push(
      work().catch((error) => {
        if (!this.#closed) this.cuts.push(String(error));
      }),
    );
  }
}
