// One service between two connectors, ready to be visited, of every type and security; and sockets of node that show
// how a connection ended, and can reset it.

import { connect, createServer, type Socket } from "node:net";
import type { TlsIdentity } from "../../src/grpc/credentials.ts";
import type { ServiceType } from "../../src/model/service.ts";
import type { ConnectorOptions } from "../../src/tunnel/connector.ts";
import { makeTls } from "./grpc_links.ts";
import { soon } from "./soon.ts";
import { exposeThrough, randomBytes, startConnector, type TestConnector } from "./world.ts";

/** What a service goes through. */
export interface PathKind {
  type: ServiceType;
  security: "plaintext" | "mTLS";
}

/** All of them. */
export const PATH_KINDS: readonly PathKind[] = (["local", "remote"] as const).flatMap((type) =>
  (["plaintext", "mTLS"] as const).map((security) => ({ type, security }))
);

/** A name for tests. */
export function nameOf({ type, security }: PathKind): string {
  return `${type}, ${security}`;
}

/** Two connectors and a service. */
export interface TunnelPath extends AsyncDisposable {
  local: TestConnector;
  remote: TestConnector;
  /** Where visitors come. */
  port: number;
  /** The service's id. */
  id: string;
}

/** Made once for all tests of a process: it is the handshakes that matter. */
let tls: Promise<TlsIdentity> | undefined;

/** Exposes a destination on this machine. */
export async function startPath(
  { type, security }: PathKind,
  { destination, ...options }: { destination: number } & Partial<ConnectorOptions>,
): Promise<TunnelPath> {
  await using stack = new AsyncDisposableStack();
  const secured = security === "mTLS" ? { tls: await (tls ??= makeTls()) } : {};
  const local = stack.use(await startConnector({ ...options, ...secured }));
  const remote = stack.use(await startConnector({ ...options, ...secured }));
  const { port, id } = await exposeThrough({ local, remote }, { type, destination });
  const owned = stack.move();
  return { local, remote, port, id, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** How the incoming half of a connection ended. */
export type Ending = "in order" | "reset" | "still open";

/** A connection as a test sees it: every byte that came, and how it ended. */
export class WatchedSocket implements AsyncDisposable {
  readonly socket: Socket;
  /** Bytes that came. */
  bytes = 0;
  /** Resolves when nothing more will come. */
  readonly ended: Promise<Ending>;
  readonly #closed: Promise<void>;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    const ended = Promise.withResolvers<Ending>();
    const closed = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.#closed = closed.promise;
    socket.on("data", (chunk) => {
      this.bytes += chunk.length;
      this.#wake?.();
    });
    socket.on("end", () => ended.resolve("in order"));
    socket.on("error", (error) => {
      ended.resolve("code" in error && error.code === "ECONNRESET" ? "reset" : "still open");
    });
    socket.on("close", () => {
      ended.resolve("still open");
      closed.resolve();
    });
  }

  /** Waits until so many bytes have come. */
  async received(count: number): Promise<void> {
    const enough = async () => {
      while (this.bytes < count) await new Promise<void>((resolve) => this.#wake = resolve);
    };
    await soon(enough(), `${count} bytes have come`);
  }

  /** Writes, and waits until the system has taken it. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
  }

  /** Half-close. */
  finish(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await this.#closed;
  }
}

/** Connects to a port of this machine. A reset may come as early as the answer: that is an ending, not a failure. */
export async function visit(port: number): Promise<WatchedSocket> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  const watched = new WatchedSocket(socket);
  await soon(
    new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (error) => {
        if ("code" in error && error.code === "ECONNRESET") resolve();
        else reject(error);
      });
    }),
    `port ${port} takes the connection`,
  );
  return watched;
}

/** A TCP server that leaves its connections to the test. */
export interface WatchedServer extends AsyncDisposable {
  port: number;
  /** The next connection. */
  accept: () => Promise<WatchedSocket>;
}

/** Listens on a free port of 127.0.0.1. */
export async function serveWatched(): Promise<WatchedServer> {
  const sockets: WatchedSocket[] = [];
  let taken = 0;
  let wake: (() => void) | undefined;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.push(new WatchedSocket(socket));
    wake?.();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("not a TCP listener");
  return {
    port: address.port,
    async accept() {
      const index = taken++;
      const come = async () => {
        while (sockets.length <= index) await new Promise<void>((resolve) => wake = resolve);
      };
      await soon(come(), `connection ${index} has come`);
      const socket = sockets[index];
      if (socket === undefined) throw new TypeError("it was there a moment ago");
      return socket;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) await socket[Symbol.asyncDispose]();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** A path with one visitor that is connected through. */
export interface Connected extends AsyncDisposable {
  path: TunnelPath;
  visitor: WatchedSocket;
  upstream: WatchedSocket;
}

/** A path with one visitor, connected through to its destination. */
export async function connected(
  kind: PathKind,
  options: Partial<ConnectorOptions> = {},
): Promise<Connected> {
  await using stack = new AsyncDisposableStack();
  const server: WatchedServer = stack.use(await serveWatched());
  const path = stack.use(await startPath(kind, { ...options, destination: server.port }));
  const visitor = stack.use(await visit(path.port));
  const upstream = await server.accept();
  await visitor.write(randomBytes(10));
  await upstream.received(10);
  await upstream.write(randomBytes(10));
  await visitor.received(10);
  const owned = stack.move();
  return { path, visitor, upstream, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
