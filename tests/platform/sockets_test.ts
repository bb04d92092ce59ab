// What sockets of the bare runtime cannot do, or do wrong.

import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import process from "node:process";
import { runBare, stillNeeded } from "../support/platform.ts";

/** The handles below node's sockets, as far as they are used here. */
interface Handle {
  onread: (unused: unknown, count?: number) => void;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  bind6(address: string, port: number, flags: number): number;
  getsockname(result: { port?: number }): number;
  listen(backlog: number): number;
  close(): void;
}

const { binding } = process as unknown as {
  binding: (
    module: "tcp_wrap",
  ) => { TCP: new (type: number) => Handle; constants: { SERVER: number } };
};

/** A descriptor is missing for a connection, and then there are some again. How many are accepted from then on. */
const EXHAUSTED = `
  import net from "node:net";
  import fs from "node:fs";
  import { once } from "node:events";
  let accepted = 0;
  const server = net.createServer((socket) => { accepted += 1; socket.on("error", () => {}).destroy(); });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await once(net.connect(port, "127.0.0.1"), "close");
  const files = [];
  try { while (true) files.push(fs.openSync("/dev/null")); } catch { /* There are no more. */ }
  fs.closeSync(files.pop());
  const before = accepted;
  const visitor = () => {
    const socket = net.connect(port, "127.0.0.1");
    return once(socket.on("error", () => {}), "connect");
  };
  await visitor();
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const file of files) fs.closeSync(file);
  await visitor();
  await new Promise((resolve) => setTimeout(resolve, 400));
  console.log(accepted - before);
  Deno.exit();
`;

stillNeeded("listeners that stop accepting", async () => {
  const { stdout, stderr } = await runBare(EXHAUSTED, { shell: "ulimit -n 80" });
  return { wrong: stdout.trim() === "0", seen: `${stdout.trim()} of 2 were accepted${stderr}` };
}, { ignore: Deno.build.os === "windows" });

stillNeeded("HTTP servers that do not listen", async () => {
  const http = createHttpServer((_request, response) => response.end("ok"));
  await using listening = await listen((socket) => http.emit("connection", socket));
  const client = connect(listening.port, "127.0.0.1");
  let answer = "";
  client.on("data", (bytes) => answer += String(bytes));
  client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  let ended = false;
  client.once("end", () => ended = true);
  await Promise.race([
    once(client, "end"),
    new Promise((resolve) => client.setTimeout(2000, () => resolve(0))),
  ]);
  client.destroy();
  return { wrong: ended && /keep-alive/i.test(answer), seen: { ended, answer } };
});

stillNeeded("resets of Deno.Conn", async () => {
  // One that closes with bytes unread would reset by itself; this one has read all.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept();
  const client = connect((listener.addr as Deno.NetAddr).port, "127.0.0.1");
  const conn = await accepting;
  const members = Object.getOwnPropertyNames(Object.getPrototypeOf(conn));
  const end = Promise.race([
    once(client, "end").then(() => "an end"),
    once(client, "error").catch(() => {}).then(() => "a reset"),
  ]);
  client.resume();
  conn.close();
  const seen = await end;
  listener.close();
  if (!client.destroyed) client.destroy();
  const can = members.filter((name) => /reset|linger|abort/i.test(name));
  return { wrong: seen === "an end" && can.length === 0, seen: { seen, can } };
});

stillNeeded("resets of connections that are not read", async () => {
  let told = false;
  let accepted: Socket | undefined;
  await using listening = await listen((socket) => {
    accepted = socket;
    socket.on("error", () => told = true).on("close", () => told = true).pause();
  });
  const client = connect(listening.port, "127.0.0.1");
  await once(client, "connect");
  client.write("held back");
  while (accepted === undefined) await new Promise((resolve) => setTimeout(resolve, 5));
  (accepted as Socket & { _handle: Handle })._handle.readStop();
  client.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 300));
  return { wrong: !told, seen: "it was told of the reset" };
});

stillNeeded("sockets of both families", async () => {
  // UV_TCP_IPV6ONLY, which node sets or clears on each socket that it binds.
  const IPV6_ONLY = 1;
  const { TCP, constants } = binding("tcp_wrap");
  const handle = new TCP(constants.SERVER);
  try {
    if (handle.bind6("::", 0, IPV6_ONLY) !== 0 || handle.listen(1) !== 0) {
      return { wrong: true, seen: "there is no IPv6 here" };
    }
    const own: { port?: number } = {};
    handle.getsockname(own);
    const client = connect(own.port ?? 0, "127.0.0.1");
    const reached = await Promise.race([
      once(client, "connect").then(() => true),
      once(client, "error").then(() => false, () => false),
    ]).catch(() => false);
    client.destroy();
    return { wrong: reached, seen: "a socket of IPv6 alone took no IPv4" };
  } finally {
    handle.close();
  }
}, { ignore: Deno.build.os === "windows" });

/** Listens with node's sockets. */
async function listen(
  onSocket: (socket: Socket) => void,
): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port, // it listens on TCP
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
