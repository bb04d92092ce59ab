// A program on a terminal of its own, as a user has it: a pseudoterminal from the system, 80 columns wide, that is its
// controlling terminal. Linux only. Leaving the scope (`await using`) ends the program.

import { strictEqual } from "node:assert/strict";
import { Child, type ChildOptions, type Exit } from "./child.ts";

/** From Linux's asm-generic/ioctls.h and fcntl.h. */
const TIOCGPTN = 0x80045430n;
const TIOCSPTLCK = 0x40045431n;
const TIOCSWINSZ = 0x5414n;
const O_RDWR_NOCTTY_CLOEXEC = 0o2 | 0o400 | 0o2000000;

/** The most that is read at once, in bytes. */
const READ_BYTES = 4096;
/** How long a program may take to say something, in milliseconds. */
const WAIT_MS = 30_000;

function openLibc() {
  return Deno.dlopen("libc.so.6", {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    read: { parameters: ["i32", "buffer", "usize"], result: "isize", nonblocking: true },
    write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    close: { parameters: ["i32"], result: "i32" },
  });
}

/** A program on a terminal. */
export class TerminalProgram implements AsyncDisposable {
  /** Resolves when it has ended and all that it printed is here. */
  readonly exited: Promise<Exit>;
  readonly #library = openLibc();
  readonly #libc = this.#library.symbols;
  readonly #user: number;
  readonly #child: Child;
  #output = "";
  #changed = Promise.withResolvers<void>();

  constructor(command: string, options: ChildOptions & { columns?: number } = {}) {
    const { args = [], columns = 80, stderrLine: _, ...rest } = options;
    this.#user = this.#open("/dev/ptmx");
    this.#ioctl(this.#user, TIOCSPTLCK, new Int32Array([0]));
    const number = new Int32Array(1);
    this.#ioctl(this.#user, TIOCGPTN, number);
    this.#ioctl(this.#user, TIOCSWINSZ, new Uint16Array([24, columns, 0, 0]));
    const path = `/dev/pts/${number[0]}`;
    // As long as it is open here, reading waits; once nobody has it open any more, reading ends.
    const held = this.#open(path);
    // Whoever opens a terminal as the first of a session has it as the controlling one.
    const script = 'terminal=$1; shift; exec "$@" <"$terminal" >"$terminal" 2>&1';
    this.#child = new Child("setsid", {
      ...rest,
      args: ["sh", "-c", script, "sh", path, command, ...args],
    });
    this.exited = this.#run(held);
  }

  /** What it has printed, with a line feed at each line's end. */
  get output(): string {
    return this.#output.replaceAll("\r\n", "\n");
  }

  /** Waits until something that it printed fits; fails when it ends first, or after 30 s. */
  async waitFor(pattern: RegExp): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    const timer = setTimeout(() => this.#change(), WAIT_MS);
    let ended = false;
    const end = this.exited.then(() => void (ended = true));
    try {
      while (!pattern.test(this.output)) {
        if (ended || performance.now() >= deadline) {
          throw new Error(`It did not print ${pattern} but:\n${this.output}`);
        }
        await Promise.race([this.#changed.promise, end]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** What the user types: `\x03` is Ctrl-C. */
  type(text: string): void {
    const bytes = new TextEncoder().encode(text);
    strictEqual(this.#libc.write(this.#user, bytes, BigInt(bytes.length)), BigInt(bytes.length));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  async #run(held: number): Promise<Exit> {
    const read = this.#read();
    const exit = await this.#child.exited;
    this.#libc.close(held);
    await read;
    this.#libc.close(this.#user);
    this.#library.close();
    return exit;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    const bytes = new Uint8Array(READ_BYTES);
    for (;;) {
      const count = Number(await this.#libc.read(this.#user, bytes, BigInt(bytes.length)));
      if (count <= 0) return;
      this.#output += decoder.decode(bytes.subarray(0, count), { stream: true });
      this.#change();
    }
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  #open(path: string): number {
    const name = new TextEncoder().encode(`${path}\0`);
    const descriptor = this.#libc.open(name, O_RDWR_NOCTTY_CLOEXEC);
    if (descriptor < 0) throw new Error(`Cannot open ${path}`);
    return descriptor;
  }

  #ioctl(
    descriptor: number,
    request: bigint,
    argument: Int32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>,
  ): void {
    strictEqual(this.#libc.ioctl(descriptor, request, argument), 0, `ioctl ${request}`);
  }
}
