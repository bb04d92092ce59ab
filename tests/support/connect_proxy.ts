// An HTTP proxy that accepts CONNECT, or answers whatever a test wants. It records the heads of its requests.

import { once } from "node:events";
import net from "node:net";
import { settle } from "./world.ts";

/** A proxy in this process. */
export interface ConnectProxy extends AsyncDisposable {
  port: number;
  /** The value of a variable that names it. */
  url: string;
  /** What it was asked, one head each. */
  asked: string[];
}

/** What it does with a request. */
export interface ConnectProxyOptions {
  /** What it answers. Default: 200 and nothing else. */
  answer?: string | Uint8Array;
  /** Whether a tunnel follows the answer. Default: yes, unless an answer is given. */
  tunnels?: boolean;
  /** What it sends before it was asked anything. */
  greeting?: string;
  /** Closes the connection after the answer, or without one when that is empty. */
  closes?: boolean;
  /** Answers with the first bytes of the peer in one packet. Default: at once. */
  withFirstBytes?: boolean;
}

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startConnectProxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const { answer = "HTTP/1.1 200 Connection established\r\n\r\n", closes, withFirstBytes } =
    options;
  const tunnels = options.tunnels ?? options.answer === undefined;
  const asked: string[] = [];
  const open = new Set<net.Socket>();
  const keep = (socket: net.Socket) => {
    open.add(socket);
    socket.on("error", () => {}).on("close", () => open.delete(socket));
    return socket;
  };
  const server = net.createServer((visitor) => {
    keep(visitor);
    if (options.greeting !== undefined) visitor.write(options.greeting);
    let head = "";
    const onData = (bytes: Uint8Array) => {
      head += new TextDecoder("latin1").decode(bytes);
      if (!head.includes("\r\n\r\n")) return;
      visitor.off("data", onData);
      asked.push(head);
      if (closes) return void visitor.end(answer);
      if (!tunnels) return void visitor.write(answer);
      const [, host = "", port = ""] = /^CONNECT \[?(.*?)\]?:(\d+) HTTP/.exec(head) ?? [];
      const peer = keep(net.connect(Number(port), host));
      peer.on("close", () => visitor.destroy());
      visitor.on("close", () => peer.destroy());
      if (!withFirstBytes) visitor.write(answer);
      peer.once("data", (first: Uint8Array) => {
        if (withFirstBytes) visitor.write(new Uint8Array([...toBytes(answer), ...first]));
        else visitor.write(first);
        peer.pipe(visitor);
      });
      visitor.pipe(peer);
    };
    visitor.on("data", onData);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server's address is no path.
  const { port } = server.address() as net.AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
      await settle();
    },
  };
}

function toBytes(answer: string | Uint8Array): Uint8Array {
  return typeof answer === "string" ? new TextEncoder().encode(answer) : answer;
}
