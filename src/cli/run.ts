// `connector run`: starts a connector with what its process has, and ends it when a signal says so. What a connector is
// made of is in assemble.ts.

import { getLogger, type Logger } from "@logtape/logtape";
import { formatAddress } from "../model/address.ts";
import { assemble, type RunningConnector } from "../assemble.ts";
import { ConnectorError } from "../model/errors.ts";
import { ACCESS_CATEGORY, configureLogging } from "../log.ts";
import { PROXY_VARIABLES } from "../proxies.ts";
import config from "../../deno.json" with { type: "json" };
import { reserveMemory } from "../platform/external_memory.ts";
import { collectStartGarbage } from "../platform/start_garbage.ts";
import { SCHEDULER_VARIABLES } from "../integrations/integration.ts";
import { paint, wantsColor } from "./color.ts";
import { COLOR_VARIABLES, readVariable } from "./environment.ts";
import { nextSteps, type StartedPlaces } from "./next_steps.ts";
import { writeError } from "./output.ts";
import { formatSize } from "./quantities.ts";
import type { RunOptions } from "./run_options.ts";
import { type StopRequests, stopSignals } from "./stop_signals.ts";
import type { Build } from "./version.ts";

/** Runs a connector until a signal asks it to end. Resolves with the exit code. @throws {ConnectorError} when it cannot start. */
export async function runConnector(options: RunOptions, build?: Build): Promise<number> {
  const reserved = reserveMemory(options.reservedMemory);
  const isTerminal = Deno.stderr.isTerminal();
  // Elsewhere it is read by programs: no wish for colour changes it.
  const colored = isTerminal && wantsColor(readAll(COLOR_VARIABLES), true);
  await using logging = await configureLogging({
    level: options.logLevel,
    format: options.logFormat,
    access: options.accessLog,
    paint: colored ? paint : undefined,
  });
  const logger = getLogger(["connector"]);
  const stop = stopSignals();
  try {
    await run(options, {
      logger,
      stop,
      reserved,
      commit: build?.commit,
      // Somebody is there to be told what to do next, behind the lines of the log.
      async onStarted(running) {
        if (!isTerminal || options.logFormat !== "text") return;
        await logging.flush();
        writeError(nextSteps(placesOf(running, options), { colored }));
      },
    });
  } catch (error) {
    if (!(error instanceof ConnectorError) || error.code !== "cancelled") throw error;
    // It was asked to end before it had started: that is no failure.
    logger.info("connector stopping", { signal: await stop.first });
  }
  return 0;
}

/** Runs it to its end. @throws {ConnectorError} `cancelled` when it is asked to end before it has started; when it fails. */
async function run(
  options: RunOptions,
  { logger, stop, reserved, commit, onStarted }: {
    logger: Logger;
    stop: StopRequests;
    reserved: number;
    commit: string | undefined;
    onStarted: (running: RunningConnector) => Promise<void>;
  },
): Promise<void> {
  for (const { option, reason } of options.ineffective) {
    logger.warn("option has no effect", { option, reason });
  }
  await using running = await assemble(options, {
    logger,
    config: options.config,
    described: options.described,
    accessLogger: options.accessLog && getLogger(ACCESS_CATEGORY),
    build: { version: config.version, commit: commit ?? "" },
    proxyVariables: readAll(PROXY_VARIABLES),
    ...(options.integration && {
      schedulerVariables: Object.fromEntries(
        SCHEDULER_VARIABLES.map((name) => [name, readVariable(name)]),
      ),
    }),
    signal: stop.asked,
  });
  logger.info("connector started", {
    version: config.version,
    grpc: formatAddress(running.grpc.address),
    ...(running.httpAddress && { http: formatAddress(running.httpAddress) }),
    ...(options.apiSocket !== undefined && { socket: options.apiSocket }),
    ...(running.metricsAddress && { metrics: formatAddress(running.metricsAddress) }),
    reservedMemory: formatSize(reserved),
  });
  await onStarted(running);
  stop.onReload = () => {
    logger.info("reading files again", { signal: "SIGHUP" });
    void running.reload();
  };
  using _collecting = collectStartGarbage();
  const { drainMs } = options;
  logger.info("connector stopping", { signal: await stop.first, drainMs });
  stop.second.addEventListener("abort", () => logger.info("connector stops waiting"));
  await running.close({ drainMs, signal: stop.second });
  logger.info("connector stopped", running.summary);
}

function readAll(names: readonly string[]): Record<string, string | undefined> {
  return Object.fromEntries(names.map((name) => [name, Deno.env.get(name)]));
}

function placesOf(running: RunningConnector, options: RunOptions): StartedPlaces {
  return {
    grpc: running.grpc.address,
    http: running.httpAddress,
    apiSocket: options.apiSocket,
    rootCertPath: options.tls?.rootCertPath,
    apiTokenFile: options.apiTokenFile,
  };
}
