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

/** Who has exposed a service. */
export const ORIGINS = {
  api: "over the API",
  file: "by the configuration file",
  peer: "by a peer, on this connector",
} as const;

/** Where visitors come, and where they get to: `local` has its destination where it was exposed, `remote` its port. */
export function waysOf(service: ServiceJson): { reach: string; destination: string } {
  const { source_port: port, source_addr: address, type, origin, peer } = service;
  const listener = `${address === undefined ? "port " : `${bracketed(address)}:`}${port}`;
  const there = origin === "peer" ? peer?.address ?? "the peer" : service.remote_connector_addr;
  const isHere = (type === "LOCAL") === (origin === "peer");
  return {
    reach: isHere ? `${listener} here` : `${listener} at ${there}`,
    destination: `${service.destination_addr} from ${isHere ? there : "here"}`,
  };
}

function bracketed(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}
