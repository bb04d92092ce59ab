// What must arrive, arrives: bulk both ways, many visitors at once, half-close, servers that speak first, and a
// destination that is not there. One pair of processes; each case runs for both types of service.

import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ServiceType } from "../../src/model/service.ts";
import { exposeService, spawnPair } from "../support/processes.ts";
import {
  echo,
  freePort,
  randomBytes,
  readAll,
  serveTcp,
  turnsAway,
  writeAll,
} from "../support/world.ts";

const MIB = 1024 * 1024;
const TYPES: ServiceType[] = ["local", "remote"];

Deno.test("transfers through two processes", async (t) => {
  await using pair = await spawnPair();
  const expose = (type: ServiceType, destination: number) =>
    exposeService(pair.local, { to: pair.remote.address, type, destination });
  // The processes outlive each step, so the sanitizers watch over the whole test instead.
  const step = (name: string, fn: () => Promise<void>) =>
    t.step({ name, fn, sanitizeOps: false, sanitizeResources: false });

  for (const type of TYPES) {
    await step(`${type}: 64 MiB of random bytes each way at once, same checksums`, async () => {
      const atServer = Promise.withResolvers<Bulk[]>();
      await using server = serveTcp(async (conn) => {
        atServer.resolve(await Promise.all([receiveBulk(conn), sendBulk(conn, 64 * MIB)]));
      });
      const { port } = await expose(type, server.port);
      using visitor = await Deno.connect({ port });
      const [received, sent] = await Promise.all([
        receiveBulk(visitor),
        sendBulk(visitor, 64 * MIB),
      ]);
      strictEqual(received.length, 64 * MIB);
      deepStrictEqual(await atServer.promise, [sent, received]);
    });

    await step(`${type}: 200 visitors at once, random sizes and chunks`, async () => {
      await using server = serveTcp(echo);
      const { port } = await expose(type, server.port);
      const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
      const random = seededRandom(seed);
      await Promise.all(Array.from({ length: 200 }, async (_, index) => {
        const sent = randomBytes(Math.floor(random() ** 3 * MIB));
        const chunks = cut(sent, random);
        using visitor = await Deno.connect({ port });
        const [received] = await Promise.all([
          readAll(visitor),
          (async () => {
            for (const chunk of chunks) await writeAll(visitor, chunk);
            await visitor.closeWrite();
          })(),
        ]);
        strictEqual(received.length, sent.length, `visitor ${index}, seed ${seed}`);
        strictEqual(digest(received), digest(sent), `visitor ${index}, seed ${seed}`);
      }));
    });

    await step(`${type}: 5 MiB up, half-close, then 1 MiB is answered`, async () => {
      const question = randomBytes(5 * MIB);
      const answer = randomBytes(MIB);
      const questions: string[] = [];
      await using server = serveTcp(async (conn) => {
        questions.push(digest(await readAll(conn)));
        await writeAll(conn, answer);
      });
      const { port } = await expose(type, server.port);
      using visitor = await Deno.connect({ port });
      await writeAll(visitor, question);
      await visitor.closeWrite();
      strictEqual(digest(await readAll(visitor)), digest(answer));
      deepStrictEqual(questions, [digest(question)]);
    });

    await step(
      `${type}: the server half-closes first and still takes what the client sends`,
      async () => {
        const late = Promise.withResolvers<string>();
        await using server = serveTcp(async (conn) => {
          await writeAll(conn, new TextEncoder().encode("goodbye"));
          await conn.closeWrite();
          late.resolve(new TextDecoder().decode(await readAll(conn)));
        });
        const { port } = await expose(type, server.port);
        using visitor = await Deno.connect({ port });
        strictEqual(new TextDecoder().decode(await readAll(visitor)), "goodbye");
        await writeAll(visitor, new TextEncoder().encode("one more thing"));
        await visitor.closeWrite();
        strictEqual(await late.promise, "one more thing");
      },
    );

    await step(`${type}: an SMTP server greets first and holds the conversation`, async () => {
      await using server = serveTcp(speakSmtp);
      const { port } = await expose(type, server.port);
      using visitor = await Deno.connect({ port });
      strictEqual(await readLine(visitor), "220 mail.test ready\r\n");
      for (
        const [command, answer] of [["EHLO visitor", "250 mail.test"], ["NOOP", "250 OK"], [
          "QUIT",
          "221 bye",
        ]]
      ) {
        await writeAll(visitor, new TextEncoder().encode(`${command}\r\n`));
        strictEqual(await readLine(visitor), `${answer}\r\n`);
      }
      strictEqual((await readAll(visitor)).length, 0);
    });

    await step(`${type}: a visitor of a dead destination is closed at once`, async () => {
      const { port } = await expose(type, freePort());
      const started = performance.now();
      strictEqual(await turnsAway(port), true);
      ok(performance.now() - started < 1000, `${performance.now() - started} ms`);
    });
  }
});

interface Bulk {
  length: number;
  digest: string;
}

/** Sends random bytes and ends the direction. */
async function sendBulk(conn: Deno.TcpConn, length: number): Promise<Bulk> {
  const hash = createHash("sha256");
  for (let sent = 0; sent < length; sent += MIB) {
    const block = randomBytes(Math.min(MIB, length - sent));
    hash.update(block);
    await writeAll(conn, block);
  }
  await conn.closeWrite();
  return { length, digest: hash.digest("hex") };
}

/** Receives to the end. */
async function receiveBulk(conn: Deno.TcpConn): Promise<Bulk> {
  const hash = createHash("sha256");
  const buffer = new Uint8Array(256 * 1024);
  let length = 0;
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    hash.update(buffer.subarray(0, count));
    length += count;
  }
  return { length, digest: hash.digest("hex") };
}

async function speakSmtp(conn: Deno.TcpConn): Promise<void> {
  const say = (text: string) => writeAll(conn, new TextEncoder().encode(`${text}\r\n`));
  await say("220 mail.test ready");
  for (let line = await readLine(conn); line !== ""; line = await readLine(conn)) {
    if (line.startsWith("QUIT")) return await say("221 bye");
    await say(line.startsWith("EHLO") ? "250 mail.test" : "250 OK");
  }
}

/** Reads up to a line's end; what it has when the other side ends first. */
async function readLine(conn: Deno.TcpConn): Promise<string> {
  const one = new Uint8Array(1);
  let line = "";
  while (!line.endsWith("\n")) {
    if (await conn.read(one) === null) break;
    line += String.fromCharCode(one[0] ?? 0);
  }
  return line;
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The bytes in pieces of 1 to 40,000. */
function cut(bytes: Uint8Array, random: () => number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let offset = 0; offset < bytes.length;) {
    const end = Math.min(bytes.length, offset + 1 + Math.floor(random() ** 2 * 40_000));
    chunks.push(bytes.subarray(offset, end));
    offset = end;
  }
  return chunks;
}

/** Numbers from 0 up to 1 that the seed determines: xorshift. */
function seededRandom(seed: number): () => number {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
