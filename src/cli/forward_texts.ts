// The line of `connector forward`: what is forwarded, how that stands, and what passes. Pure.

import type { ServiceReport } from "../model/service.ts";
import { plainText } from "../plain_text.ts";
import { sizeText } from "./service_texts.ts";

/** The longest text of somebody else, in characters. */
const MAX_LENGTH = 500;

/** What had passed at a time, in milliseconds of any clock. */
export interface Traffic {
  at: number;
  bytesIn: number;
  bytesOut: number;
}

/** What is shown besides where it leads and how it stands. */
export interface LineOptions {
  /** What passes in a second, between two looks. */
  rates: { before: Traffic; now: Traffic } | undefined;
  /** Connections and bytes, and what else changes all the time. */
  counts: boolean;
  now: Date;
}

/** One line without its end. */
export function forwardLine(
  service: ServiceReport,
  { rates, counts, now }: LineOptions,
): string {
  const { type, sourcePort, sourceAddr, destinationAddr, remoteConnectorAddr, connections } =
    service;
  const port = sourceAddr === undefined ? `port ${sourcePort}` : `${sourceAddr} port ${sourcePort}`;
  const way = type === "local"
    ? `${port} of ${remoteConnectorAddr} -> ${destinationAddr}`
    : `${port} -> ${destinationAddr} at ${remoteConnectorAddr}`;
  const parts = [plainText(way, MAX_LENGTH), stateOf(service, counts ? now : undefined)];
  if (counts) {
    const { open, total, bytesIn, bytesOut } = connections;
    parts.push(
      `${open} open, ${total} in all`,
      `in ${sizeText(bytesIn)}${rateOf("bytesIn", rates)}`,
      `out ${sizeText(bytesOut)}${rateOf("bytesOut", rates)}`,
    );
  }
  return parts.join(" | ");
}

/** With the time until it is tried again, if it is told what time it is. */
function stateOf({ status, message, retryAt }: ServiceReport, now: Date | undefined): string {
  if (status === "complete") return "up";
  const reason = message === undefined ? "connecting" : plainText(message, MAX_LENGTH);
  const seconds = retryAt === undefined || now === undefined
    ? 0
    : Math.ceil((retryAt.getTime() - now.getTime()) / 1000);
  return seconds > 0 ? `${reason} (again in ${seconds} s)` : reason;
}

function rateOf(way: "bytesIn" | "bytesOut", rates: LineOptions["rates"]): string {
  if (rates === undefined) return "";
  const { before, now } = rates;
  const seconds = (now.at - before.at) / 1000;
  return seconds > 0 ? ` (${sizeText(Math.round((now[way] - before[way]) / seconds))}/s)` : "";
}
