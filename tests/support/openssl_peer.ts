// Drives openssl_peer.mjs: one `node` for many connections, so that each costs a handshake and no more.

import { fileURLToPath } from "node:url";

/** What became of one connection. */
export interface Outcome {
  /** `in`: we spoke HTTP/2 to it, or answered its call. `unpresentable`: OpenSSL cannot load what it should show. */
  verdict: "in" | "out" | "unpresentable";
  /** The peer's view of it. */
  why: string;
}

/** What the peer shows. */
export interface Presented {
  /** In PEM, the leaf first. */
  chain: string;
  key: string;
  version: TlsVersion;
}

export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/** A server of the peer's that takes one connection. */
export interface OfferedServer {
  port: number;
  /** What became of the connection. */
  outcome: Promise<Outcome>;
  /** Ends it if nobody has come. */
  forget(): Promise<void>;
}

type Answer = Partial<Outcome> & { id: number; port?: number };

/** A `node` that does as it is told. */
export class OpensslPeer implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #reading: Promise<void>;
  #orders = 0;

  constructor() {
    this.#process = new Deno.Command("node", {
      args: [fileURLToPath(new URL("openssl_peer.mjs", import.meta.url))],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** Connects to a port of this machine, shows the chain, and makes a call. */
  async connect(presented: Presented, { port }: { port: number }): Promise<Outcome> {
    const id = this.#orders++;
    const answered = this.#answer(id);
    await this.#send({ id, as: "client", port, ...presented });
    return outcomeOf(await answered);
  }

  /** Listens with the chain; undefined with the reason when OpenSSL cannot show it. */
  async serve(
    presented: Presented,
    { host }: { host: string },
  ): Promise<OfferedServer | Outcome> {
    const id = this.#orders++;
    const answered = this.#answer(id);
    await this.#send({ id, as: "server", host, ...presented });
    const answer = await answered;
    if (answer.port === undefined) return outcomeOf(answer);
    return {
      port: answer.port,
      outcome: this.#answer(id).then(outcomeOf),
      forget: () => this.#send({ id: this.#orders++, as: "forget", server: id }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer.close();
    await this.#reading;
    await this.#process.status;
  }

  async #send(order: object): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`));
  }

  #answer(id: number): Promise<Answer> {
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.#process.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        // It is what openssl_peer.mjs writes.
        const answer = JSON.parse(line) as Answer;
        const resolve = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        resolve?.(answer);
      }
    }
  }
}

function outcomeOf({ verdict = "out", why = "" }: Answer): Outcome {
  return { verdict, why };
}
