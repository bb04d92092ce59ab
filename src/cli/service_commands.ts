// `connector expose`, `list`, `status`, `remove` and `wait`: what a user asks of a running connector, over its REST API.
// Tables are for people; with --json each prints what the API answers.

import { Argument, Command, Option } from "commander";
import type { AnyServiceJson } from "../api/answers.ts";
import { delay } from "../delay.ts";
import { ConnectorError } from "../model/errors.ts";
import { formatAddress } from "../model/address.ts";
import { isServiceName } from "../model/service.ts";
import { plainJson, plainText } from "../plain_text.ts";
import type { ApiClient } from "./api_client.ts";
import { addApiOptions, type ApiSettings } from "./api_options.ts";
import { findService, findServices } from "./find_services.ts";
import { parseForwarding, parsePeer } from "./forwarding.ts";
import { examples } from "./help_layout.ts";
import { EXIT_NOT_READY, NotReadyError } from "./not_ready_error.ts";
import { parseDuration } from "./quantities.ts";
import { serviceDetails, servicesTable, statusOverview, unreadyLines } from "./service_texts.ts";
import { UsageError } from "./usage_error.ts";

/** What the commands need of the world. */
export interface ServiceIo {
  stdout(text: string): void;
  columns(stream: "stdout"): number | undefined;
  env: Readonly<Record<string, string | undefined>>;
  /** Ends `status --watch`. Default: nothing does but the end of the process. */
  signal?: AbortSignal;
}

/** How to ask, what `io` says, and who is told the exit code. */
interface Context {
  io: ServiceIo;
  setExitCode: (code: number) => void;
}

/** Between two looks, in milliseconds: while somebody watches, and while a script waits. */
const WATCH_MS = 1000;
const WAIT_MS = 250;
/** How long the last look may take when the time for waiting is over, in milliseconds. */
const LAST_LOOK_MS = 2000;
/** The longest that may be waited for, in milliseconds: what the API lets a request wait. */
const MAX_WAIT_MS = 300_000;
/** How long `connector wait` waits unless it is told, in milliseconds. */
const DEFAULT_FOR = "30s";
/** Characters of a name in a sentence. */
const MAX_NAME_LENGTH = 255;

/** Builds the commands. */
export function serviceCommands(
  io: ServiceIo,
  setExitCode: (code: number) => void,
): Command[] {
  const context = { io, setExitCode };
  return [
    exposeCommand(context),
    listCommand(context),
    statusCommand(context),
    removeCommand(context),
    waitCommand(context),
  ];
}

interface Common extends ApiSettings {
  json?: boolean;
}

interface ExposeSettings extends Common {
  to?: string;
  name?: string;
  wait?: string;
}

function exposeCommand({ io }: Context): Command {
  const command = new Command("expose")
    .summary("expose a service through a running connector")
    .description(
      "Exposes a service through a running connector. local: visitors of the port at the other connector are " +
        "connected to the destination here. remote: visitors of the port here are connected to the destination there.",
    )
    .addArgument(
      new Argument("<type>", "which side the destination is on").choices(["local", "remote"]),
    )
    .argument("<forwarding>", "[ADDRESS:]PORT:HOST:PORT: where to listen, and the destination")
    .option("--to <address>", "host:port of the other connector's gRPC server")
    .option("--name <name>", "what to call it (default: the destination)")
    .option(
      "--wait <duration>",
      "wait so long until it is complete; if it does not become so, it is removed",
    );
  return finish(command, EXPOSE_EXAMPLES).action(
    async (type: "local" | "remote", text: string, settings: ExposeSettings) => {
      const { sourceAddr, sourcePort, destination } = parseForwarding(text);
      const to = parsePeer(settings.to);
      const name = settings.name ?? formatAddress(destination);
      if (!isServiceName(name)) {
        throw new UsageError("--name: want 1 to 255 characters, none of them a control character");
      }
      const waitMs = settings.wait === undefined ? 0 : readDuration(settings.wait, "--wait");
      const client = await open(settings, io);
      const id = await client.expose({
        name,
        source_port: sourcePort,
        ...(sourceAddr !== undefined && { source_addr: sourceAddr }),
        remote_connector_addr: to,
        destination_addr: formatAddress(destination),
        type,
      }, { waitMs });
      if (settings.json) return print(await client.get(id), io);
      const [there, here] = type === "local" ? [`of ${to}`, "here"] : ["here", `there, at ${to}`];
      io.stdout(
        `Exposed ${quote(name)}: port ${sourcePort} ${there} leads to ` +
          `${formatAddress(destination)} ${here}\n${id}\n`,
      );
    },
  );
}

function listCommand({ io }: Context): Command {
  const command = new Command("list")
    .summary("list the services of a running connector")
    .description(
      "Lists the services of a running connector, and those that peers have exposed on it.",
    )
    .addOption(
      new Option("-q, --quiet", "print nothing but the names, one a line").conflicts("json"),
    );
  return finish(command, LIST_EXAMPLES).action(
    async (settings: Common & { quiet?: boolean }) => {
      const services = await (await open(settings, io)).list();
      if (settings.quiet) {
        const names = new Set(services.map(({ name }) => plainText(name, MAX_NAME_LENGTH)));
        return io.stdout([...names].map((name) => `${name}\n`).join(""));
      }
      if (settings.json) return print(services, io);
      io.stdout(servicesTable(services));
    },
  );
}

function statusCommand({ io, setExitCode }: Context): Command {
  const command = new Command("status")
    .summary("show how services of a running connector are")
    .description(
      "Shows how many services of a running connector are complete, and why others are not, or everything that is " +
        "known of one. The exit code is 3 if one of them is not complete.",
    )
    .argument("[service]", "its id or name, or the beginning of either")
    .option("--watch", "show it again whenever it changes, until Ctrl-C");
  return finish(command, STATUS_EXAMPLES).action(
    async (wanted: string | undefined, settings: Common & { watch?: boolean }) => {
      const client = await open(settings, io);
      let shown: string | undefined;
      // Who watches is told when the connector is away, and goes on; a program is told by the exit code.
      const away = (error: unknown): string => {
        if (shown === undefined || settings.json || !isAway(error)) throw error;
        setExitCode(EXIT_NOT_READY);
        return `${error.message}\n`;
      };
      const look = async (): Promise<string> => {
        const all = await client.list();
        const services = wanted === undefined ? all : [findService(all, wanted)];
        setExitCode(services.every(isReady) ? 0 : EXIT_NOT_READY);
        if (settings.json) return jsonText(wanted === undefined ? services : services[0]);
        if (wanted === undefined) return statusOverview(services, new Date());
        return services.map((each) => serviceDetails(each, new Date())).join("");
      };
      do {
        const text = await look().catch(away);
        // A terminal has one picture; what is read by programs, and files, have all of them.
        const clear = settings.watch && io.columns("stdout") !== undefined ? CLEAR : "";
        if (text !== shown) io.stdout(clear + text);
        shown = text;
        if (settings.watch) await delay(WATCH_MS, io.signal ? { signal: io.signal } : {});
      } while (settings.watch && !io.signal?.aborted);
    },
  );
}

/** Clears a terminal, and begins at its top. */
const CLEAR = "\x1b[H\x1b[2J";

function removeCommand({ io }: Context): Command {
  const command = new Command("remove")
    .summary("remove services of a running connector")
    .description("Removes services of a running connector, on both sides; their connections end.")
    .argument("<service...>", "their ids or names, or the beginning of either");
  return finish(command, REMOVE_EXAMPLES).action(
    async (wanted: string[], settings: Common) => {
      const client = await open(settings, io);
      // All are found before one is removed.
      const services = findServices(await client.list(), wanted);
      for (const { id, name } of services) {
        await client.remove(id);
        // At once: the next one may fail.
        if (!settings.json) io.stdout(`Removed ${quote(name)} (${id})\n`);
      }
      if (settings.json) print(services.map(({ id, name }) => ({ id, name })), io);
    },
  );
}

function waitCommand({ io }: Context): Command {
  const command = new Command("wait")
    .summary("wait until services of a running connector are complete")
    .description(
      "Waits until services of a running connector are complete: those that are named, or all. It also waits for " +
        "the connector itself. The exit code is 3 if one of them is not complete in time.",
    )
    .argument("[service...]", "their ids or names, or the beginning of either")
    .option("--for <duration>", `how long to wait (default: ${DEFAULT_FOR})`);
  return finish(command, WAIT_EXAMPLES).action(
    async (wanted: string[], settings: Common & { for?: string }) => {
      const end = performance.now() + readDuration(settings.for ?? DEFAULT_FOR, "--for");
      const client = await open(settings, io);
      for (;;) {
        const timeoutMs = Math.max(end - performance.now(), LAST_LOOK_MS);
        const all = await client.list({ timeoutMs }).catch((error) => {
          // It may be about to start.
          if (!isAway(error) || performance.now() >= end) throw error;
        });
        if (all !== undefined) {
          const services = findServices(all, wanted);
          if (services.every(isReady)) {
            if (settings.json) return print(services, io);
            const [count, are] = [
              services.length,
              services.length === 1 ? "service is" : "services are",
            ];
            return io.stdout(`${count} ${are} complete\n`);
          }
          if (performance.now() >= end) {
            const lines = unreadyLines(services, new Date()).trimEnd();
            throw new NotReadyError(`Not every service is complete:\n${lines}`);
          }
        }
        await delay(WAIT_MS);
      }
    },
  );
}

function finish(command: Command, text: string): Command {
  return addApiOptions(command.option("--json", "print JSON, for programs"))
    .addHelpText("after", examples(text, { options: false }));
}

async function open(settings: ApiSettings, io: ServiceIo): Promise<ApiClient> {
  // What it checks answers with takes a moment to load, which help need not wait for.
  const { ApiClient } = await import("./api_client.ts");
  return await ApiClient.open(settings, io.env);
}

function isReady({ status }: AnyServiceJson): boolean {
  return status === "COMPLETE";
}

function readDuration(text: string, flag: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms <= MAX_WAIT_MS) return ms;
  throw new UsageError(`${flag} cannot be "${text}", want a duration with its unit, from 0 to 5m`);
}

/** Whether the connector cannot be asked now. */
function isAway(error: unknown): error is ConnectorError {
  return error instanceof ConnectorError && error.code === "unavailable";
}

function quote(name: string): string {
  return `"${plainText(name, MAX_NAME_LENGTH)}"`;
}

function print(value: unknown, io: ServiceIo): void {
  io.stdout(jsonText(value));
}

function jsonText(value: unknown): string {
  // Its own line ends stay.
  return `${JSON.stringify(value, null, 2).split("\n").map(plainJson).join("\n")}\n`;
}

const EXPOSE_EXAMPLES =
  `  Let visitors of port 12000 at the other connector reach a web server here:
    connector expose local 12000:localhost:8080 --to server:9090

  Reach a database there by a port here, and wait until that works:
    connector expose remote 5432:db.internal:5432 --to server:9090 \\
      --name database --wait 10s
`;
const LIST_EXAMPLES = `  As a table:
    connector list

  For programs:
    connector list --json | jq -r '.[].name'

  Of another connector, with a token:
    connector list --api https://server:9091 --cacert root.cert \\
      --api-token-file token
`;
const STATUS_EXAMPLES = `  Is everything well?
    connector status

  What is with this one? Its name will do, or the beginning of its id:
    connector status web --watch
`;
const REMOVE_EXAMPLES = `  By name, or by the beginning of an id:
    connector remove web 7f3a
`;
const WAIT_EXAMPLES = `  In a script, after a start:
    connector wait --for 30s && ./use-the-tunnel
`;
