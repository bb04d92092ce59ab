// What must hold against a reference peer whoever dials and whoever listens, as tests to be registered for
// each role.

import { deepStrictEqual, strictEqual } from "node:assert/strict";
import type { OpenData } from "../../proto/gen/connector.ts";
import { MAX_DATA_BYTES } from "../../src/wire/frame.ts";
import { bytesOf, type Logged } from "./reference_peer.ts";
import {
  closedCounts,
  type Roles,
  startReferenceTunnel,
  untilAllClosed,
} from "./reference_tunnel.ts";
import {
  echo,
  freePort,
  randomBytes,
  readAll,
  serveTcp,
  sha256,
  until,
  writeAll,
} from "./world.ts";

/** Members that the contract reserves; each is sent and must change nothing. */
const RESERVED: OpenData["message"][] = [
  { $case: "newConnection", value: {} },
  { $case: "writeDone", value: {} },
  { $case: "readDone", value: {} },
  { $case: "error", value: { code: 13, message: "told in vain", details: [] } },
];

/** A message of nothing but field 1000, which no version of the contract has. */
const UNKNOWN_MEMBER = Uint8Array.of(0xc2, 0x3e, 1, 0);

const GREETING = new TextEncoder().encode("220 ready\r\n");

/** Registers every scenario for one role. */
export function testRole(roles: Roles): void {
  const name = (what: string) => `${roles.dials} dials, ${roles.listens} listens: ${what}`;

  Deno.test(name("bytes of many visitors come back as they were sent"), async () => {
    await using server = serveTcp(echo);
    await using tunnel = await startReferenceTunnel({ ...roles, destination: server.port });
    await Promise.all(Array.from({ length: 10 }, async (_, index) => {
      using conn = await Deno.connect({ port: tunnel.port });
      const sent = randomBytes(1 + index * 25_000);
      const [received] = await Promise.all([readExactly(conn, sent.length), writeAll(conn, sent)]);
      deepStrictEqual(received, sent);
    }));
    await untilAllClosed(tunnel.session, 10);
    deepStrictEqual([...closedCounts(tunnel.session).values()], Array(10).fill(1));
    const sizes = tunnel.session.received("data").map((data) => bytesOf(data).length);
    strictEqual(Math.max(...sizes) <= MAX_DATA_BYTES, true);
  });

  Deno.test(
    name("a server that speaks first is heard as soon as the dialect allows it"),
    async () => {
      await using server = serveTcp(async (conn) => {
        await writeAll(conn, GREETING);
        await readAll(conn);
      });
      await using tunnel = await startReferenceTunnel({ ...roles, destination: server.port });
      using conn = await Deno.connect({ port: tunnel.port });
      // We announce a visitor with empty data; a reference listener says nothing before its visitor does.
      if (roles.listens === "peer") await writeAll(conn, new Uint8Array(1));
      deepStrictEqual(await readExactly(conn, GREETING.length), GREETING);
      if (roles.listens === "ours") {
        const received = tunnel.session.received().filter(({ connectionId }) =>
          connectionId !== ""
        );
        deepStrictEqual(received.map((data) => [data.message?.$case, bytesOf(data).length]), [[
          "data",
          0,
        ]]);
      }
    },
  );

  Deno.test(name("an answer that follows the visitor's half-close arrives whole"), async () => {
    const request = randomBytes(300_000);
    const answer = randomBytes(1024 * 1024);
    // The reference as egress closes everything on `closed`, so its destination never reads an end: it has to
    // know from what it read that the request is whole.
    await using server = serveTcp(async (conn) => {
      deepStrictEqual(await readExactly(conn, request.length), request);
      if (roles.listens === "peer") strictEqual(await conn.read(new Uint8Array(1)), null);
      // In pieces, with pauses that are shorter than our patience.
      for (let start = 0; start < answer.length; start += 256 * 1024) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        await writeAll(conn, answer.subarray(start, start + 256 * 1024));
      }
    });
    await using tunnel = await startReferenceTunnel({ ...roles, destination: server.port });
    using conn = await Deno.connect({ port: tunnel.port });
    await writeAll(conn, request);
    await conn.closeWrite();
    deepStrictEqual(await readAll(conn), answer);
    await untilAllClosed(tunnel.session, 1);
    deepStrictEqual([...closedCounts(tunnel.session).values()], [1]);
  });

  Deno.test(name("a destination that refuses closes the visitor at once"), async () => {
    await using tunnel = await startReferenceTunnel({ ...roles, destination: 1 });
    const conn = await Deno.connect({ port: tunnel.port });
    const started = performance.now();
    // A reference listener tells of its visitor only with the first byte.
    await writeAll(conn, new Uint8Array(1));
    strictEqual(await conn.read(new Uint8Array(1)).catch(() => null), null);
    strictEqual(performance.now() - started < 1000, true);
    conn.close();
    await untilAllClosed(tunnel.session, 1);
    deepStrictEqual([...closedCounts(tunnel.session).values()], [1]);
  });

  Deno.test(name("reserved and unknown members change nothing and are not answered"), async () => {
    await using server = serveTcp(echo);
    await using tunnel = await startReferenceTunnel({ ...roles, destination: server.port });
    const { session, serviceId } = tunnel;
    using conn = await Deno.connect({ port: tunnel.port });
    await exchange(conn, "before");
    const id = session.received("data")[0]?.connectionId ?? "";
    const before = session.received().length;
    for (const conn of [id, "a connection that nobody knows"]) {
      for (const member of RESERVED) await session.send(member, { service: serviceId, conn });
      await session.sendRaw(UNKNOWN_MEMBER);
    }
    // Whatever they had brought about would have come before the answer to this.
    await exchange(conn, "after");
    const since = session.received().slice(before);
    deepStrictEqual([...new Set(since.map(({ message }) => message?.$case))], ["data"]);
    deepStrictEqual([...new Set(since.map(({ connectionId }) => connectionId))], [id]);
  });

  Deno.test(name("a slow reader holds the peer back, and loses nothing"), async () => {
    const sent = randomBytes(48 * 1024 * 1024);
    const { promise: mayRead, resolve: letRead } = Promise.withResolvers<void>();
    const results: string[] = [];
    await using server = serveTcp(async (conn) => {
      if (roles.listens === "ours") return await writeAll(conn, sent);
      await mayRead;
      results.push(await sha256(await readExactly(conn, sent.length)));
    });
    await using tunnel = await startReferenceTunnel({ ...roles, destination: server.port });
    const { session } = tunnel;
    using conn = await Deno.connect({ port: tunnel.port });
    const visitor = roles.listens === "ours"
      ? mayRead.then(() => readExactly(conn, sent.length))
      : writeAll(conn, sent);
    await until(() => sentBytes(session) > 8 * 1024 * 1024, "the peer sends");
    await untilStill(() => sentBytes(session));
    const stalledAt = sentBytes(session);
    strictEqual(stalledAt < 40 * 1024 * 1024, true, `${stalledAt} bytes were taken unread`);
    letRead();
    const received = await visitor;
    if (received) results.push(await sha256(received));
    await until(() => results.length === 1, "everything was read", { timeoutMs: 60_000 });
    deepStrictEqual(results, [await sha256(sent)]);
  });

  Deno.test(name("three hundred visitors that send nothing leak no descriptor"), async () => {
    await using server = serveTcp(echo);
    await using tunnel = await startReferenceTunnel({ ...roles, destination: server.port });
    const before = openDescriptors();
    const visitors = await Promise.all(
      Array.from({ length: 300 }, () => Deno.connect({ port: tunnel.port })),
    );
    if (roles.listens === "ours") {
      await until(() => tunnel.session.dials === 300, "every visitor was announced");
    }
    for (const visitor of visitors) visitor.close();
    await until(
      () => tunnel.session.openConns === 0 && openDescriptors() <= before,
      `there are ${before} descriptors again`,
    );
  });
}

/** Sends a text and wants it back. */
export async function exchange(conn: Deno.TcpConn, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  await writeAll(conn, bytes);
  deepStrictEqual(await readExactly(conn, bytes.length), bytes);
}

/** Reads so many bytes; fewer when the other side ends before. */
export async function readExactly(
  conn: Deno.TcpConn,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  let offset = 0;
  while (offset < length) {
    const count = await conn.read(bytes.subarray(offset));
    if (count === null) return bytes.slice(0, offset);
    offset += count;
  }
  return bytes;
}

function sentBytes(
  { log }: { log: Logged[] },
): number {
  return log.reduce(
    (sum, { direction, data }) => direction === "sent" ? sum + bytesOf(data).length : sum,
    0,
  );
}

/** Waits until a value has not changed for half a second. */
async function untilStill(value: () => number): Promise<void> {
  let last = value();
  let since = performance.now();
  await until(
    () => {
      const now = value();
      if (now !== last) since = performance.now();
      last = now;
      return performance.now() - since > 500;
    },
    "nothing moves any more",
    { timeoutMs: 60_000 },
  );
}

/** So many different ports that are free. */
export function freePorts(count: number): number[] {
  return Array.from({ length: count }, () => freePort());
}

/** How many descriptors this process has, where the system tells. */
function openDescriptors(): number {
  return Deno.build.os === "linux" ? [...Deno.readDirSync("/proc/self/fd")].length : 0;
}
