// The only owner of child processes. Whatever way a bench ends (its last line, an error, Ctrl-C),
// disposing the group ends every process that was started through it.

/** Lines of a child's output that are kept, to explain why it failed. */
const KEPT_LINES = 30;
/** How much of a failed program's stdout its error quotes. */
const QUOTED_CHARACTERS = 400;
/** How long a child may take to end after SIGTERM before it is killed. A connector drains first. */
const END_MS = 3_000;
/** How long a server may take to say that it is ready. */
const READY_MS = 20_000;

/** How a server is started. */
export interface StartOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** It ends after its work; without this, an end that was not asked for is a failure. */
  endsByItself?: boolean;
  /** The line, on stdout or stderr, that says it is ready. Without it, it is ready at once. */
  ready?: RegExp;
}

/** How a program that ends by itself is run. */
export interface RunOptions {
  cwd?: string;
  /** It is killed after so many milliseconds. */
  timeoutMs: number;
}

/** Every child process of one bench. */
export class ProcessGroup implements AsyncDisposable {
  /** Servers that ended although nobody asked them to: figures taken after that are doubtful. */
  readonly casualties: string[] = [];
  readonly #living = new Set<OwnedProcess>();
  #closed = false;

  /** Whether the group was disposed: nothing can be started any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Starts a server and waits until it is ready. */
  async start(command: readonly string[], options: StartOptions = {}): Promise<OwnedProcess> {
    const child = this.#spawn(command, options);
    try {
      if (options.ready !== undefined) await child.line(options.ready);
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw error;
    }
    if (!options.endsByItself) {
      void child.exited.then(({ code, signal }) => {
        if (child.stopped) return;
        const end = signal === null ? `code ${code}` : signal;
        this.casualties.push(
          `${command.join(" ")} ended with ${end}: ${child.recent() || "it said nothing"}`,
        );
      });
    }
    return child;
  }

  /**
   * Runs a program to its end and returns what it wrote to stdout.
   *
   * @throws {Error} when it fails or does not end in time, with the last that it said.
   */
  async run(command: readonly string[], options: RunOptions): Promise<string> {
    await using child = this.#spawn(command, { ...options, keepStdout: true });
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeoutMs);
    try {
      const { code, signal } = await child.exited;
      const output = await child.stdout;
      if (code !== 0) {
        const end = signal === null ? `code ${code}` : signal;
        const said = [child.recent(), output.slice(-QUOTED_CHARACTERS)].join("\n").trim();
        throw new Error(`${command[0]} ended with ${end}: ${said || "it said nothing"}`);
      }
      return output;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#living].map((child) => child[Symbol.asyncDispose]()));
  }

  #spawn(
    command: readonly string[],
    options: StartOptions & { keepStdout?: boolean },
  ): OwnedProcess {
    if (this.#closed) throw new Error("Cannot start a process: the bench is ending");
    const child = new OwnedProcess(command, options);
    this.#living.add(child);
    void child.exited.then(() => this.#living.delete(child));
    return child;
  }
}

/** One child process. Made by `ProcessGroup` only. */
export class OwnedProcess implements AsyncDisposable {
  readonly exited: Promise<Deno.CommandStatus>;
  /** Everything it wrote to stdout, once it has ended; empty unless it was run to its end. */
  readonly stdout: Promise<string>;
  readonly #child: Deno.ChildProcess;
  readonly #name: string;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  #ended = false;
  #stopped = false;

  constructor(
    command: readonly string[],
    { cwd, env, keepStdout = false }: StartOptions & { keepStdout?: boolean },
  ) {
    const [program = "", ...args] = command;
    this.#name = program;
    this.#child = new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
    }).spawn();
    this.stdout = keepStdout
      ? new Response(this.#child.stdout).text()
      : this.#watch(this.#child.stdout).then(() => "");
    const stderr = this.#watch(this.#child.stderr);
    this.exited = this.#child.status.then(async (status) => {
      this.#ended = true;
      await Promise.all([this.stdout, stderr]);
      return status;
    });
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Waits for a line of its output that matches; lines that came before count too. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (const line of this.#lines) {
      const match = pattern.exec(line);
      if (match !== null) return match;
    }
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
    const watcher = (line: string) => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match);
    };
    const fail = (problem: string) =>
      reject(new Error(`${this.#name} ${problem}: ${this.recent() || "it said nothing"}`));
    const timer = setTimeout(() => fail(`was not ready after ${READY_MS} ms`), READY_MS);
    this.#watchers.add(watcher);
    void this.exited.then(({ code }) => fail(`ended with code ${code} before it was ready`));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }

  /** Whether it was told to end. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Its last lines of output. */
  recent(): string {
    return this.#lines.join("\n");
  }

  /** Does nothing when it has ended already. */
  kill(signal: Deno.Signal): void {
    if (this.#ended) return;
    this.#stopped = true;
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended in this very moment, and its status was not read yet.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGTERM");
    const timer = setTimeout(() => this.kill("SIGKILL"), END_MS);
    await this.exited;
    clearTimeout(timer);
  }

  async #watch(output: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let rest = "";
    for await (const text of output.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#keep(line);
    }
    if (rest !== "") this.#keep(rest);
  }

  #keep(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    for (const watcher of this.#watchers) watcher(line);
  }
}
