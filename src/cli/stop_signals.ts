// Listens for the signals that ask a connector to stop, and counts how many requests they make. Once started it listens
// for ever, so that a further signal during the stop does not end the process with another code. Used by run.ts.

/**
 * How long after the first signal others belong to the same request, in milliseconds. Wrappers hand on what the terminal has
 * sent to their child as well: measured on an idle machine, three SIGINT within 0.3 ms from `deno task`, two within 80 ms from
 * one in another, SIGINT and SIGCONT within 0.1 ms from `timeout`, SIGHUP up to three times within 1.1 ms from a terminal
 * that is closed under a shell and `npx`; within some 100 ms on a busy one. Nobody decides that fast not to wait.
 */
const TOGETHER_MS = 500;

/** Requests to end. */
export class StopRequests {
  /** Resolves with the name of the signal that asked first. */
  readonly first: Promise<string>;
  readonly #first = Promise.withResolvers<string>();
  readonly #asked = new AbortController();
  readonly #second = new AbortController();
  #firstAt: number | undefined;

  constructor() {
    this.first = this.#first.promise;
  }

  /** Aborted by the first request: a start is given up. */
  get asked(): AbortSignal {
    return this.#asked.signal;
  }

  /** Aborted by the second request: no more waiting. */
  get second(): AbortSignal {
    return this.#second.signal;
  }

  /** A signal was received; `at` is when, in milliseconds of any clock that only goes forward. */
  receive(signal: string, at: number): void {
    if (this.#firstAt === undefined) {
      this.#firstAt = at;
      this.#first.resolve(signal);
      this.#asked.abort();
    } else if (at - this.#firstAt > TOGETHER_MS) {
      this.#second.abort();
    }
  }
}

/** Listens to the signals of this process. */
export function stopSignals(): StopRequests {
  const requests = new StopRequests();
  const listen = (signal: Deno.Signal) => {
    Deno.addSignalListener(signal, () => requests.receive(signal, performance.now()));
  };
  listen("SIGINT");
  if (Deno.build.os === "windows") {
    // It has no SIGTERM to listen for.
    listen("SIGBREAK");
    return requests;
  }
  listen("SIGTERM");
  if (isOnTerminal()) listen("SIGHUP");
  // Nobody listens to it whom nohup runs. The runtime does, and would end the process.
  else Deno.addSignalListener("SIGHUP", () => {});
  return requests;
}

/** Whether there is a terminal that may be closed: nohup leaves none, but elsewhere than on Linux the input's. */
function isOnTerminal(): boolean {
  return Deno.stdout.isTerminal() || Deno.stderr.isTerminal() ||
    Deno.build.os === "linux" && Deno.stdin.isTerminal();
}
