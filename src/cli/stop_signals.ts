// Listens for the signals that ask a connector to stop, and counts how many requests they make; and for the one that asks
// it to read its files again. Once started it listens for ever, so that a further signal during the stop does not end the
// process with another code. Used by run.ts.
//
// SIGHUP has two meanings. Started on a terminal, it says that the terminal was closed, and so that the connector is to
// stop. A daemon has no terminal: there it asks for a reload, as usual. A connector that was started on a terminal needs no
// such signal, because it notices by itself that files have changed.

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
  /** Called when files are to be read again. */
  onReload: () => void = () => {};
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
  // Without a listener the runtime would end the process, also one that nohup runs.
  else Deno.addSignalListener("SIGHUP", () => requests.onReload());
  return requests;
}

/** Whether there is a terminal that may be closed: nohup leaves none, but elsewhere than on Linux the input's. */
function isOnTerminal(): boolean {
  return Deno.stdout.isTerminal() || Deno.stderr.isTerminal() ||
    Deno.build.os === "linux" && Deno.stdin.isTerminal();
}
