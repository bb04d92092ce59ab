// What a service is and how it is, in words.

import type { ServiceJson } from "../src/api/answers.ts";
import { durationText } from "./format.ts";

const STATUSES = {
  COMPLETE: ["Complete", "good"],
  PENDING: ["Pending", "waiting"],
  ERROR: ["Error", "bad"],
} as const;

/** The status with its reason, and when it is tried again. `now` is in milliseconds since 1970. */
export function Status({ service, now }: { service: ServiceJson; now: number }) {
  const { message, retry_at: retryAt } = service;
  const [text, kind] = STATUSES[service.status];
  return (
    <>
      <span class={`status ${kind}`}>{text}</span>
      {message !== undefined && <bdi class="reason">{message}</bdi>}
      {retryAt !== undefined && (
        <small>tried again in {durationText(Date.parse(retryAt) - now)}</small>
      )}
    </>
  );
}

/** Where visitors come, and where they get to: `local` has its destination here, `remote` its port. */
export function waysOf(service: ServiceJson): { reach: string; destination: string } {
  const { source_port: port, source_addr: address, type } = service;
  const listener = `${address === undefined ? "port " : `${bracketed(address)}:`}${port}`;
  const there = service.remote_connector_addr;
  return type === "LOCAL"
    ? { reach: `${listener} at ${there}`, destination: `${service.destination_addr} from here` }
    : { reach: `${listener} here`, destination: `${service.destination_addr} from ${there}` };
}

function bracketed(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}
