// A DNS server (RFC 1035) that answers as a test says, or not at all: over UDP and TCP, on port 53 of an address. Only
// questions for A are answered with addresses.

import { createSocket } from "node:dgram";
import { delay } from "../../src/delay.ts";
import { connectionsOf, writeAll } from "./world.ts";

/** What is answered. */
export interface NameAnswer {
  /** IPv4 addresses. Default: none. */
  addresses?: string[];
  /** 2 is SERVFAIL, 3 NXDOMAIN. Default: 0. */
  code?: number;
  /** Over UDP nothing but that the answer is to be had by TCP. */
  truncated?: boolean;
  /** Bytes that are no answer follow the header. */
  garbled?: boolean;
  /** How long it takes, in milliseconds. */
  afterMs?: number;
}

/** A server that listens. */
export interface NameServer extends AsyncDisposable {
  /** Names that were asked for, in order, as the system wrote them. */
  readonly asked: string[];
}

const A = 1;

/** Answers what `answerOf` says; nothing where it says nothing. */
export async function serveNames(
  hostname: string,
  answerOf: (name: string) => NameAnswer | undefined,
): Promise<NameServer> {
  const asked: string[] = [];
  const giveUp = new AbortController();
  const reply = async (query: Uint8Array, over: "udp" | "tcp") => {
    const question = readQuestion(query);
    asked.push(question.name);
    const answer = answerOf(question.name);
    if (answer?.afterMs !== undefined) await delay(answer.afterMs, { signal: giveUp.signal });
    if (answer === undefined || giveUp.signal.aborted) return undefined;
    return writeAnswer(query, question, {
      ...answer,
      truncated: answer.truncated === true && over === "udp",
    });
  };

  const udp = createSocket("udp4");
  udp.on("message", async (query, { address, port }) => {
    const bytes = await reply(query, "udp");
    if (bytes) udp.send(bytes, port, address);
  });
  await new Promise<void>((resolve) => udp.bind(53, hostname, resolve));

  const tcp = Deno.listen({ hostname, port: 53 });
  const serveTcp = async (conn: Deno.TcpConn) => {
    using _conn = conn;
    const buffer = new Uint8Array(4096);
    let held = 0;
    for (;;) {
      const count = await conn.read(buffer.subarray(held)).catch(() => null);
      if (count === null) return;
      held += count;
      // Questions for both families come one after the other, each behind its length.
      for (;;) {
        const end = 2 + ((buffer[0] ?? 0) << 8) + (buffer[1] ?? 0);
        if (held < 2 || held < end) break;
        const bytes = await reply(buffer.slice(2, end), "tcp");
        buffer.copyWithin(0, end, held);
        held -= end;
        if (bytes) {
          await writeAll(conn, Uint8Array.of(bytes.length >> 8, bytes.length & 255, ...bytes));
        }
      }
    }
  };
  const served = (async () => {
    const open: Promise<void>[] = [];
    for await (const conn of connectionsOf(tcp)) open.push(serveTcp(conn));
    await Promise.all(open);
  })();
  return {
    asked,
    async [Symbol.asyncDispose]() {
      giveUp.abort();
      tcp.close();
      await served;
      await new Promise<void>((resolve) => udp.close(resolve));
    },
  };
}

interface Question {
  name: string;
  type: number;
  /** Where it ends in the query. */
  end: number;
}

function readQuestion(query: Uint8Array): Question {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(new TextDecoder().decode(query.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: query[at + 2] ?? 0, end: at + 5 };
}

function writeAnswer(
  query: Uint8Array,
  { type, end }: Question,
  { addresses = [], code = 0, truncated = false, garbled = false }: NameAnswer,
): Uint8Array {
  const given = type === A && !truncated ? addresses : [];
  const flags = [0x81 | (truncated ? 0x02 : 0), 0x80 | code];
  const counts = [0, 1, given.length >> 8, given.length & 255, 0, 0, 0, 0];
  const records = given.flatMap((address) => [
    // The question's name, type A, class IN, 5 s, 4 bytes.
    ...[0xc0, 12, 0, A, 0, 1, 0, 0, 0, 5, 0, 4],
    ...address.split(".").map(Number),
  ]);
  const rest = garbled ? new Uint8Array(30).fill(0xff) : [...query.subarray(12, end), ...records];
  return Uint8Array.of(...query.subarray(0, 2), ...flags, ...counts, ...rest);
}
