// What grpc-js does wrong over the bare runtime. It is used here as it is, without what src/grpc/ adds to it.

import {
  ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  setLogVerbosity,
  type StatusObject,
} from "@grpc/grpc-js";
import { PickFirstLoadBalancer } from "@grpc/grpc-js/load-balancer-pick-first";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import http2, { type ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import { FRAME, frame } from "../support/http2_frames.ts";
import { makeCertificate } from "../support/certificates.ts";
import { listenOnLoopback, runBare, stillNeeded } from "../support/platform.ts";
import tls from "node:tls";

setLogVerbosity(logVerbosity.NONE);

/** How long the platform is given to do the wrong thing, in milliseconds: no test takes so long while it does. */
const PATIENCE_MS = 3000;

type Call = ServerDuplexStream<Buffer, Buffer>;

const PATH = "/platform.Test/Talk";
const pass = (bytes: Buffer) => bytes;
const DEFINITION = {
  talk: {
    path: PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  },
} as const;

/** A server of grpc-js. */
async function serve(
  host: string,
  talk: (call: Call) => void,
  options: ChannelOptions = {},
): Promise<{ port: number } & Disposable> {
  const server = new Server(options);
  server.addService(DEFINITION, { talk });
  const port = await bind(server, `${host}:0`);
  return { port, [Symbol.dispose]: () => server.forceShutdown() };
}

function bind(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync(
      address,
      ServerCredentials.createInsecure(),
      (error, port) => error ? reject(error) : resolve(port),
    )
  );
}

/** Makes a call, and resolves with its status and what it was answered. */
async function call(
  target: string,
  { options = {}, channel = credentials.createInsecure() }: {
    options?: ChannelOptions;
    channel?: ChannelCredentials;
  } = {},
): Promise<StatusObject & { received: number }> {
  const client = new Client(target, channel, {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_retries": 0,
    // A client that is closed waits for the end of it all the same.
    "grpc.initial_reconnect_backoff_ms": 1,
    ...options,
  });
  try {
    const stream = client.makeBidiStreamRequest(PATH, pass, pass);
    let received = 0;
    stream.on("data", () => received += 1).on("error", () => {});
    stream.write(Buffer.from("hello"));
    stream.end();
    const status = await new Promise<StatusObject>((resolve) => stream.once("status", resolve));
    return { ...status, received };
  } finally {
    client.close();
  }
}

stillNeeded("grpc-js server options", async () => {
  using server = await serve("127.0.0.1", (call) => call.resume(), {
    "grpc-node.flow_control_window": 4 * 1024 * 1024,
  });
  const client = http2.connect(`http://127.0.0.1:${server.port}`);
  client.on("error", () => {});
  await once(client, "remoteSettings");
  const window = client.remoteSettings.initialWindowSize;
  client.destroy();
  await once(client, "close");
  return { wrong: window === 65_535, seen: `a window of ${window} bytes` };
});

stillNeeded("grpc-js second connection", async () => {
  let connections = 0;
  const second = Promise.withResolvers<void>();
  await using server = await listenOnLoopback(createServer((socket) => {
    connections += 1;
    if (connections > 1) second.resolve();
    socket.once("data", () => socket.destroy());
  }));
  await call(`127.0.0.1:${server.port}`);
  const timer = setTimeout(second.resolve, PATIENCE_MS);
  await second.promise;
  clearTimeout(timer);
  return { wrong: connections > 1, seen: `${connections} connections for one call` };
});

stillNeeded("grpc-js clients closed while they connect", async () => {
  const silent = createServer((socket) => socket.resume());
  await using server = await listenOnLoopback(silent);
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.initial_reconnect_backoff_ms": 1,
  });
  const stream = client.makeBidiStreamRequest(PATH, pass, pass).on("error", () => {});
  await once(silent, "connection");
  const { promise: ran, resolve } = Promise.withResolvers<boolean>();
  const name = "startNextSubchannelConnecting";
  const connectNext: unknown = Reflect.get(PickFirstLoadBalancer.prototype, name);
  Reflect.set(PickFirstLoadBalancer.prototype, name, () => resolve(true));
  stream.cancel();
  client.close();
  const timer = setTimeout(() => resolve(false), PATIENCE_MS);
  const left = await ran;
  clearTimeout(timer);
  Reflect.set(PickFirstLoadBalancer.prototype, name, connectNext);
  const connections = await new Promise<number>((resolve, reject) =>
    silent.getConnections((error, count) => error ? reject(error) : resolve(count))
  );
  const seen = `a timer that was ${left ? "left" : "cleared"}, and ${connections} connections`;
  return { wrong: left || connections > 0, seen };
});

stillNeeded("grpc-js peer addresses", async () => {
  let peer = "";
  let connection: unknown;
  using server = await serve("[::1]", (call) => {
    peer = call.getPeer();
    connection = Reflect.get(call, "getConnectionInfo");
    call.end();
  });
  await call(`[::1]:${server.port}`);
  return { wrong: !peer.startsWith("[") && connection === undefined, seen: peer };
});

stillNeeded("grpc-js bind errors", async () => {
  await using taken = await listenOnLoopback(createServer());
  const server = new Server();
  const error: Error & { code?: unknown } = await bind(server, `127.0.0.1:${taken.port}`).then(
    () => new Error("it was bound"),
    (error) => error,
  );
  server.forceShutdown();
  return {
    wrong: /EADDRINUSE/.test(error.message) && error.code !== "EADDRINUSE",
    seen: `${error.code}: ${error.message}`,
  };
});

stillNeeded("grpc-js answers that are not gRPC", async () => {
  const server = http2.createServer();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-type": "text/html" });
    // The first bytes of a message of three bytes, for whoever takes them for one.
    stream.end(Uint8Array.of(0, 0, 0, 0, 3, 0x3c, 0x70, 0x3e));
  });
  await using page = await listenOnLoopback(server);
  const { received, details } = await call(`127.0.0.1:${page.port}`);
  return { wrong: received > 0, seen: details };
});

stillNeeded("grpc-js keepalive", async () => {
  // It sends something all the time, and answers no ping.
  await using server = await listenOnLoopback(createServer((socket) => {
    socket.write(frame(FRAME.settings));
    socket.resume();
    const timer = setInterval(() => socket.write(frame(FRAME.settings)), 20);
    const end = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.once("close", () => {
      clearInterval(timer);
      clearTimeout(end);
    });
  }));
  const began = performance.now();
  await call(`127.0.0.1:${server.port}`, {
    options: { "grpc.keepalive_time_ms": 100, "grpc.keepalive_timeout_ms": 150 },
  });
  const lived = Math.round(performance.now() - began);
  return { wrong: lived < PATIENCE_MS - 500, seen: `it lived ${lived} ms while something arrived` };
});

stillNeeded("grpc-js GOAWAY", async () => {
  // Of a call that goes on nobody learns that its connection has got one.
  const events: string[] = [];
  const server = http2.createServer();
  const told = Promise.withResolvers<void>();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => {});
    stream.respond({ "content-type": "application/grpc" });
    stream.session?.goaway(0);
    setTimeout(told.resolve, 100);
  });
  await using listening = await listenOnLoopback(server);
  const client = new Client(`127.0.0.1:${listening.port}`, credentials.createInsecure());
  const stream = client.makeBidiStreamRequest(PATH, pass, pass);
  const emit: (...args: unknown[]) => boolean = stream.emit.bind(stream);
  stream.emit = (event: string | symbol, ...args: unknown[]) => {
    events.push(String(event));
    return emit(event, ...args);
  };
  stream.on("error", () => {}).resume();
  await told.promise;
  const seen = [...events];
  stream.cancel();
  client.close();
  return { wrong: !seen.some((event) => /goaway/i.test(event)), seen };
});

stillNeeded("grpc-js proxies", async () => {
  // What a proxy answers is not in the reason.
  const program = `
    import * as grpc from "@grpc/grpc-js";
    import net from "node:net";
    import { once } from "node:events";
    const proxy = net.createServer((socket) => socket.on("error", () => {}).once("data", () =>
      socket.end("HTTP/1.1 403 Go away\\r\\n\\r\\n")));
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    Deno.env.set("grpc_proxy", "http://127.0.0.1:" + proxy.address().port);
    const client = new grpc.Client("192.0.2.1:9090", grpc.credentials.createInsecure(), {});
    const call = client.makeUnaryRequest("${PATH}", (b) => b, (b) => b, new Uint8Array(), { deadline: Date.now() + 3000 },
      (error) => { console.log(error.details); Deno.exit(); });
  `;
  const { stdout, stderr } = await runBare(program);
  return { wrong: stdout !== "" && !stdout.includes("Go away"), seen: stdout + stderr };
});

stillNeeded("grpc-js server names", async () => {
  // An IP address is no server name (RFC 6066 section 3): a channel to one cannot be told to ask for none.
  const root = await makeCertificate({ ca: true });
  const leaf = await makeCertificate({ names: [{ type: "ip", value: "127.0.0.1" }] }, root);
  let asked: unknown;
  const server = tls.createServer({
    cert: leaf.certificate,
    key: leaf.key,
    ALPNProtocols: ["h2"],
    SNICallback: (name, done) => {
      asked = name;
      done(null);
    },
  }, (socket) => socket.on("error", () => {}).destroy());
  await using listening = await listenOnLoopback(server);
  const { details } = await call(`127.0.0.1:${listening.port}`, {
    channel: ChannelCredentials.createSsl(Buffer.from(root.certificate)),
  });
  return {
    wrong: asked !== undefined || /servername.* must not be an IP address/.test(details),
    seen: { asked: asked ?? "for nothing", details },
  };
});

/** A server of grpc-js leaves an idle connection in order. */
const LEAVING = `
  import * as grpc from "@grpc/grpc-js";
  import { once } from "node:events";
  import { Buffer } from "node:buffer";
  const pass = (bytes) => bytes;
  const talk = { path: "${PATH}", requestStream: true, responseStream: true, requestSerialize: pass,
    requestDeserialize: pass, responseSerialize: pass, responseDeserialize: pass };
  const server = new grpc.Server();
  server.addService({ talk }, { talk: (call) => call.on("data", (data) => call.write(data)).on("end", () => call.end()) });
  const port = await new Promise((resolve) =>
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_, port) => resolve(port)));
  const client = new grpc.Client("127.0.0.1:" + port, grpc.credentials.createInsecure());
  const call = client.makeBidiStreamRequest("${PATH}", pass, pass);
  call.on("error", () => {}).resume();
  call.write(Buffer.of(1));
  await once(call, "data");
  call.end();
  await once(call, "end");
  await new Promise((resolve) => setTimeout(resolve, 20));
  server.tryShutdown(() => {});
  await new Promise((resolve) => setTimeout(resolve, ${PATIENCE_MS}));
  Deno.exit();
`;

stillNeeded("HTTP/2 sessions that end while they are read", async () => {
  const { code, stderr } = await runBare(LEAVING, {
    shell: "ulimit -c 0",
    // glibc overwrites what is freed, so that whoever reads it then does not live.
    env: { MALLOC_PERTURB_: "165" },
  });
  if (code !== 0 && code <= 128) throw new Error(stderr);
  return { wrong: code > 128, seen: "it lived" };
}, { ignore: Deno.build.os !== "linux" });
