// `connector forward` at work: one service of a connector of its own, and what is shown of it. On a terminal that is a
// line that changes; elsewhere a line for each change.

import { getLogger } from "@logtape/logtape";
import { assemble, type RunningConnector } from "../assemble.ts";
import { delay } from "../delay.ts";
import { configureLogging } from "../log.ts";
import { ConnectorError } from "../model/errors.ts";
import type { ServiceReport } from "../model/service.ts";
import { PROXY_VARIABLES } from "../proxies.ts";
import { writeOut } from "./output.ts";
import type { ForwardOptions } from "./forward.ts";
import {
  failureTexts,
  stateText,
  statusLine,
  totalsText,
  type Traffic,
  wayText,
} from "./forward_texts.ts";
import { type StopRequests, stopSignals } from "./stop_signals.ts";

/** Between two looks, in milliseconds. */
const LOOK_MS = 500;
/** Begins the line anew. ECMA-48. */
const CLEAR_LINE = "\r\x1b[K";
/** Columns of a terminal that does not know how many it has. */
const UNKNOWN_COLUMNS = 80;

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
  const look = () => {
    const [service] = connector.list();
    if (service === undefined) throw new TypeError("it is exposed until its connector ends");
    return service;
  };
  const isTerminal = Deno.stdout.isTerminal();
  await (isTerminal ? showLine(look, signal) : showChanges(look, signal));
  const service = look();
  const { total, open } = service.connections;
  const start = isTerminal ? CLEAR_LINE : `${wayText(service)} | `;
  try {
    writeOut(`${start}${totalsText(service)}\n${endText(total, open)}\n`);
  } catch {
    // It may end because its terminal was closed.
  }
}

/** On a terminal: where it leads, why connections fail, and below that a line that changes. */
async function showLine(look: () => ServiceReport, signal: AbortSignal): Promise<void> {
  writeOut(`${wayText(look())}\n`);
  const failureOf = failureTexts();
  let before: Traffic | undefined;
  while (!signal.aborted) {
    const service = look();
    const { bytesIn, bytesOut } = service.connections;
    const now = { at: performance.now(), bytesIn, bytesOut };
    const line = statusLine(service, {
      rates: before && { before, now },
      now: new Date(),
      columns: Deno.consoleSize().columns || UNKNOWN_COLUMNS,
    });
    before = now;
    const failure = failureOf(service);
    writeOut(`${CLEAR_LINE}${failure === undefined ? "" : `${failure}\n`}${line}`);
    await delay(LOOK_MS, { signal });
  }
}

/** Elsewhere: a line for each change, and for each reason why connections fail. */
async function showChanges(look: () => ServiceReport, signal: AbortSignal): Promise<void> {
  const failureOf = failureTexts();
  let shown: string | undefined;
  while (!signal.aborted) {
    const service = look();
    const state = stateText(service);
    for (const text of [state === shown ? undefined : state, failureOf(service)]) {
      if (text !== undefined) writeOut(`${wayText(service)} | ${text}\n`);
    }
    shown = state;
    await delay(LOOK_MS, { signal });
  }
}

function endText(total: number, open: number): string {
  const count = `${total} ${total === 1 ? "connection" : "connections"}`;
  return `Ended after ${count}${open > 0 ? `; ${open} of them cut off` : ""}`;
}
