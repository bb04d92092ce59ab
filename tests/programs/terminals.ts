// A terminal, made by script(1): what runs in it sees one, keys that are typed become signals, and it can be closed.

import { ROOT } from "../support/processes.ts";
import { until } from "../support/world.ts";

/** How long programs of a terminal may take to say what is waited for, in milliseconds: npx is slow. */
const TIMEOUT_MS = 60_000;

/** A terminal in which a shell runs one line. */
export class Terminal implements AsyncDisposable {
  readonly #script: Deno.ChildProcess;
  readonly #keys: WritableStreamDefaultWriter<Uint8Array>;
  readonly #read: Promise<void>;
  #shown = "";

  constructor(line: string) {
    this.#script = new Deno.Command("script", {
      args: ["--quiet", "--flush", "--command", line, "/dev/null"],
      cwd: ROOT,
      env: { SHELL: "/bin/bash" },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#keys = this.#script.stdin.getWriter();
    this.#read = this.#keepShown();
  }

  async #keepShown(): Promise<void> {
    const text = this.#script.stdout.pipeThrough(new TextDecoderStream());
    for await (const part of text) this.#shown += part;
  }

  /** Waits until it shows something, and resolves with what was matched. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    const what = `the terminal shows ${pattern}`;
    await until(() => pattern.test(this.#shown), what, { timeoutMs: TIMEOUT_MS });
    const match = pattern.exec(this.#shown);
    if (match === null) throw new TypeError("it has matched");
    return match;
  }

  /** Types something. */
  async type(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** Closes it, as one closes a window. Idempotent. */
  async close(): Promise<void> {
    try {
      this.#script.kill("SIGKILL");
    } catch (error) {
      // It has ended.
      if (!(error instanceof TypeError)) throw error;
    }
    await this.#script.status;
    await this.#keys.close().catch(() => {});
    await this.#read;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
