// Services in words and tables, for people. Whatever a peer calls its services, nothing here steers the terminal. Pure.

import type { AnyServiceJson } from "../api/answers.ts";
import { plainText } from "../plain_text.ts";
import { MAX_CELL_LENGTH, textTable } from "./text_table.ts";

/** The most characters of a reason. */
const MAX_REASON_LENGTH = 1000;
/** As much of an id as tells it from others, nearly always. */
const SHORT_ID_LENGTH = 8;

/** What the Go connector does not say. */
const UNKNOWN = "-";

/** Who has exposed a service, in words. */
const ORIGINS = {
  api: "the API",
  file: "the configuration file",
  peer: "a peer, on this connector",
} as const;

const HEADS = [
  "NAME",
  "ID",
  "TYPE",
  "ORIGIN",
  "STATUS",
  "PORT",
  "DESTINATION",
  "CONNECTOR",
  "OPEN",
  "TOTAL",
  "IN",
  "OUT",
] as const;

/** A line for each service, below what its columns are. */
export function servicesTable(services: readonly AnyServiceJson[]): string {
  if (services.length === 0) return "No services\n";
  const rows = services.map((each) => [
    each.name,
    each.id.slice(0, SHORT_ID_LENGTH),
    each.type.toLowerCase(),
    each.origin ?? UNKNOWN,
    each.status.toLowerCase(),
    placeOf(each),
    each.destination_addr,
    each.remote_connector_addr,
    ...countsOf(each),
  ]);
  return textTable([[...HEADS], ...rows]);
}

function countsOf({ connections }: AnyServiceJson): string[] {
  if (connections === undefined) return [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN];
  const { open, total, bytes_in: bytesIn, bytes_out: bytesOut } = connections;
  return [String(open), String(total), sizeText(bytesIn), sizeText(bytesOut)];
}

/** Everything that is known of a service, a line each. */
export function serviceDetails(service: AnyServiceJson, now: Date): string {
  const { connections, peer, origin, registration } = service;
  const lines: [head: string, text: string | undefined][] = [
    ["name", service.name],
    ["id", service.id],
    ["type", service.type.toLowerCase()],
    ["origin", origin && ORIGINS[origin]],
    ["status", statusText(service, now)],
    ["port", placeOf(service)],
    ["destination", service.destination_addr],
    ["connector", service.remote_connector_addr],
    ["peer", peer && `${peer.address}${peer.principal ? ` (${peer.principal})` : ""}`],
    ["registration", registration && registrationText(registration)],
    [
      "connections",
      connections &&
      `${connections.open} open, ${connections.total} in all, ${connections.failed} failed, ` +
        `${connections.refused} refused`,
    ],
    ["lost links", connections && resumptionText(connections)],
    [
      "bytes",
      connections && `${sizeText(connections.bytes_in)} in, ${sizeText(connections.bytes_out)} out`,
    ],
    ["last close", connections?.last_close],
    [
      "last error",
      service.last_error &&
      `${service.last_error} (${ago(service.last_error_at, now)} ago)`,
    ],
  ];
  const width = Math.max(...lines.map(([head]) => head.length));
  return lines.flatMap(([head, text]) =>
    text === undefined
      ? []
      : [`${`${head}:`.padEnd(width + 2)}${plainText(text, MAX_REASON_LENGTH)}\n`]
  ).join("");
}

/** How many there are of each status, and a line for each that is not complete, with the reason. */
export function statusOverview(services: readonly AnyServiceJson[], now: Date): string {
  if (services.length === 0) return "No services\n";
  const count = (status: AnyServiceJson["status"]) =>
    services.filter((each) => each.status === status).length;
  const counts = [
    `${count("COMPLETE")} complete`,
    `${count("PENDING")} pending`,
    `${count("ERROR")} in error`,
  ];
  const open = services.reduce((sum, { connections }) => sum + (connections?.open ?? 0), 0);
  const head = `${services.length} ${services.length === 1 ? "service" : "services"}: ` +
    `${counts.join(", ")}; ${connectionsText(open)} open\n`;
  return head + unreadyLines(services, now);
}

/** A line for each service that is not complete. */
export function unreadyLines(services: readonly AnyServiceJson[], now: Date): string {
  return services.filter(({ status }) => status !== "COMPLETE").map((each) =>
    `  ${plainText(each.name, MAX_CELL_LENGTH)} (${each.id.slice(0, SHORT_ID_LENGTH)}): ` +
    `${plainText(statusText(each, now), MAX_REASON_LENGTH)}\n`
  ).join("");
}

/** Where it is, since when, why, and when it is tried again. */
function statusText(
  { status, message, since, retry_at: retryAt }: AnyServiceJson,
  now: Date,
): string {
  const reason = message === undefined ? "" : `, ${message}`;
  const seconds = retryAt === undefined
    ? 0
    : Math.ceil((Date.parse(retryAt) - now.getTime()) / 1000);
  const retry = seconds > 0 ? `; tried again in ${seconds} s` : "";
  const time = since === undefined ? "" : ` for ${ago(since, now)}`;
  return `${status.toLowerCase()}${time}${reason}${retry}`;
}

/** What has become of connections whose link was lost; nothing as long as none was. */
function resumptionText(
  { resuming, resumed, not_resumed: notResumed }: NonNullable<AnyServiceJson["connections"]>,
): string | undefined {
  if (!(resuming > 0 || resumed > 0 || notResumed > 0)) return undefined;
  return `${connectionsText(resuming)} waiting, ${resumed} resumed, ${notResumed} ended`;
}

function connectionsText(count: number): string {
  return `${count} ${count === 1 ? "connection" : "connections"}`;
}

/** Where it stands with the scheduler. */
function registrationText(
  { scheduler, name, state, message }: NonNullable<AnyServiceJson["registration"]>,
): string {
  return `${state}, "${name}" in ${scheduler}${message === undefined ? "" : `: ${message}`}`;
}

function placeOf({ source_addr: address, source_port: port }: AnyServiceJson): string {
  if (address === undefined) return String(port);
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** How long ago a time was, in its largest unit: `5 s`, `3 min`, `2 h`, `4 d`. */
function ago(time: string | undefined, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(time ?? "")) / 1000));
  if (!(seconds >= 60)) return `${seconds || 0} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** A size to three digits: `999 B`, `1.5 KiB`, `12.3 MiB`. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1000 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
