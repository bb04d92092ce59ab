// What `GET /events` sends, as types: server-sent events whose data is JSON. live_state.ts makes them, and the page in web/
// reads them. They belong to the page, which comes from the same program: other programs use the rest of the API.

import type { ConfigJson, PeerJson, ServiceJson } from "./answers.ts";

/** Each event by its name. */
export interface LiveMessages {
  /** Everything as it is now: the first event, and again for a reader that was too slow for what came after. */
  snapshot: Snapshot;
  /** What is another than before. */
  change: Change;
  /** Once a second, also when nothing has changed: who hears none has lost the connector. */
  sample: Sample;
  /** The connections of the service that was asked about. */
  detail: Detail;
  /** Nothing more comes. The data is the reason, in words. */
  end: string;
}

export interface Snapshot {
  about: AboutJson;
  links: LinkJson[];
  services: ServiceJson[];
  /** Of the last minutes, the oldest first, as far as somebody has watched. */
  samples: Sample[];
}

export interface Change {
  about?: AboutJson;
  /** All of them. */
  links?: LinkJson[];
  /** Those that are new or have changed. */
  services?: ServiceJson[];
  /** The ids of those that are gone. */
  removed?: string[];
}

/** What was counted, on both sides of all services, since the connector began. Times are milliseconds since 1970. */
export interface Sample {
  at: number;
  open: number;
  total: number;
  failed: number;
  bytes_in: number;
  bytes_out: number;
}

export interface Detail {
  id: string;
  connections: ConnectionJson[];
  /** How many more there are. */
  more: number;
}

export interface ConnectionJson {
  /** Empty where the peer does not tell. */
  visitor: string;
  /** The other end of the socket here; absent while it waits for a link or is dialled. */
  remote?: string;
  since: string;
}

export interface LinkJson {
  direction: "outbound" | "inbound";
  /** `resuming`: it is lost, and its connections wait for the next one. */
  state: "up" | "leaving" | "resuming" | "down";
  peer: PeerJson;
  dialect?: string;
  round_trip_ms?: number;
  /** Since when a link is up without a break, or none is. */
  since?: string;
  reconnects: number;
  held_bytes: number;
}

/** What runs, and what it was told. */
export interface AboutJson {
  version: string;
  /** When the process began. */
  started: string;
  /** What an operator should know, a sentence each: when certificates end, which files are refused. */
  notes: string[];
  /** Why no link can be opened, whatever the service. */
  problem?: string;
  certificates: { certificate: string; label: string; not_after: string }[];
  /** Files that are read again when they change. */
  files: { name: string; loaded_at: string; current: boolean }[];
  /** Which options are in force, as `GET /config` has them. */
  config?: ConfigJson;
}
