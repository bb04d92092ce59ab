// A TCP path that can go silent: nothing arrives any more, and nothing says so, as when a cable is cut. Resets and
// half-closes pass while it is not. It can also break, which both sides are told. Used by behaviour.ts.

import { once } from "node:events";
import net from "node:net";

/** Listens at a port of 127.0.0.1 and relays to one address. */
export class SilentRelay implements AsyncDisposable {
  readonly #target: { host: string; port: number };
  readonly #server = net.createServer(
    { allowHalfOpen: true, noDelay: true },
    (socket) => this.#join(socket),
  );
  readonly #sockets = new Set<net.Socket>();
  #silent = Promise.resolve();
  #resume = () => {};
  #isSilent = false;
  #port = 0;

  constructor(target: { host: string; port: number }) {
    this.#target = target;
  }

  /** Resolves with the port; 0 stands for any that is free. */
  async listen(port: number): Promise<number> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    this.#port = typeof address === "object" ? address?.port ?? port : port;
    return this.#port;
  }

  /** Ends every connection, and takes no new ones until it is mended. */
  async break(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Takes connections again. */
  async mend(): Promise<void> {
    await this.listen(this.#port);
  }

  /** From now on nothing passes, ends of connections included. */
  silence(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.#silent, this.#resume, this.#isSilent] = [promise, resolve, true];
  }

  /** Everything passes again, and what was held back first. */
  resume(): void {
    this.#isSilent = false;
    this.#resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  async #join(from: net.Socket): Promise<void> {
    this.#keep(from);
    if (this.#isSilent) await this.#silent;
    const to = net.connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    this.#keep(to);
    this.#copy(from, to);
    this.#copy(to, from);
  }

  #copy(from: net.Socket, to: net.Socket): void {
    const pass = async (what: () => void) => {
      if (this.#isSilent) await this.#silent;
      what();
    };
    from.on("data", (chunk) => {
      from.pause();
      pass(() => to.write(chunk, () => from.resume()));
    });
    from.on("end", () => pass(() => to.end()));
    from.on("error", () => pass(() => to.resetAndDestroy()));
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {}).on("close", () => this.#sockets.delete(socket));
  }
}
