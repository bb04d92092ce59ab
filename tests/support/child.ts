// A program that a test starts: what it prints is kept, waiting for it has a deadline, and leaving the scope
// (`await using`) ends it. tests/support/processes.ts builds connectors on it, tests/programs everything else.

import { userEnvironment } from "./environment.ts";

/** How long a program may take to say that it is ready, in milliseconds; a cold cache is slow. */
const READY_TIMEOUT_MS = 30_000;
/** How long a program may take to end once it is told to, in milliseconds, before it is killed. */
const STOP_TIMEOUT_MS = 10_000;
/** How long output may follow a program's end, in milliseconds: its own children may hold it open. */
const OUTPUT_GRACE_MS = 2000;
/** The most that is kept of what a program prints, in characters; the oldest goes first. */
const MAX_OUTPUT_LENGTH = 8 * 1024 * 1024;

/** How to start a program. */
export interface ChildOptions {
  args?: string[];
  cwd?: string;
  /** Added to what every user has. */
  env?: Record<string, string>;
  /** `env` is the whole environment. */
  clearEnv?: boolean;
  /** What each line on stderr must fit. Leaving the scope, or waiting for the end, fails when one does not. */
  stderrLine?: RegExp;
  /** What ends it when the scope is left. Default: SIGTERM. */
  stopSignal?: Deno.Signal;
}

/** How a program ended. */
export interface Exit {
  /** As a shell has it: 128 and the signal's number when a signal ended it. */
  code: number;
  signal: Deno.Signal | null;
}

/** A running program. */
export class Child implements AsyncDisposable {
  /** Resolves when it has ended and what it printed is here. */
  readonly exited: Promise<Exit>;
  readonly #command: string;
  readonly #process: Deno.ChildProcess;
  readonly #stopSignal: Deno.Signal;
  readonly #stderrLine: RegExp | undefined;
  #stdout = "";
  #stderr = "";
  #ended = false;
  #exit: Exit | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(command: string, options: ChildOptions = {}) {
    const { args = [], cwd, env = {}, clearEnv = false, stopSignal = "SIGTERM" } = options;
    this.#command = [command, ...args].join(" ");
    this.#stopSignal = stopSignal;
    this.#stderrLine = options.stderrLine;
    this.#process = new Deno.Command(command, {
      args,
      ...(cwd === undefined ? {} : { cwd }),
      clearEnv: true,
      env: { ...(clearEnv ? {} : userEnvironment()), ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.exited = this.#run();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** What it has printed on stdout. */
  get stdout(): string {
    return this.#stdout;
  }

  /** What it has printed on stderr. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Sends a signal; nothing when it has ended. */
  kill(signal: Deno.Signal): void {
    if (!this.#ended) this.#process.kill(signal);
  }

  /** Waits until something that it printed fits; fails when it ends first, or after a deadline. */
  async waitFor(
    pattern: RegExp,
    { timeoutMs = READY_TIMEOUT_MS }: { timeoutMs?: number } = {},
  ): Promise<RegExpExecArray> {
    const deadline = performance.now() + timeoutMs;
    const timer = setTimeout(() => this.#change(), timeoutMs);
    try {
      while (true) {
        const match = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
        if (match) return match;
        if (this.#exit) throw this.failure(`ended with code ${this.#exit.code} before ${pattern}`);
        if (performance.now() >= deadline) throw this.failure(`did not print ${pattern} in time`);
        await this.#changed.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it and resolves with how it ended; kills it and fails when it takes too long. */
  async stop(
    { signal = this.#stopSignal, timeoutMs = STOP_TIMEOUT_MS }: {
      signal?: Deno.Signal;
      timeoutMs?: number;
    } = {},
  ): Promise<Exit> {
    this.kill(signal);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.kill("SIGKILL");
    }, timeoutMs);
    const exit = await this.exited;
    clearTimeout(timer);
    if (late) throw this.failure(`was still there ${timeoutMs} ms after ${signal}`);
    this.checkStderr();
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Fails when a line on stderr is not one of those that it may print. */
  checkStderr(): void {
    const wanted = this.#stderrLine;
    if (wanted === undefined) return;
    const strange = this.#stderr.split("\n").find((line) => line !== "" && !wanted.test(line));
    if (strange !== undefined) throw this.failure(`printed ${JSON.stringify(strange)} on stderr`);
  }

  /** An error about this program, with what it printed last. */
  failure(problem: string): Error {
    const tail = `${this.#stdout.slice(-4000)}${this.#stderr.slice(-4000)}`;
    return new Error(`${this.#command} ${problem}; it printed:\n${tail}`);
  }

  async #run(): Promise<Exit> {
    const { stdout, stderr, status } = this.#process;
    const readers = [stdout.getReader(), stderr.getReader()];
    const keepers = [
      (text: string) => this.#stdout = (this.#stdout + text).slice(-MAX_OUTPUT_LENGTH),
      (text: string) => this.#stderr = (this.#stderr + text).slice(-MAX_OUTPUT_LENGTH),
    ];
    const collected = readers.map((reader, index) => this.#collect(reader, keepers[index]));
    const { code, signal } = await status;
    this.#ended = true;
    const timer = setTimeout(() => {
      for (const reader of readers) reader.cancel();
    }, OUTPUT_GRACE_MS);
    await Promise.all(collected);
    clearTimeout(timer);
    this.#exit = { code, signal };
    this.#change();
    return this.#exit;
  }

  async #collect(
    reader: ReadableStreamDefaultReader<Uint8Array>,
    keep: (text: string) => void = () => {},
  ): Promise<void> {
    const decoder = new TextDecoder();
    for (let { value } = await reader.read(); value; { value } = await reader.read()) {
      keep(decoder.decode(value, { stream: true }));
      this.#change();
    }
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** Runs a program to its end; kills it and fails when it takes too long. */
export async function runProgram(
  command: string,
  { timeoutMs = READY_TIMEOUT_MS, ...options }: ChildOptions & { timeoutMs?: number } = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const child = new Child(command, options);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const exit = await child.exited;
  clearTimeout(timer);
  if (late) throw child.failure(`was still running after ${timeoutMs} ms`);
  child.checkStderr();
  return { ...exit, stdout: child.stdout, stderr: child.stderr };
}
