// A TCP socket as visitors and upstreams of a chaos run use it: it tells an orderly end from a reset, and can do both.
// It is node's, because `Deno.Conn` cannot send a reset; and not the product's own, which is what is tested.

import { connect, type Socket } from "node:net";

/** How long connecting may take, in milliseconds. */
const CONNECT_TIMEOUT_MS = 15_000;

/** A connected socket. */
export class TestSocket implements Disposable {
  readonly #socket: Socket;
  #failure: Error | undefined;

  /** The socket must be made with `allowHalfOpen`. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("error", (error) => this.#failure = error);
  }

  /** Connects to a port of 127.0.0.1. Rejects when nobody takes it. */
  static async connect(port: number): Promise<TestSocket> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
    const timer = setTimeout(
      () => socket.destroy(new Error("connecting took too long")),
      CONNECT_TIMEOUT_MS,
    );
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      });
      return new TestSocket(socket);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What comes, until the other side finishes in order. @throws {Error} when it is reset, or closed here. */
  chunks(): AsyncIterable<Uint8Array> {
    return this.#socket.iterator({ destroyOnReturn: false });
  }

  /** Resolves when the system has taken it. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#settled((done) => this.#socket.write(bytes, done));
  }

  /** Says that no more bytes come. */
  finish(): Promise<void> {
    return this.#settled((done) => this.#socket.end(done));
  }

  /** Ends both directions with a reset. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** Ends both directions. Idempotent. */
  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #settled(act: (done: (error?: Error | null) => void) => void): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onClose = () => reject(this.#failure ?? new Error("the socket is closed"));
    if (this.#socket.destroyed) onClose();
    else {
      this.#socket.once("close", onClose);
      act((error) => error ? reject(error) : resolve());
    }
    return promise.finally(() => this.#socket.off("close", onClose));
  }
}
