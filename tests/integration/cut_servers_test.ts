// Servers that we dial and that send what we do not take: the link ends with what is wrong, not with how it was ended.

import { strictEqual } from "node:assert/strict";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { once } from "node:events";
import { gzipSync } from "node:zlib";
import { secureChannels } from "../../src/grpc/credentials.ts";
import { dialLink } from "../../src/grpc/dial.ts";
import { DEFAULT_LIMITS } from "../../src/model/limits.ts";
import { hello } from "../../src/mux/negotiation.ts";
import {
  concat,
  END_HEADERS,
  field,
  FRAME,
  frame,
  messageFrame,
  setting,
} from "../support/http2_frames.ts";
import { soon } from "../support/soon.ts";

/** So many bytes have come when a call is among them: before it come the preface and settings. */
const CALLED_BYTES = 200;
const FLOOD = "it floods the connection with HTTP/2 frames that carry no data";

/** Why a link ends to a server that sends this once it is called. */
async function reasonOf(answer: Uint8Array): Promise<string | undefined> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.write(frame(FRAME.settings, {}));
    let received = 0;
    socket.on("data", (bytes) => {
      const before = received;
      received += bytes.length;
      if (before < CALLED_BYTES && received >= CALLED_BYTES) socket.write(answer);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    // It listens over TCP.
    const { port } = server.address() as AddressInfo;
    const link = dialLink({ host: "127.0.0.1", port }, {
      secure: secureChannels(),
      hello: hello(DEFAULT_LIMITS),
      describePeer: () => {
        throw new Error("there are no certificates");
      },
    });
    return (await soon(link.closed, "the link has ended"))?.message;
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const many = (one: Uint8Array) => concat(...Array.from({ length: 12_000 }, () => one));
const headers = (...fields: [name: string, value: string][]) =>
  frame(FRAME.headers, {
    stream: 1,
    flags: END_HEADERS,
    payload: concat(...fields.map(([name, value]) => field(name, value))),
  });
const OK: [string, string][] = [[":status", "200"], ["content-type", "application/grpc"]];

for (
  const [name, answer, reason] of [
    ["pings", many(frame(FRAME.ping, { payload: new Uint8Array(8) })), FLOOD],
    ["settings", many(frame(FRAME.settings, { payload: setting(4, 65_535) })), FLOOD],
    [
      "empty data",
      concat(headers(...OK), many(frame(FRAME.data, { stream: 1 }))),
      "it sends too many HTTP/2 frames that are empty or not valid",
    ],
    [
      "large headers",
      headers(...OK, ["x-much", "x".repeat(15_000)], ["x-more", "x".repeat(15_000)]),
      "its headers are too large",
    ],
    [
      "compressed messages",
      concat(
        headers(...OK, ["grpc-encoding", "gzip"]),
        messageFrame(1, gzipSync(new Uint8Array(1000)), { compressed: true }),
      ),
      "its messages are compressed",
    ],
  ] as const
) {
  Deno.test(`a server that sends ${name} is said to do so`, async () => {
    strictEqual(await reasonOf(answer), reason);
  });
}
