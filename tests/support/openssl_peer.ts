// Drives openssl_peer.mjs: one `node` for many connections, so that each costs a handshake and no more.

import { fileURLToPath } from "node:url";
import { pem } from "./der_writer.ts";
import {
  CALL,
  type OfferedServer,
  type Outcome,
  type Presented,
  type TlsPeer,
} from "./tls_peer.ts";

type Answer = Partial<Outcome> & { id: number; port?: number };

/** A `node` that does as it is told. */
export class OpensslPeer implements TlsPeer {
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
    await this.#send({ id, as: "client", port, call: CALL.toBase64(), ...inPem(presented) });
    return outcomeOf(await answered);
  }

  /** Listens with the chain; undefined with the reason when OpenSSL cannot show it. */
  async serve(
    presented: Presented,
    { host }: { host: string },
  ): Promise<OfferedServer | Outcome> {
    const id = this.#orders++;
    const answered = this.#answer(id);
    await this.#send({ id, as: "server", host, ...inPem(presented) });
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

function inPem({ chain, ...rest }: Presented): Omit<Presented, "chain"> & { chain: string } {
  return { chain: chain.map((der) => pem("CERTIFICATE", der)).join(""), ...rest };
}
