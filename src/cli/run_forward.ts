// `connector forward` at work: one service of a connector of its own, and what is shown of it. On a terminal that is one
// line that changes; elsewhere a line for each change.

import { getLogger } from "@logtape/logtape";
import { assemble, type RunningConnector } from "../assemble.ts";
import { delay } from "../delay.ts";
import { configureLogging } from "../log.ts";
import { ConnectorError } from "../model/errors.ts";
import { PROXY_VARIABLES } from "../proxies.ts";
import { writeOut } from "./output.ts";
import type { ForwardOptions } from "./forward.ts";
import { forwardLine, type Traffic } from "./forward_texts.ts";
import { type StopRequests, stopSignals } from "./stop_signals.ts";

/** Between two looks, in milliseconds. */
const LOOK_MS = 500;
/** Begins the line anew. ECMA-48. */
const CLEAR_LINE = "\r\x1b[K";

/** Forwards until a signal asks it to end. Resolves with the exit code. @throws {ConnectorError} when it cannot. */
export async function runForward(options: ForwardOptions): Promise<number> {
  // What goes on is in the line that is shown.
  await using _logging = await configureLogging({ level: "error", format: "text" });
  const stop = stopSignals();
  try {
    await forward(options, stop);
  } catch (error) {
    // It was asked to end before it had begun: that is no failure.
    if (!(error instanceof ConnectorError) || error.code !== "cancelled") throw error;
  }
  return 0;
}

async function forward({ request, connector }: ForwardOptions, stop: StopRequests): Promise<void> {
  await using running = await assemble(connector, {
    logger: getLogger(["connector"]),
    proxyVariables: Object.fromEntries(
      PROXY_VARIABLES.map((name) => [name, Deno.env.get(name)]),
    ),
    signal: stop.asked,
  });
  await running.connector.expose(request, { signal: stop.asked });
  await show(running, stop.asked);
  // Whoever ends it has had enough: nothing is waited for but that the other side hears of it.
  await running.close({ drainMs: 0 });
}

/** Shows how it goes until it ends, and what there was in all. */
async function show({ connector }: RunningConnector, signal: AbortSignal): Promise<void> {
  const isTerminal = Deno.stdout.isTerminal();
  let before: Traffic | undefined;
  let shown = "";
  for (;;) {
    const [service] = connector.list();
    if (service === undefined) throw new TypeError("it is exposed until its connector ends");
    const { connections: { open, total, bytesIn, bytesOut } } = service;
    const now = { at: performance.now(), bytesIn, bytesOut };
    const ended = signal.aborted;
    const line = forwardLine(service, {
      rates: isTerminal && !ended ? before && { before, now } : undefined,
      counts: isTerminal || ended,
      now: new Date(),
    });
    before = now;
    if (isTerminal) writeOut(`${CLEAR_LINE}${clip(line)}${ended ? "\n" : ""}`);
    else if (line !== shown) writeOut(`${line}\n`);
    shown = line;
    if (ended) {
      return writeOut(`${endText(total, open)}
`);
    }
    await delay(LOOK_MS, { signal });
  }
}

/** A line that is longer than the terminal would stay when it is cleared. */
function clip(line: string): string {
  const { columns } = Deno.consoleSize();
  return columns > 1 ? line.slice(0, columns - 1) : line;
}

function endText(total: number, open: number): string {
  const count = `${total} ${total === 1 ? "connection" : "connections"}`;
  return `Ended after ${count}${open > 0 ? `; ${open} of them cut off` : ""}`;
}
