// The texts of `connector forward`: what is forwarded, how that stands, and what passes. Pure.

import type { ServiceReport } from "../model/service.ts";
import { plainText } from "../plain_text.ts";
import { sizeText } from "./service_texts.ts";

/** The longest text of somebody else, in characters. */
const MAX_LENGTH = 500;
/** From here on a character may take two columns of a terminal. */
const MAYBE_WIDE = 0x300;

/** What had passed at a time, in milliseconds of any clock. */
export interface Traffic {
  at: number;
  bytesIn: number;
  bytesOut: number;
}

/** What passes in a second, between two looks. */
export interface Rates {
  before: Traffic;
  now: Traffic;
}

/** Where it leads. */
export function wayText(service: ServiceReport): string {
  const { type, sourcePort, sourceAddr, destinationAddr, remoteConnectorAddr } = service;
  const port = sourceAddr === undefined ? `port ${sourcePort}` : `${sourceAddr} port ${sourcePort}`;
  const way = type === "local"
    ? `${port} of ${remoteConnectorAddr} -> ${destinationAddr}`
    : `${port} -> ${destinationAddr} at ${remoteConnectorAddr}`;
  return plainText(way, MAX_LENGTH);
}

/** How it stands, as it is written when that changes. */
export function stateText({ status, message }: ServiceReport): string {
  if (status === "complete") return "up";
  return message === undefined ? "connecting" : plainText(message, MAX_LENGTH);
}

/** Tells of each look at a service why a connection has failed since the one before; a reason is told once in a row. */
export function failureTexts(): (service: ServiceReport) => string | undefined {
  let before = { closed: 0, failed: 0 };
  let told: string | undefined;
  return ({ connections: { total, open, failed, lastClose } }) => {
    const now = { closed: total - open, failed };
    // If others have ended in order meanwhile, the last reason may be theirs.
    const isFailure = failed > before.failed &&
      failed - before.failed === now.closed - before.closed;
    before = now;
    if (!isFailure || lastClose === undefined || lastClose === told) return undefined;
    told = lastClose;
    return `a connection failed: ${plainText(lastClose, MAX_LENGTH)}`;
  };
}

/** How it stands at the end, and what has passed. */
export function totalsText(service: ServiceReport): string {
  return [stateText(service), ...countsOf(service, undefined)].join(" | ");
}

/** How it stands and what passes, on one line of a terminal of so many columns: what matters less is left out. */
export function statusLine(
  service: ServiceReport,
  { rates, now, columns }: { rates: Rates | undefined; now: Date; columns: number },
): string {
  const { retryAt, connections: { open } } = service;
  const seconds = retryAt === undefined ? 0 : Math.ceil((retryAt.getTime() - now.getTime()) / 1000);
  const state = stateText(service) + (seconds > 0 ? ` (again in ${seconds} s)` : "");
  const full = [state, ...countsOf(service, rates)].join(" | ");
  if (fit(full, columns) === full) return full;
  const short = [state, `${open} open`];
  if (rates && service.status === "complete") {
    short.push(`in ${rateOf("bytesIn", rates)}`, `out ${rateOf("bytesOut", rates)}`);
  }
  return fit(short.join(" | "), columns);
}

function countsOf({ connections }: ServiceReport, rates: Rates | undefined): string[] {
  const { open, total, bytesIn, bytesOut } = connections;
  const rate = (way: "bytesIn" | "bytesOut") => rates ? ` (${rateOf(way, rates)})` : "";
  return [
    `${open} open, ${total} in all`,
    `in ${sizeText(bytesIn)}${rate("bytesIn")}`,
    `out ${sizeText(bytesOut)}${rate("bytesOut")}`,
  ];
}

function rateOf(way: "bytesIn" | "bytesOut", { before, now }: Rates): string {
  const seconds = Math.max(now.at - before.at, 1) / 1000;
  return `${sizeText(Math.round((now[way] - before[way]) / seconds))}/s`;
}

/** As much of it as fits: a line that wraps would stay when it is cleared. The last column makes some terminals wrap. */
function fit(text: string, columns: number): string {
  let [fitting, left] = ["", columns - 1];
  for (const character of text) {
    left -= (character.codePointAt(0) ?? 0) < MAYBE_WIDE ? 1 : 2;
    if (left < 0) break;
    fitting += character;
  }
  return fitting;
}
