// What node:http2 of the bare runtime does wrong.

import { once } from "node:events";
import http2, {
  type ClientHttp2Session,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, connect, type Socket } from "node:net";
import { runBare, stillNeeded } from "../support/platform.ts";

/** A server, and a client of it. */
async function open(
  onStream: (stream: ServerHttp2Stream) => void = () => {},
  { onServer = () => {}, clientOptions = () => ({}) }: {
    onServer?: (server: Http2Server) => void;
    clientOptions?: (port: number) => http2.ClientSessionOptions;
  } = {},
): Promise<{ client: ClientHttp2Session; port: number } & AsyncDisposable> {
  const server = http2.createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    onStream(stream);
  });
  onServer(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const client = http2.connect(`http://127.0.0.1:${port}`, clientOptions(port));
  client.on("error", () => {});
  await once(client, "remoteSettings");
  return {
    client,
    port,
    async [Symbol.asyncDispose]() {
      const closed = [client, server].map((each) => once(each, "close"));
      client.destroy();
      for (const session of sessions) session.destroy();
      server.close();
      await Promise.all(closed);
    },
  };
}

/** Resolves when a ping has come back: whatever was sent before has arrived. */
function roundTrip(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => session.ping(() => resolve()));
}

stillNeeded("HTTP/2 output without back-pressure", async () => {
  const LIMIT = 16 * 1024 * 1024;
  let taken = 0;
  let accepted: Socket | undefined;
  let transport: Socket | undefined;
  const chunk = new Uint8Array(1024 * 1024);
  const stalled = Promise.withResolvers<void>();
  await using world = await open((stream) => {
    stream.respond();
    const send = () => {
      if (taken >= LIMIT) return stalled.resolve();
      stream.write(chunk, (error) => {
        if (error) return;
        taken += chunk.length;
        send();
      });
    };
    send();
  }, {
    onServer: (server) => server.on("connection", (socket: Socket) => accepted = socket),
    clientOptions: (port) => ({
      settings: { initialWindowSize: 2 ** 31 - 1 },
      createConnection: () => transport = connect(port, "127.0.0.1"),
    }),
  });
  const { client } = world;
  client.setLocalWindowSize(2 ** 31 - 1);
  await roundTrip(client);
  client.request({ ":path": "/" }).on("error", () => {});
  await once(transport as Socket, "data").catch(() => {});
  // The client's machine takes no more.
  (transport as Socket & { _handle: { readStop(): void } })._handle.readStop();
  const timer = setTimeout(stalled.resolve, 5000);
  await stalled.promise;
  clearTimeout(timer);
  const unsent = accepted?.writableLength ?? 0;
  return { wrong: unsent > LIMIT / 2, seen: { unsent, taken } };
});

stillNeeded("HTTP/2 window updates that wait", async () => {
  const wanted = 1024 * 1024;
  let session: ServerHttp2Session | undefined;
  await using world = await open(undefined, {
    onServer: (server) => server.on("session", (opened) => session = opened),
  });
  const { client } = world;
  await roundTrip(client);
  session?.setLocalWindowSize(wanted);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const waited = client.state.remoteWindowSize;
  await roundTrip(client);
  const later = client.state.remoteWindowSize;
  return { wrong: waited !== wanted && later === wanted, seen: { waited, later } };
});

stillNeeded("HTTP/2 data before headers", async () => {
  await using world = await open((stream) => {
    stream.respond();
    stream.end("x");
  });
  const order: string[] = [];
  const stream = world.client.request({ ":path": "/" });
  stream.on("data", () => order.push("data")).on("response", () => order.push("response"));
  await once(stream, "end");
  return { wrong: order[0] === "data", seen: order };
});

stillNeeded("HTTP/2 pings after a GOAWAY", async () => {
  await using world = await open((stream) => {
    stream.respond();
    stream.session?.goaway(0);
  });
  const { client } = world;
  const stream = client.request({ ":path": "/" }).on("error", () => {});
  stream.resume();
  await once(client, "goaway");
  await new Promise((resolve) => setImmediate(resolve));
  const error = await new Promise<Error | null>((resolve) =>
    client.ping((error) => resolve(error))
  );
  return { wrong: error !== null && !stream.closed, seen: error?.message ?? "it was answered" };
});

/** Connections bring calls whose headers have too many fields, and end. What the process then holds, in MB. */
const REFUSED_HEADERS = `
  import http2 from "node:http2";
  import net from "node:net";
  import { once } from "node:events";
  const server = http2.createServer({ settings: { maxHeaderListSize: 16384 } });
  server.on("session", (session) => session.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  const frame = (type, flags, stream, payload) =>
    Uint8Array.of(0, payload.length >> 8, payload.length, type, flags, 0, 0, 0, stream, ...payload);
  // A field of 4,000 bytes goes into HPACK's table, and then each byte stands for another one.
  const kept = [0x40, 60, ...Array(60).fill(0x78), 0x7f, 3940 - 127 & 127 | 128, 3940 - 127 >> 7, ...Array(3940).fill(0x79)];
  const again = Array(200).fill(0x80 | 62);
  async function attack() {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "connect");
    socket.write("PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n");
    socket.write(frame(4, 0, 0, []));
    socket.write(frame(1, 5, 1, [...kept, ...again]));
    for (let stream = 3; stream < 80; stream += 2) socket.write(frame(1, 5, stream, again));
    // All of that was read once this is answered, or the connection ended.
    const answered = new Promise((resolve) => {
      let received = "";
      socket.on("data", (bytes) => (received += bytes.toString("hex")).includes("0000080601") && resolve());
      socket.on("close", resolve);
    });
    socket.write(frame(6, 0, 0, Array(8).fill(0)));
    await answered;
    if (socket.destroyed) return;
    socket.destroy();
    await once(socket, "close");
  }
  const held = () => { gc(); gc(); return Deno.memoryUsage().rss / 1e6; };
  await attack();
  const before = held();
  for (let count = 0; count < 5; count++) await attack();
  console.log(Math.round(held() - before));
  Deno.exit();
`;

stillNeeded("HTTP/2 headers that are refused", async () => {
  const { stdout, stderr } = await runBare(REFUSED_HEADERS, { flags: ["--v8-flags=--expose-gc"] });
  return {
    wrong: Number(stdout) > 30,
    seen: `${stdout.trim()} MB more after 200 such calls${stderr}`,
  };
});
